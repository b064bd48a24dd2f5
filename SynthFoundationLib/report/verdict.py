"""Numbers of a registration → what a person should think of it, and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

Word: TypeAlias = Literal["good", "look closely", "failed"]

SENTENCES = {
    "nothing": "None of the checks found anything unusual. Confirm it in the pictures.",
    "landmarks-worse": "The landmarks lie farther apart than before ({before:.1f} mm → {after:.1f} mm).",
    "landmarks-apart": "The landmarks are still {after:.1f} mm apart on average.",
    "similarity-worse": "The scans resemble each other less than before ({before:.2f} → {after:.2f}).",
    "similarity-none": "Hardly anything in the scans corresponds (feature similarity {after:.2f}).",
    "similarity-faint": "The scans resemble each other only faintly (feature similarity {after:.2f}).",
    "recognised-little": (
        "Where the scans were placed, the network recognises little of one in the other "
        "({recognised:.2f} of 1). Check head and foot, left and right."
    ),
    "information-lost": (
        "After the bend the grey values of the scans tell less of each other than before it "
        "({before:.2f} → {after:.2f}). Compare with the affine transform alone."
    ),
    "overlap-part": (
        "The scans share at most {percent:.0f} % of what either shows; judge only where both are seen."
    ),
    "overlap-little": "The scans share at most {percent:.0f} % of what either shows: too little to align by.",
    "folds": "The deformation folds over itself in {percent:.2g} % of the voxels.",
    "rough": "The deformation is rough (log-Jacobian spread {spread:.2f}).",
    "volume-change": "Somewhere tissue changes its volume more than {factor:.0f}-fold.",
    "inverse": "Going there and back misses by {error:.2f} mm; do not use the inverse for fine detail.",
    "headers": (
        "The headers disagree: the moving scan was found turned by {degrees:.0f}°. "
        "Check left and right, and where the scans come from."
    ),
}


class Reason(str):
    """A sentence with what it was made of, so that it can be said in another language.

    Attributes:
        code: key of `SENTENCES`.
        numbers: what the sentence was filled in with.
    """

    code: str
    numbers: dict[str, float]

    def __new__(cls, code: str, **numbers: float) -> Reason:
        """Fill in the sentence of this code."""
        reason = super().__new__(cls, SENTENCES[code].format(**numbers))
        reason.code, reason.numbers = code, numbers
        return reason


def findings(reasons: Iterable[Reason]) -> list[dict[str, Any]]:
    """Reasons for another program: `code`, `numbers` and the `sentence` itself."""
    return [{"code": one.code, "numbers": one.numbers, "sentence": str(one)} for one in reasons]


_Finding: TypeAlias = tuple[Word, Reason]


class Verdict(NamedTuple):
    """The verdict and its reasons, plain sentences with the gravest first."""

    word: Word
    reasons: list[Reason]


@dataclass(frozen=True)
class Thresholds:
    """Where a number stops being harmless.

    Attributes:
        folds_percent: above 0 tissue is turned inside out somewhere; above this share it is no local blemish.
        log_jacobian_sd: between people it is mostly 0.1 to 0.4; beyond, the field follows noise.
        volume_factor: no tissue grows or shrinks so many times between scans that show the same anatomy.
        inverse_voxels: forward and back must lead to the same voxel, so within half of one.
        similarity: correlation of features below which nothing in the scans visibly corresponds.
        faint_similarity: scans may lie beside each other below it: with MIND-SSC wrong matches reach about
            0.15, and right ones between CT and MR start at about 0.2.
        recognised: how alike the pose, before any deformation, makes the scans in the eyes of the bundled
            network. Deformed far enough, a wrong pose resembles as much as a right one. Before, 63 of 64
            right poses in pairs of head-neck CTs and hippocampus MRs reach it, and none of 128 wrong ones
            (docs/weights.md).
        similarity_loss: scans that were aligned from the start may lose so much by interpolation.
        information_loss: share of the mutual information at the pose that a bend may lose. Right ones between
            people lose a tenth at most, thick slices among them; bends that follow noise or edges of
            something else, as in PET, a quarter and more, where they lose any.
        overlap, little_overlap: share of the body in either scan that the other must cover to be judged as a
            whole, and to be judged at all; a scan of one organ shares all it shows.
        turn_degrees: patients lie less askew than that, so it is the headers that disagree.
        landmark_mm: landmarks can be placed more precisely than that by hand. They count as worse than before
            only where they miss by more than a voxel.
    """

    folds_percent: float = 1.0
    log_jacobian_sd: float = 0.5
    volume_factor: float = 8.0
    inverse_voxels: float = 0.5
    similarity: float = 0.1
    faint_similarity: float = 0.2
    recognised: float = 0.65
    similarity_loss: float = 0.05
    information_loss: float = 0.15
    overlap: float = 0.5
    little_overlap: float = 0.1
    turn_degrees: float = 30.0
    landmark_mm: float = 5.0


def judge(report: Mapping[str, Any], voxel_mm: float, limits: Thresholds = Thresholds()) -> Verdict:
    """Judge a report by its numbers; those that are missing or None are not judged.

    Args:
        report: as `Registration.report`.
        voxel_mm: edge of a voxel of the fixed image (mean, where the edges differ).
        limits: where the numbers stop being harmless.
    """
    found = [
        *_landmarks(report, voxel_mm, limits),
        *_similarity(report, limits),
        *_recognised(report, limits),
        *_information(report, limits),
        *_overlap(report, limits),
        *_folds(report, limits),
        *_volumes(report, limits),
        *_inverse(report, voxel_mm, limits),
        *_headers(report, limits),
    ]
    for word in ("failed", "look closely"):
        if any(one == word for one, _ in found):
            found.sort(key=lambda one: one[0] != "failed")
            return Verdict(word, [reason for _, reason in found])
    return Verdict("good", [Reason("nothing")])


def number(report: Mapping[str, Any], *path: str) -> float | None:
    """The number at this path of nested mappings; None where there is none, NaN where it is no finite one."""
    value: Any = report
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return None if value is None else float(value)


def _landmarks(report: Mapping[str, Any], voxel_mm: float, limits: Thresholds) -> Iterator[_Finding]:
    before, after = (number(report, "landmark_error_mm", when) for when in ("before", "after"))
    if after is None:
        return
    if before is not None and after > max(before, voxel_mm):
        yield "failed", Reason("landmarks-worse", before=before, after=after)
    elif not after <= limits.landmark_mm:
        yield "look closely", Reason("landmarks-apart", after=after)


def _similarity(report: Mapping[str, Any], limits: Thresholds) -> Iterator[_Finding]:
    before, after = (number(report, "similarity", when) for when in ("before", "after"))
    if after is None:
        return
    if before is not None and after < before - limits.similarity_loss:
        yield "failed", Reason("similarity-worse", before=before, after=after)
    if not after >= limits.similarity:
        yield "failed", Reason("similarity-none", after=after)
    elif after < limits.faint_similarity:
        yield "look closely", Reason("similarity-faint", after=after)


def _recognised(report: Mapping[str, Any], limits: Thresholds) -> Iterator[_Finding]:
    recognised = number(report, "recognised")
    if recognised is not None and not recognised >= limits.recognised:
        yield "look closely", Reason("recognised-little", recognised=recognised)


def _information(report: Mapping[str, Any], limits: Thresholds) -> Iterator[_Finding]:
    before, after = (number(report, "information", when) for when in ("before", "after"))
    if before is not None and after is not None and not after >= (1 - limits.information_loss) * before:
        yield "look closely", Reason("information-lost", before=before, after=after)


def _overlap(report: Mapping[str, Any], limits: Thresholds) -> Iterator[_Finding]:
    shares = [number(report, key) for key in ("overlap", "overlap_of_moving")]
    overlap = max((share for share in shares if share is not None), default=1.0)
    if overlap >= limits.overlap:
        return
    if overlap >= limits.little_overlap:
        yield "look closely", Reason("overlap-part", percent=100 * overlap)
    else:
        yield "failed", Reason("overlap-little", percent=100 * overlap)


def _folds(report: Mapping[str, Any], limits: Thresholds) -> Iterator[_Finding]:
    folds = number(report, "folds_percent")
    if folds is not None and not folds <= 0:
        word: Word = "look closely" if folds <= limits.folds_percent else "failed"
        yield word, Reason("folds", percent=folds)


def _volumes(report: Mapping[str, Any], limits: Thresholds) -> Iterator[_Finding]:
    spread = number(report, "log_jacobian_sd")
    if spread is not None and not spread <= limits.log_jacobian_sd:
        yield "look closely", Reason("rough", spread=spread)
    ends = [number(report, f"log_jacobian_{end}") for end in ("min", "max")]
    # In this order, an end that is no number counts as the most.
    largest = max((min(7.0, abs(end)) for end in ends if end is not None), default=0.0)
    if largest > math.log(limits.volume_factor):
        yield "look closely", Reason("volume-change", factor=math.floor(math.exp(largest)))


def _inverse(report: Mapping[str, Any], voxel_mm: float, limits: Thresholds) -> Iterator[_Finding]:
    error = number(report, "inverse_consistency_mm")
    if error is not None and not error <= limits.inverse_voxels * voxel_mm:
        yield "look closely", Reason("inverse", error=error)


def _headers(report: Mapping[str, Any], limits: Thresholds) -> Iterator[_Finding]:
    turn = number(report, "header_turn_degrees")
    if turn is not None and turn > limits.turn_degrees:
        yield "look closely", Reason("headers", degrees=turn)
