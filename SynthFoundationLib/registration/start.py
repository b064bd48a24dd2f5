"""The start: the pose from which local methods find the rest, whatever the headers say.

Coarse voxels forgive a tilt, finer ones tell structures apart: both are searched. The best few poses are
refined as rigid and affine transforms and compared again; where they are in doubt, a network that knows
anatomy has the last word, and if it knows none of them, the search goes on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch

from ..geometry import Affine
from .comparison import correlation
from .course import Beat, silent
from .linear import LinearKind, register_linear
from .scan import shared_part
from .search import Candidate, Search, right_angle_turns, tilts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..geometry import Grid
    from .scan import Scan
    from .search import CoarseFeatures
    from .settings import StartSettings

Pose = TypeVar("Pose", Candidate, Affine)
Answer = TypeVar("Answer")


def find_start(
    fixed: Scan,
    moving: Scan,
    features: CoarseFeatures,
    settings: StartSettings,
    beat: Beat = silent,
    belief: Callable[[Affine], float] | None = None,
) -> Affine:
    """The best affine start found without any help.

    `belief` tells how far a network that knows one scan in the other believes a pose, at most 1.
    """
    patients = fixed.around_patient(settings.margin), moving.around_patient(settings.margin)
    judge = _Judge(_Refiner(*patients, features, settings, beat), belief)
    for proposal in _proposed(fixed, moving, patients, features, settings, beat):
        found = judge(proposal)
        if found is not None:
            return found
    return judge.most_believed()


class _Judge:
    """Refines proposals and decides, by their scores and by what a network believes, whether to take one."""

    def __init__(self, refiner: _Refiner, belief: Callable[[Affine], float] | None) -> None:
        self.settings, self.patient = refiner.settings, refiner.fixed.grid
        refine = refiner.on(refiner.fixed, self.settings.refine_voxels)

        def closely(candidate: Candidate) -> Candidate:
            return refiner.closer(refine(candidate))

        self._judged, self._refined, self._nearer = refine.judged, _once(closely), _once(refiner.nearer)
        self._belief = _once(belief or (lambda pose: 1.0))
        self._doubted: dict[bytes, tuple[float, Candidate]] = {}

    def __call__(self, proposal: _Proposal) -> Affine | None:
        """The pose to take, or None if more are to be proposed."""
        judged = _ranked([self._judged(candidate) for candidate in proposal.candidates], self.settings)
        refined = [self._refined(candidate) for candidate in judged[: proposal.refined]]
        refined = _ranked(refined, self.settings)
        first = Affine(refined[0].matrix)
        if proposal.decided and refined[0].score >= self.settings.certain:
            return first
        least = self._least(proposal, refined)
        if self._belief(first) >= least:
            return first
        found = self._recognised(refined)
        return self._promising(refined[0], least) if found is None else found

    def most_believed(self) -> Affine:
        """The pose that the network believes most of all that it was asked about."""
        return Affine(self._by_belief()[0][1].matrix)

    def _least(self, proposal: _Proposal, refined: list[Candidate]) -> float:
        """How far the first pose has to be believed: the less, the clearer the search is about it."""
        if proposal.decided:
            return self.settings.plausible
        if _unrivalled(refined, self.patient, self.settings):
            return self.settings.promising
        return self.settings.recognised

    def _recognised(self, refined: list[Candidate]) -> Affine | None:
        """The first pose that the network recognises; the others are remembered."""
        for candidate in refined[: self.settings.kept]:
            pose = Affine(candidate.matrix)
            believed = self._belief(pose)
            if believed >= self.settings.recognised:
                return pose
            self._doubted[pose.matrix.tobytes()] = believed, candidate
        return None

    def _promising(self, first: Candidate, least: float) -> Affine | None:
        """One of the promising poses that is recognised once it is refined on finer voxels."""
        for believed, candidate in self._by_belief()[: self.settings.nearer]:
            if believed >= self.settings.promising:
                pose = Affine(self._nearer(candidate).matrix)
                if self._belief(pose) >= (least if candidate is first else self.settings.recognised):
                    return pose
        return None

    def _by_belief(self) -> list[tuple[float, Candidate]]:
        return sorted(self._doubted.values(), key=lambda one: -one[0])


def _unrivalled(refined: list[Candidate], patient: Grid, settings: StartSettings) -> bool:
    """Whether the first pose scores far more than all that put the patient elsewhere."""
    first, *others = (Affine(candidate.matrix).apply(patient.corners) for candidate in refined)
    apart_mm = settings.elsewhere * patient.extent.max()
    far = [np.linalg.norm(other - first, axis=1).mean() > apart_mm for other in others]
    scores = [candidate.score for candidate, is_far in zip(refined[1:], far, strict=True) if is_far]
    return bool(scores) and refined[0].score >= settings.decisive * max(scores)


def _once(function: Callable[[Pose], Answer]) -> Callable[[Pose], Answer]:
    """The function, called once for each matrix: later proposals hold poses of earlier ones."""
    known: dict[bytes, Answer] = {}

    def remembered(pose: Pose) -> Answer:
        key = pose.matrix.tobytes()
        if key not in known:
            known[key] = function(pose)
        return known[key]

    return remembered


class _Refiner(NamedTuple):
    """Both scans, cut to their patients, and how candidates are refined on them."""

    fixed: Scan
    moving: Scan
    features: CoarseFeatures
    settings: StartSettings
    beat: Beat

    def on(self, part: Scan, voxels: int, times: int = 1) -> _Refinement:
        """What refines them on so many voxels along, comparing a part of the fixed scan, for longer."""
        longer = replace(
            self.settings,
            rigid_rounds=times * self.settings.rigid_rounds,
            affine_rounds=times * self.settings.affine_rounds,
        )
        return _Refinement(*_seen(part, self.moving, voxels), self.features, longer, self.beat)

    def closer(self, candidate: Candidate) -> Candidate:
        """The candidate refined on voxels that suit what the moving scan shows, if that is a small part."""
        part = self._shown(candidate)
        if part is self.fixed or part.longest > self.settings.short * self.fixed.longest:
            return candidate
        return self.on(part, self.settings.refine_voxels)(candidate)

    def nearer(self, candidate: Candidate) -> Candidate:
        """The candidate refined for longer and on finer voxels: if it is right, more is recognised then."""
        return self.on(self._shown(candidate), self.settings.nearer_voxels, times=2)(candidate)

    def _shown(self, candidate: Candidate) -> Scan:
        """What the moving scan shows of the fixed one, if that is far smaller."""
        pose = Affine(candidate.matrix)
        return shared_part(self.fixed, self.moving, pose, self.settings.margin) or self.fixed


class _Proposal(NamedTuple):
    """Poses, how many of them are worth refining, and whether the search has decided for one of them."""

    candidates: list[Candidate]
    refined: int
    decided: bool = False


def _proposed(
    fixed: Scan,
    moving: Scan,
    patients: tuple[Scan, Scan],
    features: CoarseFeatures,
    settings: StartSettings,
    beat: Beat,
) -> Iterator[_Proposal]:
    """The best poses; as long as none of them is believed, more. `patients` are both scans cut to them."""
    near = _seen(fixed, moving, settings.search_voxels)
    search = Search(*near, features, beat)
    found = search(right_angle_turns())
    ranked = _ranked(found, settings)
    if _decisive(ranked, settings):
        best = ranked[0]
        leaning = tilts(settings.near_tilt_degrees, 1)
        more = [pose for tilt in leaning for pose in search([best.turn], tilt)]
        around = _ranked([best, *more], settings)
        if around[0].score < settings.certain:
            around = _leant(around, search, settings, settings.kept_near)
        first, *others = _distinct(around, settings.kept_near, search.apart)
        near_best = [first, *(c for c in others if c.score > settings.near_share * first.score)]
        yield _Proposal(near_best, settings.kept, decided=True)
    around = _distinct([found[0], *ranked], settings.tilted, apart_mm=np.inf)  # the headers' first
    turns = [candidate.turn for candidate in around]
    more = [pose for tilt in tilts(settings.tilt_degrees) for pose in search(turns, tilt)]
    ranked = _ranked([*found, *more], settings)
    if _decisive(ranked, settings):
        yield _Proposal(ranked[:1], settings.kept, decided=True)
    kept = _distinct(ranked, settings.kept, search.apart)
    upright = [c for c in ranked if _angle(c, found[0]) < 1]  # headers are mostly right: always heard
    upright = _distinct(upright, settings.kept_upright, search.apart)
    kept = _distinct([*kept, *upright], np.inf, search.apart)
    # Where two scans have little in common, coarse voxels hold too few structures to be told apart.
    near = _seen(*patients, settings.second_voxels)
    finer = Search(*near, features, beat)
    again = _ranked(finer(right_angle_turns()), settings)
    second = _distinct(again, settings.kept_second, finer.apart)
    yield _Proposal([*kept, *second], settings.kept)
    ranked = _leant(ranked, search, settings, settings.leaned)
    yield _Proposal(_distinct(ranked, settings.kept, search.apart), settings.kept)
    kept = _distinct(ranked, settings.wide, search.apart)
    second = _distinct(again, settings.wide_second, finer.apart)
    yield _Proposal([*kept, *second], settings.wide + settings.wide_second)


def _leant(ranked: list[Candidate], search: Search, settings: StartSettings, count: int) -> list[Candidate]:
    """The poses and finer turns about the best `count` of them, best first.

    Where the right turn lies between those tried, its neighbours score little more than wrong ones.
    """
    for degrees in settings.lean_degrees:
        best = _distinct(ranked, count, apart_mm=np.inf)
        more = [pose for one in best for lean in tilts([degrees], 1) for pose in search.near(one, lean)]
        ranked = _ranked([*ranked, *more], settings)
    return ranked


def _seen(fixed: Scan, moving: Scan, voxels: int) -> tuple[Scan, Scan, float]:
    """Both scans on voxels of which the larger has `voxels` along its longest axis, and their spacing."""
    longest = max(fixed.longest, moving.longest)
    spacing = max(longest / voxels, min(fixed.finest, moving.finest))
    return fixed.at_spacing(spacing).continued(), moving.at_spacing(spacing).continued(), spacing


def _ranked(candidates: list[Candidate], settings: StartSettings) -> list[Candidate]:
    """Best first; a pose near the header's own orientation is believed more readily."""

    def belief(candidate: Candidate) -> float:
        upright = (np.trace(candidate.rotation) - 1) / 2
        return candidate.score * (1 + settings.header_trust * max(0.0, upright))

    return sorted(candidates, key=lambda c: -belief(c))


