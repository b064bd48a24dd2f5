"""A volume without what coarser voxels cannot hold: averaged over cells, then smoothed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from .grid import Grid


class Blur(NamedTuple):
    """What takes out of a volume what coarser voxels cannot hold.

    Attributes:
        cells: over which it is averaged.
        sigma: of the Gaussian that smooths the means afterwards, in cells along (x, y, z).
    """

    cells: Cells
    sigma: tuple[float, float, float]

    @classmethod
    def between(cls, source: Grid, target: Grid) -> Blur:
        """For reading a volume on `source` in the voxels of `target`.

        Cells half as wide as the target's voxels, then a Gaussian: both together have its variance,
        ¼ (r² − 1) for a target r times as coarse, at a fraction of the work.
        """
        per_axis = np.abs(source.axes.T @ target.axes) @ np.array(target.spacing)
        ratio = per_axis / np.array(source.spacing)
        cells = Cells.of(np.floor(ratio / 2), source.size)
        wanted = 0.25 * np.maximum(ratio**2 - 1, 0) - (cells.size**2 - 1) / 12
        i, j, k = np.sqrt(np.maximum(wanted, 0)) / cells.size
        return cls(cells, (float(i), float(j), float(k)))

    def along(self, axis: int) -> Blur:
        """What is done along one axis alone, as something that is done along x."""
        size, before = (
            np.array([part[axis], rest, rest]) for part, rest in zip(self.cells, (1, 0), strict=True)
        )
        return Blur(Cells(size, before), (self.sigma[axis], 0.0, 0.0))

    def of(self, volume: torch.Tensor) -> torch.Tensor:
        """The smoothed means (C, …) of the cells of (C, D, H, W)."""
        return smooth(self.cells.averaged(volume), self.sigma)


class Cells(NamedTuple):
    """How an image was averaged: cells of so many voxels (x, y, z), the first beginning before the image."""

    size: np.ndarray
    before: np.ndarray

    @classmethod
    def of(cls, widest: np.ndarray, size: tuple[int, int, int]) -> Cells:
        """Cells of up to so many voxels, centred on an image of this size: turned over, it has the same."""
        cell = np.minimum(np.maximum(widest, 1), size).astype(int)
        voxels = np.array(size)
        cell += (cell % 2 == 0) & (voxels % 2 == 1)  # an even cell cannot be centred on an odd number
        missing = -voxels % cell
        missing += np.where(missing % 2, cell, 0)
        return cls(cell, missing // 2)

    def averaged(self, volume: torch.Tensor) -> torch.Tensor:
        """The means (C, …) of the cells of (C, D, H, W), its border repeated."""
        if self.size.max() == 1:
            return volume
        if self.before.any():
            volume = F.pad(volume[None], self.before.repeat(2).tolist(), mode="replicate")[0]
        return F.avg_pool3d(volume[None], tuple(self.size[::-1].tolist()))[0]

    def of_voxels(self, index: torch.Tensor) -> torch.Tensor:
        """Voxel indices (..., 3) as indices of cells."""
        if self.size.max() == 1:
            return index
        width, before = index.new_tensor(self.size), index.new_tensor(self.before)
        return (index + (before + 0.5)) / width - 0.5


def smooth(volume: torch.Tensor, sigma: float | tuple[float, float, float]) -> torch.Tensor:
    """Gaussian smoothing of (C, D, H, W) with `sigma` voxels along (x, y, z); borders are repeated."""
    sigmas = np.broadcast_to(np.asarray(sigma, float), 3)
    for axis, value in zip((3, 2, 1), sigmas, strict=True):
        if value > 1e-3 and volume.shape[axis] > 1:
            volume = _smooth_axis(volume, axis, float(value))
    return volume


def _smooth_axis(volume: torch.Tensor, axis: int, sigma: float) -> torch.Tensor:
    """Sum of shifted views: on one channel many times faster than a convolution call."""
    radius, length = max(1, math.ceil(3 * sigma)), volume.shape[axis]
    offsets = np.arange(radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel[0] + 2 * kernel[1:].sum()
    pad = [0] * 6
    pad[2 * (3 - axis)] = pad[2 * (3 - axis) + 1] = radius
    padded = F.pad(volume[None], pad, mode="replicate")[0]
    result = padded.narrow(axis, radius, length) * float(kernel[0])
    for n in range(1, radius + 1):
        result.add_(padded.narrow(axis, radius - n, length), alpha=float(kernel[n]))
        result.add_(padded.narrow(axis, radius + n, length), alpha=float(kernel[n]))
    return result
