"""Which slices look completely labelled, where nobody says."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from .boxes import across, around, held

Slice: TypeAlias = tuple[int, int]  # array axis 0, 1 or 2 of (D, H, W), and index

FLAT = 0.5  # least share of the labelled voxels that lies flat in slices where these are of several axes
SPARE = 0.05  # share of the labelled voxels that slices of several axes may leave out


def detect_complete(labelled: np.ndarray) -> tuple[Slice, ...]:
    """Slices that look completely labelled, given that no background is: they hold nearly all labels.

    A voxel in a row of one or two along one direction, and longer ones along the others, speaks for the slice
    it lies flat in. Where few do, whole slabs are labelled, or single lines, in slices of one axis.
    """
    box = around(labelled)
    inner = labelled[box]
    if not inner.size:
        return ()
    rows = [thickness(inner, axis) for axis in range(3)]
    flat = [rows[axis] < np.minimum(rows[axis - 1], rows[axis - 2]) for axis in range(3)]
    if sum(map(np.count_nonzero, flat)) < FLAT * np.count_nonzero(inner):
        found = _of_one_axis(inner)
    else:
        found = _needed(_by_votes(flat, inner), inner)
    return tuple(sorted((axis, index + box[axis].start) for axis, index in found))


def thickness(labelled: np.ndarray, axis: int) -> np.ndarray:
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
    votes = [np.count_nonzero(flat[axis], axis=across(axis)) for axis in range(3)]
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
        found += [(axis, int(index)) for index in np.flatnonzero(left.any(across(axis)))]
    elif np.count_nonzero(left) > SPARE * np.count_nonzero(labelled):
        found += _of_one_axis(left)
    return found


def _of_one_axis(labelled: np.ndarray) -> list[Slice]:
    """All slices with labels of the axis along which these lie farthest apart."""
    filled = held(labelled)
    extents = [len(index) / (index[-1] - index[0] + 1) if len(index) > 1 else 0.0 for index in filled]
    axis = int(np.lexsort((range(3), extents))[0])
    return [(axis, int(index)) for index in filled[axis]]


def _needed(slices: list[Slice], labelled: np.ndarray) -> list[Slice]:
    """The slices without those of which the others hold every label; the last are left out first."""
    times = np.zeros(labelled.shape, np.uint8)
    for axis, index in slices:
        np.moveaxis(times, axis, 0)[index] += 1
    times[~labelled] = 9
    kept = []
    for axis, index in reversed(slices):
        plane = np.moveaxis(times, axis, 0)[index]
        if plane.min() > 1:
            plane -= 1
        else:
            kept.append((axis, index))
    return kept
