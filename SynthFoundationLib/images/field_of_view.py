"""What padding means: the end of a field of view that lay otherwise, or blanked air around a patient."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import ConvexHull, QhullError

# Held voxels along the longest axis that its shape is judged by.
_ALONG = 48
# Faces of a box that the scan's borders cut, and how many degrees the normals of one may differ.
_FACES, _DEGREES = 12, 7.0
# Shares of the surface that these faces have, and of what lies between them that is held: of boxes .97 and 1,
# of heads .3 and .9, of shoulders and neck .8 and .7.
_FLAT, _FULL = 0.9, 0.85
# Share of the volume between them above which what is missing are holes.
_WHOLE = 0.98


def ends_in_planes(held: torch.Tensor) -> bool:
    """Whether the picture, bool (D, H, W), ends in flat faces with padding behind some of them.

    So does a scan that was turned or resampled into another one's voxels. Air that was blanked leaves the
    patient's outline.
    """
    if bool(held.all()) or not bool(held.any()):
        return False
    steps = [max(1, n // _ALONG) for n in held.shape]
    thin = held[tuple(slice(step // 2, None, step) for step in steps)].cpu().numpy()
    try:
        hull = ConvexHull(_ends_of_rows(thin))  # in voxels: planes are planes whatever their edges
    except QhullError:  # a single slice, or a line
        return False
    around = hull.volume + hull.area / 2  # the corners are middles of voxels
    if around > _WHOLE * thin.size or thin.sum() < _FULL * around:
        return False
    return _flat_share(hull) >= _FLAT


def _ends_of_rows(thin: np.ndarray) -> np.ndarray:
    """First and last held voxels (N, 3) of each row along the last axis: all corners are among them."""
    rows = np.argwhere(thin.any(axis=2))
    held = thin[rows[:, 0], rows[:, 1]]
    first, last = held.argmax(1), thin.shape[2] - 1 - held[:, ::-1].argmax(1)
    return np.concatenate([np.column_stack([rows, end]) for end in (first, last)])


def _flat_share(hull: ConvexHull) -> float:
    """Share of the surface of a convex body that its flattest faces make up."""
    corners = hull.points[hull.simplices]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    normals = hull.equations[:, :3]
    alike = normals @ normals.T >= np.cos(np.deg2rad(_DEGREES))
    left, flat = areas.copy(), 0.0
    for _ in range(_FACES):
        face = alike[(alike @ left).argmax()]
        flat += left[face].sum()
        left[face] = 0
    return float(flat / areas.sum())
