"""The voxels a network works on: the patient's axes in one order, one spacing for all scans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from ..geometry import Grid


def canonical(grid: Grid, spacing: Sequence[float] | None = None) -> Grid:
    """The same box with index axes nearest to left, back and up, in voxels of `spacing` mm (x, y, z).

    Scans that were stored in another order of axes, or flipped, look alike on it; oblique ones stay oblique.
    """
    columns = linear_sum_assignment(-np.abs(grid.axes))[1]
    signs = np.array([1.0 if grid.axes[row, column] >= 0 else -1.0 for row, column in enumerate(columns)])
    size = np.array(grid.size)[columns]
    first = np.zeros(3)
    first[columns] = np.where(signs > 0, 0, size - 1)
    turned = Grid(
        tuple(size),
        tuple(np.array(grid.spacing)[columns]),
        tuple(grid.to_physical(first)),
        tuple((grid.axes[:, columns] * signs).ravel()),
    )
    if spacing is None or np.allclose(spacing, turned.spacing, rtol=1e-3):
        return turned
    return turned.with_spacing(spacing)


def largest(
    maps: Iterable[tuple[int, torch.Tensor]], shape: tuple[int, ...], least: float = 0.0
) -> torch.Tensor:
    """Numbers of the maps (D, H, W) that are largest voxel by voxel, the last of equals; 0 below `least`."""
    best, most = torch.zeros(shape, dtype=torch.int64), torch.full(shape, least)
    for number, here in maps:
        best[here >= most] = number
        most = torch.maximum(most, here)
    return best