def _distinct(ranked: list[Candidate], count: float, apart_mm: float) -> list[Candidate]:
    """The best that differ from each other by more than 20 degrees or `apart_mm`."""
    kept: list[Candidate] = []
    for candidate in ranked:
        if all(_angle(candidate, other) > 20 or _distance(candidate, other) > apart_mm for other in kept):
            kept.append(candidate)
        if len(kept) == count:
            break
    return kept


def _distance(a: Candidate, b: Candidate) -> float:
    """Distance in mm between the two images of the fixed image's centre."""
    return float(np.linalg.norm((a.matrix - b.matrix) @ a.centre))


def _decisive(ranked: list[Candidate], settings: StartSettings) -> bool:
    """Whether the best clearly beats everything that is turned elsewhere."""
    others = [c.score for c in ranked[1:] if _angle(c, ranked[0]) > 60]
    return ranked[0].score > settings.decisive * max([0.0, *others])


def _angle(a: Candidate, b: Candidate) -> float:
    cosine = (np.trace(a.rotation.T @ b.rotation) - 1) / 2
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


class _Refinement:
    """Rigid, then affine registration of a candidate on a finer grid."""

    def __init__(
        self,
        fixed: Scan,
        moving: Scan,
        spacing: float,
        features: CoarseFeatures,
        settings: StartSettings,
        beat: Beat,
    ) -> None:
        self.moving, self.features, self.settings, self.beat = moving, features, settings, beat
        self.grid = fixed.grid.with_spacing(spacing)
        self.fixed = features(fixed.on(self.grid))
        self.weight = fixed.weight_on(self.grid)
        self.body = fixed.body_on(self.grid)
        voxels = [float(scan.body.mean()) * scan.grid.extent.prod() for scan in (fixed, moving)]
        self.least_body = min(voxels) / spacing**3

    def __call__(self, candidate: Candidate) -> Candidate:
        """The refined candidate with its score at this resolution."""
        matrix = candidate.matrix
        kinds: list[LinearKind] = ["rigid"] * self.settings.rigid_rounds
        kinds += ["affine"] * self.settings.affine_rounds
        for kind in kinds:
            self.beat()
            image, weight = self._moved(matrix)
            step = register_linear(
                self.fixed, image, weight, kind, self.settings.iterations, self.settings.stiffness
            )
            matrix = matrix @ self.grid.matrix @ step @ self.grid.inverse_matrix
        return self.judged(candidate._replace(matrix=matrix))

    def judged(self, candidate: Candidate) -> Candidate:
        """The candidate as it is with its score at this resolution."""
        return candidate._replace(score=self._score(candidate.matrix))

    def _moved(self, matrix: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        image = self.features(self.moving.on(self.grid, Affine(matrix)))
        return image, self.weight * self.moving.weight_on(self.grid, Affine(matrix))

    def _score(self, matrix: np.ndarray) -> float:
        """Correlation of the features where both bodies are, times the root of the share they have in common.

        Inside the bodies: around them, air agrees with air in every pose that matches the outlines.
        """
        image, weight = self._moved(matrix)
        common = weight * self.body * self.moving.body_on(self.grid, Affine(matrix))
        share = float((common.sum() / self.least_body).clamp(0, 1).sqrt())
        return correlation(self.fixed, image, common) * share
