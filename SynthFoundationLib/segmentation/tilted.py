"""Which planes across the voxels look completely labelled, where nobody says.

A scan that lies obliquely is often looked at, and painted on, along the axes of the patient: what is drawn
then is a plane across many slices of voxels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import ndimage

from .boxes import around

POINTS = 20_000  # labelled voxels that are looked at
PARTS = 6  # connected parts whose own planes are tried
LEAST_PART = 20  # voxels of these
ALIGNED = np.cos(np.deg2rad(0.5))  # normals nearer to an axis of the voxels belong to slices
COVERED = 0.97  # share of the labels that the planes hold
MOST = 0.9  # share of a plane's voxels that tell how thick it is
CLEAR = 0.5  # share of what is left then that lies in one more
ANOTHER = 0.5  # how much less the voxels of planes count that lie as no other does
APART = 1.5  # planes of one direction lie so many of their thicknesses apart, centre to centre

_Ends: TypeAlias = tuple[np.ndarray, float, float]  # normal, and from where to where along it, mm


class Plane(NamedTuple):
    """The voxels whose index, times (k, j, i), lies within `half` of `offset`."""

    k: float
    j: float
    i: float
    offset: float
    half: float

    @property
    def normal(self) -> tuple[float, float, float]:
        """Across it, in array axes."""
        return self.k, self.j, self.i

    def slices(self, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """Which voxels (H, W) of each slice of (D, H, W) lie in it, one slice after the other."""
        rows, columns = (np.arange(n, dtype=np.float32) for n in shape[1:])
        within = self.j * rows[:, None] + self.i * columns
        for index in range(shape[0]):
            yield np.abs(within + np.float32(self.k * index - self.offset)) <= self.half


def detect_planes(
    labelled: np.ndarray, spacing: Sequence[float], axes: np.ndarray, slices: int
) -> tuple[Plane, ...]:
    """Planes across the voxels that hold the labels, fewer than slices do; none if there are no such.

    Args:
        labelled: (D, H, W) bool; no background is.
        spacing: mm along (D, H, W).
        axes: (3, 3), the axes of the patient as columns, in terms of the array's.
        slices: how many slices along the voxels hold the labels.
    """
    if slices < 3:
        return ()
    box = around(labelled)
    points = np.argwhere(labelled[box]) + [side.start for side in box]
    points = points[:: max(1, len(points) // POINTS)] * np.array(spacing)
    normals = [n for n in (*axes.T, *_of_parts(labelled[box], spacing)) if np.abs(n).max() < ALIGNED]
    found: list[_Ends] = []
    left = points
    while normals and len(left):
        held, plane = _fullest_of_all(left, normals, found, spacing)
        needed, apart = len(left) > (1 - COVERED) * len(points), _apart(plane, found, spacing)
        if needed and (len(found) + 1 >= slices or not apart):
            return ()
        if not needed and np.count_nonzero(held) < CLEAR * len(left):  # strays
            break
        if apart:
            found.append(plane)
        left = left[~held]
    return tuple(_plane(*one, spacing) for one in found)


def _thickness(normal: np.ndarray, spacing: Sequence[float]) -> float:
    """How far a voxel reaches along a direction, mm."""
    return float(np.abs(normal) @ np.array(spacing))


def _fullest_of_all(
    points: np.ndarray, normals: list[np.ndarray], found: list[_Ends], spacing: Sequence[float]
) -> tuple[np.ndarray, _Ends]:
    """Which points (N,) the plane holds that holds most, and this plane; one that lies as others do first."""
    used = {id(normal) for normal, *_ends in found}
    best, result = -1.0, (np.empty(0, bool), (normals[0], 0.0, 0.0))
    for normal in normals:
        along = points @ normal
        held = _fullest(along, _thickness(normal, spacing))
        worth = np.count_nonzero(held) * (ANOTHER if used and id(normal) not in used else 1.0)
        if worth > best:
            best, result = worth, (held, (normal, *_densest(np.sort(along[held]))))
    return result


def _fullest(along: np.ndarray, thickness: float) -> np.ndarray:
    """Which points (N,), given by where they lie along a direction, the plane holds that holds most."""
    ordered = np.sort(along)
    counts = np.searchsorted(ordered, ordered + thickness, "right") - np.arange(len(ordered))
    first = int(counts.argmax())
    low, high = ordered[first], ordered[first + counts[first] - 1]
    result: np.ndarray = (along >= low) & (along <= high)
    return result


def _densest(along: np.ndarray) -> tuple[float, float]:
    """Between which ends sorted points lie, but for few: where planes cross, those of the others."""
    count = int(np.ceil(MOST * len(along)))
    first = int((along[count - 1 :] - along[: len(along) - count + 1]).argmin())
    last = first + count - 1
    spare = (along[last] - along[first]) * (1 / MOST - 1) / 2
    return float(along[first] - spare), float(along[last] + spare)


def _apart(plane: _Ends, others: Sequence[_Ends], spacing: Sequence[float]) -> bool:
    """Whether a plane is no neighbour of others, as in a solid: those have the same direction and touch."""
    normal, *ends = plane
    least = 2 * APART * _thickness(normal, spacing)
    return all(other[0] is not normal or abs(sum(ends) - sum(other[1:])) > least for other in others)


def _plane(normal: np.ndarray, low: float, high: float, spacing: Sequence[float]) -> Plane:
    half = max((high - low) / 2, _thickness(normal, spacing) / 4)
    k, j, i = (normal * np.array(spacing)).tolist()
    return Plane(k, j, i, (low + high) / 2, half)


def _of_parts(labelled: np.ndarray, spacing: Sequence[float]) -> list[np.ndarray]:
    """Normals of the largest connected parts that are flat and no mere lines."""
    parts, count = ndimage.label(labelled, ndimage.generate_binary_structure(3, 2))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    boxes, normals = ndimage.find_objects(parts), []
    for part in np.argsort(-sizes, kind="stable")[:PARTS]:
        if sizes[part] < LEAST_PART:
            break
        points = np.argwhere(parts[boxes[part]] == part + 1) * np.array(spacing)
        spread, directions = np.linalg.eigh(np.cov(points.T))
        flat = spread[0] < (_thickness(directions[:, 0], spacing) / 2) ** 2
        if flat and spread[1] > 4 * spread[0]:
            normals.append(directions[:, 0])
    return normals
