"""The start: the pose from which local methods find the rest, whatever the headers say.

Rotations are tried one by one on coarse features; for each, all translations at once by Fourier correlation
of the centred features, which rewards a large and well-matching overlap. Coarse voxels forgive a tilt, finer
ones tell structures apart: both are searched. The best few are refined as rigid and affine transforms and
compared again; where they are in doubt, a network that knows anatomy has the last word.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.spatial.transform import Rotation

from ..features.mind import turned_mind
from ..geometry import Affine, Grid
from ..geometry.turns import turned
from .comparison import correlation
from .course import Beat, silent
from .linear import LinearKind, register_linear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..images import Image
    from .scan import Scan
    from .settings import StartSettings

    CoarseFeatures = Callable[[Image], torch.Tensor]


# Translations kept per rotation, and how many coarse voxels they lie apart.
PEAKS = 4
PEAKS_APART = 3


class Candidate(NamedTuple):
    """A pose: 4×4 fixed mm → moving mm, its rotation from the headers' orientation, and its score.

    `centre` is the homogeneous centre of the fixed image, where poses are compared; `turn` is the right-angle
    part of the rotation, about the axes of the fixed image.
    """

    matrix: np.ndarray
    rotation: np.ndarray
    score: float
    centre: np.ndarray
    turn: np.ndarray


def find_start(
    fixed: Scan,
    moving: Scan,
    features: CoarseFeatures,
    settings: StartSettings,
    beat: Beat = silent,
    recognised: Callable[[Affine], float] | None = None,
) -> Affine:
    """The best affine start found without any help.

    `recognised` tells how much of one scan a network knows in the other under a pose, at most 1.
    """
    patients = fixed.around_patient(settings.margin_mm), moving.around_patient(settings.margin_mm)
    refine = _Refinement(*_seen(*patients, settings.refine_voxels), features, settings, beat)
    poses: list[Affine] = []
    for proposal in _proposed(fixed, moving, patients, features, settings, beat):
        judged = _ranked([refine.judged(candidate) for candidate in proposal.candidates], settings)
        refined = _ranked([refine(candidate) for candidate in judged[: proposal.refined]], settings)
        poses = [Affine(candidate.matrix) for candidate in refined]
        if recognised is None or (proposal.decided and refined[0].score >= settings.certain):
            return poses[0]
        least = settings.plausible if proposal.decided else settings.recognised
        known = next((pose for pose in poses[: settings.kept] if recognised(pose) >= least), None)
        if known is not None:
            return known
    return poses[0]


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
    search = _Search(*near, features, moving.grid.extent.max(), beat)
    found = search(right_angle_turns())
    ranked = _ranked(found, settings)
    if _decisive(ranked, settings):
        best = ranked[0]
        leaning = tilts(settings.near_tilt_degrees, 1)
        more = [pose for tilt in leaning for pose in search([best.turn], tilt)]
        first, *others = _distinct(_ranked([best, *more], settings), settings.kept_near, search.apart)
        near_best = [first, *(c for c in others if c.score > settings.near_share * first.score)]
        yield _Proposal(near_best, settings.kept, decided=True)
    search = _Search(*near, features, float(np.linalg.norm(moving.grid.extent)), beat)
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
    finer = _Search(*near, features, patients[1].grid.extent.max(), beat)
    again = _ranked(finer(right_angle_turns()), settings)
    second = _distinct(again, settings.kept_second, finer.apart)
    yield _Proposal([*kept, *second], settings.kept)
    kept = _distinct(ranked, settings.wide, search.apart)
    second = _distinct(again, settings.wide_second, finer.apart)
    yield _Proposal([*kept, *second], settings.wide + settings.wide_second)


def right_angle_turns() -> list[np.ndarray]:
    """The 24 rotations that map axes to axes, as signed permutations of (i, j, k), the identity first."""
    turns = []
    for order, signs in itertools.product(
        itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)
    ):
        turn = np.zeros((3, 3))
        turn[range(3), order] = signs
        if np.linalg.det(turn) > 0:
            turns.append(turn)
    return sorted(turns, key=lambda turn: -np.trace(turn))


def tilts(degrees: Iterable[float], between: int = 2) -> list[np.ndarray]:
    """Turns both ways, by each angle, about the axes and the lines half-way between up to so many of them."""
    directions = [d for d in itertools.product((-1, 0, 1), repeat=3) if 0 < np.count_nonzero(d) <= between]
    axes = [np.array(d) / np.linalg.norm(d) for d in directions]
    return [Rotation.from_rotvec(np.deg2rad(angle) * axis).as_matrix() for angle in degrees for axis in axes]


def _seen(fixed: Scan, moving: Scan, voxels: int) -> tuple[Scan, Scan, float]:
    """Both scans on voxels of which the larger has `voxels` along its longest axis, and their spacing."""
    longest = max(fixed.grid.extent.max(), moving.grid.extent.max())
    spacing = max(longest / voxels, min(*fixed.grid.spacing, *moving.grid.spacing))
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


class _Search:
    """Scores all translations of the moving image for one rotation after the other."""

    def __init__(
        self,
        fixed: Scan,
        moving: Scan,
        spacing: float,
        features: CoarseFeatures,
        side_mm: float,
        beat: Beat,
    ) -> None:
        """`side_mm` is the side of the cube into which the turned moving image must fit."""
        self.moving, self.features, self.beat = moving, features, beat
        self.apart = PEAKS_APART * spacing
        self.grid = fixed.grid.with_spacing(spacing)
        self.centre = np.append(self.grid.center, 1.0)
        image = features(fixed.on(self.grid))
        self.mean = image.mean((1, 2, 3), keepdim=True)
        weight = fixed.weight_on(self.grid)
        image = (image - self.mean) * weight
        side = int(np.ceil(side_mm / spacing))
        self.cube = _cube(side, spacing, self.grid)
        self.padded = [next_fast_len(n + side, real=True) for n in self.grid.shape]
        self.fixed_energy = float(image.square().sum())
        self.image, self.energy, self.weight = (
            torch.fft.rfftn(x, self.padded) for x in (image, image.square().sum(0), weight[0])
        )
        compared = float(moving.mask.mean()) * moving.grid.extent.prod() / spacing**3
        self.least_overlap = 0.2 * min(float(weight.sum()), compared)

    def __call__(self, turns: Iterable[np.ndarray], tilt: np.ndarray | None = None) -> list[Candidate]:
        """The best translations under right-angle turns, each followed by the tilt (3×3, fixed → moving).

        The moving image is read and described once: turned by right angles, voxels only change places.
        """
        tilted = np.eye(4)
        tilted[:3, 3] = self.moving.grid.center
        if tilt is not None:
            tilted[:3, :3] = tilt
        weight = self.moving.weight_on(self.cube, Affine(tilted))
        image = (self.features(self.moving.on(self.cube, Affine(tilted))) - self.mean) * weight
        found = []
        for turn in turns:
            self.beat()
            rotation = np.eye(4)
            rotation[:3, :3] = self.cube.axes @ turn @ self.cube.axes.T
            score = self._correlation(turned_mind(image, turn), turned(weight, turn))
            found += self._peaks(score, tilted @ rotation, turn)
        return found

    def _peaks(self, score: torch.Tensor, pose: np.ndarray, turn: np.ndarray) -> list[Candidate]:
        """The poses of the highest scores that lie apart; overwrites the scores."""
        found = []
        for _ in range(PEAKS):
            place = int(score.argmax())
            best = np.array(np.unravel_index(place, tuple(self.padded)))
            shift = np.where(best >= self.grid.shape, best - self.padded, best)[::-1]
            move = np.eye(4)
            move[:3, 3] = self.cube.to_physical((0, 0, 0)) - self.grid.to_physical(shift)
            found.append(
                Candidate(pose @ move, pose[:3, :3], float(score.view(-1)[place]), self.centre, turn)
            )
            around = [
                torch.arange(b - PEAKS_APART, b + PEAKS_APART + 1) % n
                for b, n in zip(best, self.padded, strict=True)
            ]
            score[torch.meshgrid(*around, indexing="ij")] = -1.0
        return found

    def _correlation(self, image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Σ f·m, divided by the geometric mean of the overlap's and the whole images' norms."""
        moving_energy = float(image.square().sum())
        product = self._correlate(self.image, image).clamp_min(0)
        fixed_part = self._correlate(self.energy, weight[0]).clamp_min(0)
        moving_part = self._correlate(self.weight, image.square().sum(0)).clamp_min(0)
        whole = self.fixed_energy * moving_energy + 1e-12
        norm = (fixed_part * moving_part).clamp_min(1e-6 * whole).mul_(whole).pow_(0.25)
        score = product / norm
        return torch.where(self._correlate(self.weight, weight[0]) > self.least_overlap, score, -1.0)

    def _correlate(self, fixed_spectrum: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        spectrum = fixed_spectrum * torch.fft.rfftn(moving, self.padded).conj()
        if spectrum.ndim == 4:
            spectrum = spectrum.sum(0)
        return torch.fft.irfftn(spectrum, self.padded)


def _cube(side: int, spacing: float, like: Grid) -> Grid:
    """A cube of voxels centred on the physical origin, with the axes of `like`."""
    corner = like.axes @ (-(side - 1) / 2 * spacing * np.ones(3))
    return Grid((side,) * 3, (spacing,) * 3, tuple(corner), like.direction)


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
