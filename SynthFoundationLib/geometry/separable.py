"""Reading a volume on voxels whose axes are parallel to its own: one matrix along each axis.

Averaging, smoothing and linear interpolation are all linear and act on one axis after the other, so that what
they do together to unit impulses is the matrix that does it to anything. A product of matrices is many times
faster than visiting the voxels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from .antialiasing import Blur
    from .grid import Grid

# Voxels by which an axis may lean over its whole length and still count as parallel.
LEAN = 1e-4


def parallel(matrix: np.ndarray, target: Grid) -> bool:
    """Whether a map of voxels of `target` to those of another grid moves each index by its own axis alone."""
    leaning = matrix[:3, :3] - np.diag(np.diag(matrix[:3, :3]))
    return bool((np.abs(leaning) @ np.array(target.size) < LEAN).all())


def read(volume: torch.Tensor, positions: list[torch.Tensor], blur: Blur | None) -> torch.Tensor:
    """A (C, D, H, W) volume at the indices `positions` along x, y and z, its border repeated.

    Args:
        volume: floating-point, or bool, which is read as shares.
        positions: continuous indices along each axis, (n,) each, on the CPU.
        blur: what is done to the volume first, if anything.
    """
    matrices = []
    for axis, places in enumerate(positions):
        matrix = _matrix(places, volume.shape[3 - axis], None if blur is None else blur.along(axis))
        first, last = matrix.any(0).nonzero().flatten()[[0, -1]].tolist()
        volume = volume.narrow(3 - axis, first, last + 1 - first)
        matrices.append(matrix[:, first : last + 1])
    if volume.dtype == torch.bool:
        volume = volume.float()
    # What shrinks the volume most comes first.
    for axis in sorted(range(3), key=lambda a: len(matrices[a]) / matrices[a].shape[1]):
        volume = _applied(matrices[axis].to(volume), volume, 3 - axis)
    return volume


def _matrix(places: torch.Tensor, length: int, blur: Blur | None) -> torch.Tensor:
    """(n, length): what each of n places along x sees of each voxel."""
    index, seen = places.double(), torch.eye(length, dtype=torch.float64)  # (impulse, voxel)
    if blur is not None:
        seen = blur.of(seen[None, None])[0, 0]
        index = blur.cells.of_voxels(torch.stack([index] * 3, -1))[:, 0]
    index = index.clamp(0, seen.shape[1] - 1)
    low = index.floor().long()
    high = (low + 1).clamp_max(seen.shape[1] - 1)
    return torch.lerp(seen[:, low], seen[:, high], index - low).T


def _applied(matrix: torch.Tensor, volume: torch.Tensor, dimension: int) -> torch.Tensor:
    if dimension == 3:
        return volume @ matrix.T
    if dimension == 2:
        return matrix @ volume
    return (matrix @ volume.flatten(2)).unflatten(2, volume.shape[2:])


def magnified(volume: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """A (C, D, H, W) volume in voxels of another size that fill the same box, read linearly."""
    ends = zip(volume.shape[:0:-1], shape[::-1], strict=True)
    return read(volume, [(torch.arange(n) + 0.5) * (length / n) - 0.5 for length, n in ends], None)
