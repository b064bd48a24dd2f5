"""What the user has labelled: which labels, and which slices are labelled completely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ..errors import InputError

Slice: TypeAlias = tuple[int, int]  # array axis 0, 1 or 2 of (D, H, W), and index
CompleteSlices: TypeAlias = "Literal['auto', 'none'] | Iterable[Slice]"

FLAT = 0.5  # least share of the labelled voxels that lies flat in slices where these are of several axes
SPARE = 0.05  # share of the labelled voxels that slices of several axes may leave out


@dataclass(frozen=True)
class Seeds:
    """Labelled voxels in the terms the classifier uses.

    Attributes:
        classes: (D, H, W) int16; -1 not labelled, 0 background, 1 … n-1 the labels `values`.
        values: the user's label of each class; values[0] = 0.
        complete: completely labelled slices as (axis, index), sorted.
        detected: whether these were found rather than given.
    """

    classes: np.ndarray
    values: tuple[int, ...]
    complete: tuple[Slice, ...]
    detected: bool


def read_seeds(
    labels: np.ndarray, complete_slices: CompleteSlices = "auto", background: int | None = None
) -> Seeds:
    """Turn a label map (D, H, W), 0 = not labelled, into seeds.

    Args:
        labels: whole numbers.
        complete_slices: slices whose empty voxels are background; "auto" looks for them where no background
            is labelled.
        background: label that stands for background.

    Raises:
        InputError: nothing is labelled, only background is, or a slice lies outside the volume.
    """
    drawn = labels != 0
    marked = labels[drawn]
    used = np.flatnonzero(np.bincount(marked))
    values = [int(v) for v in used if v != background]
    if not values:
        given = "only background" if len(used) else "empty"
        raise InputError(f"the seeds are {given}: label at least one voxel of a structure")
    if background is not None and background <= 0:
        raise InputError(f"the background label is {background}; give a label above 0 of the seeds")
    lookup = np.zeros(int(used[-1]) + 1, np.int16)
    lookup[values] = np.arange(1, len(values) + 1)
    classes = np.full(labels.shape, -1, np.int16)
    classes[drawn] = lookup[marked]
    detected = isinstance(complete_slices, str) and complete_slices == "auto"
    complete = _complete(classes, complete_slices, len(values) < len(used))
    for axis, index in complete:
        plane = np.moveaxis(classes, axis, 0)[index]
        plane[plane < 0] = 0
    return Seeds(classes, (0, *values), complete, detected)


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


def detect_complete(labelled: np.ndarray) -> tuple[Slice, ...]:
    """Slices that look completely labelled, given that no background is: they hold nearly all labels.

    A voxel in a row of one or two along one direction, and longer ones along the others, speaks for the slice
    it lies flat in. Where few do, whole slabs are labelled, or single lines, in slices of one axis.
    """
    filled = [np.flatnonzero(labelled.any(_across(axis))) for axis in range(3)]
    if not len(filled[0]):
        return ()
    low = [int(indices[0]) for indices in filled]
    inner = labelled[tuple(slice(int(indices[0]), int(indices[-1]) + 1) for indices in filled)]
    rows = [_thickness(inner, axis) for axis in range(3)]
    flat = [rows[axis] < np.minimum(rows[axis - 1], rows[axis - 2]) for axis in range(3)]
    if sum(map(np.count_nonzero, flat)) < FLAT * np.count_nonzero(inner):
        found = _of_one_axis(inner)
    else:
        found = _needed(_by_votes(flat, inner), inner)
    return tuple(sorted((axis, index + low[axis]) for axis, index in found))


def _thickness(labelled: np.ndarray, axis: int) -> np.ndarray:
    """How many labelled voxels lie in a row along the axis: 1, 2, or 3 for more; 0 where none is."""
    along = np.moveaxis(labelled, axis, 0)
    padded = np.pad(along, ((2, 2), (0, 0), (0, 0)))
    two_before, before, after, two_after = padded[:-4], padded[1:-3], padded[3:-1], padded[4:]
    beside = before | after
    more = (before & after) | (before & two_before) | (after & two_after)
    rows = along * (np.uint8(1) + beside + more)
    return np.moveaxis(rows, 0, axis)


def _by_votes(flat: list[np.ndarray], labelled: np.ndarray) -> list[Slice]:
    """Slices that hold the labels, those first that most voxels of their axis' mask (D, H, W) lie flat in."""
    votes = [np.count_nonzero(flat[axis], axis=_across(axis)) for axis in range(3)]
    slices = [(axis, int(index)) for axis in range(3) for index in np.flatnonzero(votes[axis])]
    found: list[Slice] = []
    left = labelled.copy()
    for axis, index in sorted(slices, key=lambda one: -int(votes[one[0]][one[1]])):
        plane = np.moveaxis(left, axis, 0)[index]
        if plane.any():
            found.append((axis, index))
            plane[:] = False
    axes = {axis for axis, _ in found}
    if len(axes) == 1:
        (axis,) = axes
        found += [(axis, int(index)) for index in np.flatnonzero(left.any(_across(axis)))]
    elif np.count_nonzero(left) > SPARE * np.count_nonzero(labelled):
        found += _of_one_axis(left)
    return found


def _of_one_axis(labelled: np.ndarray) -> list[Slice]:
    """All slices with labels of the axis along which these lie farthest apart."""
    filled = [np.flatnonzero(labelled.any(_across(axis))) for axis in range(3)]
    extents = [len(index) / (index[-1] - index[0] + 1) if len(index) > 1 else 0.0 for index in filled]
    axis = int(np.lexsort((range(3), extents))[0])
    return [(axis, int(index)) for index in filled[axis]]


def _across(axis: int) -> tuple[int, ...]:
    return tuple({0, 1, 2} - {axis})


def _needed(slices: list[Slice], labelled: np.ndarray) -> list[Slice]:
    """The slices without those of which the others hold every label; the last are left out first."""
    held = np.zeros(labelled.shape, np.uint8)
    for axis, index in slices:
        np.moveaxis(held, axis, 0)[index] += 1
    held[~labelled] = 9
    kept = []
    for axis, index in reversed(slices):
        plane = np.moveaxis(held, axis, 0)[index]
        if plane.min() > 1:
            plane -= 1
        else:
            kept.append((axis, index))
    return kept


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
