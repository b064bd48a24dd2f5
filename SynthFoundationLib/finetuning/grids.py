"""The voxels a network works on: the patient's axes in one order, one spacing for all scans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from ..geometry import Grid


def canonical(grid: Grid, spacing: Sequence[float] | None = None) -> Grid:
    """The same box with index axes nearest to left, back and up, in voxels of `spacing` mm (x, y, z).

    Scans that were stored in another order of axes, or flipped, look alike on it; oblique ones stay oblique.
    """
    turned = grid.anatomical()
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
