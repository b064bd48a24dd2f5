"""What the user has labelled: which labels, and which slices are labelled completely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ..errors import InputError
from ..geometry import Grid
from .complete import Slice, detect_complete
from .corrections import corrected_slices, is_copy
from .tilted import Plane, detect_planes

CompleteSlices: TypeAlias = "Literal['auto', 'none'] | Iterable[Slice]"


@dataclass(frozen=True)
class Seeds:
    """Labelled voxels in the terms the classifier uses.

    Attributes:
        classes: (D, H, W) int16; -1 not labelled, 0 background, 1 … n-1 the labels `values`.
        values: the user's label of each class; values[0] = 0.
        complete: completely labelled slices as (axis, index), sorted.
        planes: completely labelled planes across the voxels, where labels lie in these instead.
        detected: whether these were found rather than given.
        draft: (D, H, W) int16, the classes of a segmentation that is corrected, or None.
    """

    classes: np.ndarray
    values: tuple[int, ...]
    complete: tuple[Slice, ...]
    planes: tuple[Plane, ...]
    detected: bool
    draft: np.ndarray | None = None


def read_seeds(
    labels: np.ndarray,
    complete_slices: CompleteSlices = "auto",
    background: int | None = None,
    grid: Grid | None = None,
    planes: tuple[Plane, ...] = (),
    draft: np.ndarray | None = None,
) -> Seeds:
    """Turn a label map (D, H, W), 0 = not labelled, into seeds.

    Args:
        labels: whole numbers.
        complete_slices: slices whose empty voxels are background; "auto" looks for them where no background
            is labelled.
        background: label that stands for background.
        grid: of the label map; "auto" then looks for planes along the patient, too.
        planes: known planes across the voxels whose empty voxels are background.
        draft: a segmentation (D, H, W) to correct. Of a corrected copy of it only what differs is labelled;
            "auto" then are the slices that this lies in.

    Raises:
        InputError: nothing is labelled, only background is, or a slice lies outside the volume.
    """
    if background is not None and background <= 0:
        raise InputError(f"the background label is {background}; give a label above 0 of the seeds")
    drawn = labels != 0
    used = np.flatnonzero(np.bincount(labels[drawn]))
    every = used if draft is None else np.union1d(used, np.flatnonzero(np.bincount(draft[draft > 0])))
    values = [int(v) for v in every if v != background]
    if not values or not len(used):
        given = "only background" if len(used) else "empty"
        raise InputError(f"the seeds are {given}: label at least one voxel of a structure")
    lookup = np.zeros(int(every[-1]) + 1, np.int16)
    lookup[values] = np.arange(1, len(values) + 1)
    classes = np.where(drawn, lookup[labels], np.int16(-1))
    detected = isinstance(complete_slices, str) and complete_slices == "auto"
    if draft is not None:
        copy, draft = is_copy(labels, draft), lookup[draft]
        if copy:
            whole = None if detected else _complete(classes, complete_slices, False)
            return _corrections(classes, draft, (0, *values), whole)
    complete = _complete(classes, complete_slices, background in used)
    if detected and grid is not None and complete:
        planes = detect_planes(classes > 0, grid.spacing[::-1], grid.axes.T[::-1], len(complete))
        complete = () if planes else complete
    for axis, index in complete:
        plane = np.moveaxis(classes, axis, 0)[index]
        plane[plane < 0] = 0
    for tilted in planes:
        for seen, inside in zip(classes, tilted.slices(classes.shape), strict=True):
            seen[inside & (seen < 0)] = 0
    return Seeds(classes, (0, *values), complete, planes, detected, draft)


def _corrections(
    classes: np.ndarray, draft: np.ndarray, values: tuple[int, ...], given: tuple[Slice, ...] | None
) -> Seeds:
    """Seeds in a corrected copy of a draft: what differs, and all of the slices given, or that it lies in."""
    corrected = np.maximum(classes, 0)
    changed = corrected != draft
    if not changed.any() and not given:
        raise InputError("the seeds are the draft as it is: correct it in at least one slice")
    complete = corrected_slices(changed) if given is None else given
    for axis, index in complete:
        np.moveaxis(changed, axis, 0)[index] = True
    return Seeds(np.where(changed, corrected, np.int16(-1)), values, complete, (), given is None, draft)


def _complete(classes: np.ndarray, wanted: CompleteSlices, background: bool) -> tuple[Slice, ...]:
    if isinstance(wanted, str):
        if wanted == "none":
            return ()
        if wanted != "auto":
            raise InputError(f"complete slices are {wanted!r}; give 'auto', 'none' or pairs (axis, index)")
        return () if background else detect_complete(classes > 0)
    return check_slices(wanted, classes.shape, "complete slice")


def check_slices(wanted: Iterable[Slice], shape: tuple[int, ...], what: str = "slice") -> tuple[Slice, ...]:
    """Slices of a volume of that shape (D, H, W), sorted.

    Raises:
        InputError: one lies outside.
    """
    pairs = sorted({(int(axis), int(index)) for axis, index in wanted})
    for axis, index in pairs:
        if axis not in (0, 1, 2) or not 0 <= index < shape[axis]:
            raise InputError(
                f"{what} {index} of axis {axis} does not exist; the volume has "
                f"(D, H, W) = {tuple(shape)} voxels"
            )
    return tuple(pairs)


def parse_slices(text: str, axes: Sequence[str] = ("k", "j", "i")) -> CompleteSlices:
    """Read "auto", "none" or "AXIS:LIST", such as "k:10,20 i:64", the axes named as voxel indices (i, j, k).

    Raises:
        InputError: it is none of these.
    """
    if text in ("auto", "none"):
        return text  # type: ignore[return-value]
    pairs = []
    for part in text.split():
        axis, _, indices = part.partition(":")
        if axis not in axes or not indices or not all(i.strip().isdigit() for i in indices.split(",")):
            raise InputError(f"complete slices {text!r}: write auto, none or AXIS:LIST, as in k:10,20")
        pairs += [(list(axes).index(axis), int(index)) for index in indices.split(",")]
    return pairs
