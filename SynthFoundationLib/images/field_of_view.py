"""What padding means: the end of a field of view, or blanked air around a patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Voxels along the longest axis in which the picture is found, and those of it that its shape is judged by.
_SEEN, _ALONG = 192, 48
# Share of what lies between its outermost voxels that is held, and above which what is missing are holes.
_FULL, _WHOLE = 0.85, 0.98
# Faces of a box that the scan's borders cut, how many degrees the normals of one may differ, and the share of
# the surface that they have: of boxes .97, of heads .3, of shoulders and neck .8.
_FACES, _DEGREES, _FLAT = 12, 7.0, 0.9
# Sine of how far sides and ends of a cylinder may lean, the share of the surface that they have, and how far
# its sides may be off, as a share of its radius: those of cylinders are by .01, of heads by .04.
_LEAN, _STRAIGHT, _ROUND = 0.2, 0.8, 0.02


def is_field_of_view(held: torch.Tensor, spacing: Sequence[float]) -> bool:
    """Whether the picture, bool (D, H, W), is a box or a circular cylinder with padding beyond some of it.

    So is a scan that was turned or resampled into another one's voxels, and what a CT reconstructs inside of
    a circle. Air that was blanked leaves the patient's outline. `spacing` is in mm, (i, j, k).
    """
    seen, steps = _thinned(held.cpu().numpy(), _SEEN)
    places = ndimage.find_objects(seen.view(np.uint8))
    if not places or seen.all():
        return False
    thin, further = _thinned(seen[places[0]], _ALONG)
    try:
        hull = ConvexHull(_ends_of_rows(thin))  # in voxels: planes are planes whatever their edges
    except QhullError:  # a single slice, or a line
        return False
    around = hull.volume + hull.area / 2  # the corners are middles of voxels
    if around * np.prod(further) > _WHOLE * seen.size or thin.sum() < _FULL * around:
        return False
    outside = ~_at_ends(hull.points[hull.simplices], places[0], seen.shape)
    surface = _Surface.of(hull, np.ones(3), outside)
    if not len(surface.areas):
        return False
    if surface.flat_share() >= _FLAT:
        return True
    return _Surface.of(hull, steps * further * spacing[::-1], outside).is_round()


def _at_ends(corners: np.ndarray, place: tuple[slice, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Which triangles (N, 3, 3) about the picture at `place` lie in the faces of the scan of that shape."""
    there = np.zeros(len(corners), bool)
    for axis, along in enumerate(place):
        ends = corners[..., axis].min(), corners[..., axis].max()
        for end, touches in zip(ends, (along.start == 0, along.stop == shape[axis]), strict=True):
            there |= touches & (corners[..., axis] == end).all(1)
    return there


def _thinned(volume: np.ndarray, along: int) -> tuple[np.ndarray, np.ndarray]:
    """Every so many voxels, about `along` of them along each axis, and how many voxels are a step."""
    steps = np.array([max(1, n // along) for n in volume.shape])
    return volume[tuple(slice(step // 2, None, step) for step in steps)], steps


def _ends_of_rows(thin: np.ndarray) -> np.ndarray:
    """First and last held voxels (N, 3) of each row along the last axis: all corners are among them."""
    rows = np.argwhere(thin.any(axis=2))
    held = thin[rows[:, 0], rows[:, 1]]
    first, last = held.argmax(1), thin.shape[2] - 1 - held[:, ::-1].argmax(1)
    return np.concatenate([np.column_stack([rows, end]) for end in (first, last)])


class _Surface(NamedTuple):
    """Triangles of a convex surface: their middles and outward normals (N, 3), and areas (N,)."""

    middles: np.ndarray
    normals: np.ndarray
    areas: np.ndarray

    @classmethod
    def of(cls, hull: ConvexHull, edges: np.ndarray, which: np.ndarray) -> _Surface:
        """Some triangles of a hull in voxels of those edges."""
        corners = hull.points[hull.simplices[which]] * edges
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = hull.equations[which, :3] / edges
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return cls(corners.mean(1), normals, np.linalg.norm(across, axis=1) / 2)

    def flat_share(self) -> float:
        """Share that its flattest faces make up."""
        alike, left, flat = self._alike(), self.areas.copy(), 0.0
        for _ in range(_FACES):
            face = alike[(alike @ left).argmax()]
            flat += left[face].sum()
            left[face] = 0
        return float(flat / self.areas.sum())

    def is_round(self) -> bool:
        """Whether it belongs to a circular cylinder: along an axis, or with a flat end, or with none."""
        end = self.normals[(self._alike() @ self.areas).argmax()]
        least_faced = np.linalg.eigh((self.normals.T * self.areas) @ self.normals)[1][:, 0]
        return any(self._is_round_about(axis) for axis in (*np.eye(3), end, least_faced))

    def _alike(self) -> np.ndarray:
        return self.normals @ self.normals.T >= np.cos(np.deg2rad(_DEGREES))

    def _is_round_about(self, axis: np.ndarray) -> bool:
        """The planes that touch a cylinder lie as far from its axis as each other: n · p = n · c + r."""
        lean = np.abs(self.normals @ axis)
        sides, ends = lean < _LEAN, lean > np.sqrt(1 - _LEAN**2)
        if not sides.any() or self.areas[sides | ends].sum() < _STRAIGHT * self.areas.sum():
            return False
        normals, weights = self.normals[sides], np.sqrt(self.areas[sides])
        distances = (normals * self.middles[sides]).sum(1) * weights
        table = np.column_stack([normals, np.ones(len(normals))]) * weights[:, None]
        fit = np.linalg.lstsq(table, distances, rcond=1e-6)[0]
        off = np.linalg.norm(table @ fit - distances) / np.linalg.norm(weights)
        return bool(off < _ROUND * fit[3])
