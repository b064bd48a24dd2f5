"""How well a transform aligns two images: target registration error, Dice, folds, log-Jacobian."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from SynthFoundationLib.geometry import Grid, Transform
from SynthFoundationLib.images import Image, LabelMap

SLAB_POINTS = 500_000
LEAST_DETERMINANT, LARGEST_DETERMINANT = 1e-3, 1e3


def moving_positions(transform: Transform, grid: Grid) -> np.ndarray:
    """Where the transform sends each voxel of the grid → (D, H, W, 3) float64, LPS mm."""
    positions = np.empty((*grid.shape, 3))
    for slab in _slabs(grid.shape):
        index = np.indices((slab.stop - slab.start, *grid.shape[1:]))
        index[0] += slab.start
        points = grid.to_physical(index[::-1].reshape(3, -1).T)
        positions[slab] = transform.apply(points).reshape(positions[slab].shape)
    return positions


def target_registration_error(
    transform: Transform, fixed: np.ndarray, moving: np.ndarray
) -> dict[str, float]:
    """Mean and 95th percentile of the distances in mm between carried fixed points and their places."""
    distances = np.linalg.norm(transform.apply(fixed) - moving, axis=1)
    return {"tre_mm": float(distances.mean()), "tre_p95_mm": float(np.percentile(distances, 95))}


def deformation(positions: np.ndarray, grid: Grid, inside: np.ndarray) -> dict[str, float]:
    """Folded voxels in % and sd of the log-Jacobian over the voxels inside, without the outermost layer."""
    determinants = _determinants(positions, grid)[inside[1:-1, 1:-1, 1:-1]]
    if not len(determinants):
        return {"folds_percent": 0.0, "log_jacobian_sd": 0.0}
    logs = np.log(determinants.clip(LEAST_DETERMINANT, LARGEST_DETERMINANT))
    return {"folds_percent": 100 * float((determinants <= 0).mean()), "log_jacobian_sd": float(logs.std())}


def bright(image: Image) -> np.ndarray:
    """Voxels (D, H, W) more than 2 % above the lowest value, on the way to the 99th percentile."""
    values = image.data[0].numpy()
    low = values.min()
    return values > low + 0.02 * (np.percentile(values, 99) - low)


def carried(labels: LabelMap, positions: np.ndarray) -> np.ndarray:
    """Labels of the moving image at these places, nearest voxel, 0 outside → (D, H, W)."""
    result = np.zeros(positions.shape[:-1], np.int32)
    data, size = labels.data.numpy(), np.array(labels.grid.size)
    for slab in _slabs(result.shape):
        index = np.floor(labels.grid.to_index(positions[slab]) + 0.5).astype(int)
        within = ((index >= 0) & (index < size)).all(-1)
        i, j, k = index[within].T
        result[slab][within] = data[k, j, i]
    return result


def dice(ours: np.ndarray, truth: np.ndarray, labels: Sequence[int]) -> dict[int, float]:
    """2·|A ∩ B| / (|A| + |B|) of each label; 0 where neither has it."""
    scores = {}
    for label in labels:
        a, b = ours == label, truth == label
        scores[label] = 2 * int((a & b).sum()) / max(1, int(a.sum()) + int(b.sum()))
    return scores


def _determinants(positions: np.ndarray, grid: Grid) -> np.ndarray:
    """Jacobian determinants by central differences along the voxel axes → (D − 2, H − 2, W − 2)."""
    result = np.empty([n - 2 for n in grid.shape])
    handedness = np.linalg.det(grid.axes)
    for slab in _slabs(result.shape):
        near = positions[slab.start : slab.stop + 2]
        inner = slice(1, -1)
        along_z = near[2:, inner, inner] - near[:-2, inner, inner]
        along_y = near[inner, 2:, inner] - near[inner, :-2, inner]
        along_x = near[inner, inner, 2:] - near[inner, inner, :-2]
        volume = (along_x * np.cross(along_y, along_z)).sum(-1)
        result[slab] = handedness * volume / (8 * np.prod(grid.spacing))
    return result


def _slabs(shape: Sequence[int]) -> Iterator[slice]:
    rows = max(1, SLAB_POINTS // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))
