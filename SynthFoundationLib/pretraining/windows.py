"""Two windows on one rendered pair, so that no voxel lies at the same index in both views.

With aligned views a network finds the same voxel by counting voxels from the border, which padding lets it
do, and learns nothing of the anatomy. Here the first view is a crop at random, the second another part of the
anatomy, rotated, scaled and, when asked for, bent a little, as that of another person is; which voxel is
which is known exactly.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from SynthFoundationLib.synthesis.draws import Parameters, diagonal, log_uniform, rotation, seed_of, times
from SynthFoundationLib.synthesis.fields import Shape, smooth_noise, spline

ANGLE = math.radians(20)
# Coefficients along each axis of the spline that bends a second window.
BEND: Shape = (12, 12, 12)


class Windows(NamedTuple):
    """Views (2 B, 1, S, S, S), all first views first; labels alike, (2 B, S, S, S); and where voxels went.

    A voxel (z, y, x) of a second view lies at `maps` (z, y, x, 1) + bend (z, y, x) of its first view:
    `maps` is (B, 3, 4), and the bend in voxels has the spline coefficients `bends`, (B, 3, 12, 12, 12).
    """

    views: Tensor
    labels: Tensor
    maps: Tensor
    bends: Tensor


def sample_window(seed: int, whole: int, side: int, turn: float = 1.0, bend: float = 0.0) -> Parameters:
    """Corner of the first window; centre, matrix and bend of the second, in voxels of the rendered cube.

    Args:
        seed: of the draw.
        whole: side of the rendered cube.
        side: of the windows, even as the corner is.
        turn: 0 moves the second window without rotating, scaling or bending it.
        bend: largest mean slope of the displacement that bends the second window.
    """
    rng = random.Random(f"window {seed}")
    corner = [2 * rng.randint(0, (whole - side) // 2) for _ in range(3)]
    low, high = side / 2 - 4 - 0.5, whole - side / 2 + 4 - 0.5
    far = 0.4 * side
    middle = [c + (side - 1) / 2 for c in corner]
    center = [min(max(m + rng.uniform(-far, far), low), high) for m in middle]
    scale = log_uniform(rng, 0.85, 1.2)
    matrix = times(rotation(rng, ANGLE), diagonal([scale * log_uniform(rng, 0.93, 1.07) for _ in range(3)]))
    if turn == 0:
        center = [m + 2 * round((c - m) / 2) for c, m in zip(center, middle, strict=True)]
        matrix = diagonal([1.0, 1.0, 1.0])
    cells = log_uniform(rng, 1.5, 8)
    # A field of unit variance and so many cells has about this slope times cells / side.
    size = turn * bend * rng.random() * side / (1.5 * cells)
    return {
        "corner": corner,
        "center": center,
        "matrix": matrix,
        "bend": {"seed": seed_of(rng), "cells": [cells] * 3, "size": size},
    }


def look(view1: Tensor, view2: Tensor, labels: Tensor, windows: list[Parameters], side: int) -> Windows:
    """Cut the windows out of rendered pairs, views (B, 1, R, R, R) and labels (B, R, R, R)."""
    firsts, seconds, classes1, classes2, maps, bends = [], [], [], [], [], []
    assert labels.shape[1] >= side
    for k, window in enumerate(windows):
        box = tuple(slice(c, c + side) for c in window["corner"])
        firsts.append(view1[k, 0][box])
        classes1.append(labels[k][box])
        matrix = torch.tensor(window["matrix"], dtype=torch.float64)
        start = torch.tensor(window["center"], dtype=torch.float64) - matrix.sum(1) * ((side - 1) / 2)
        bend = _bend(window["bend"], labels.device)
        place = _places(torch.cat((matrix, start[:, None]), 1), bend, side)
        seconds.append(_resample(view2[k, 0], place, "bilinear"))
        classes2.append(_resample(labels[k].float(), place, "nearest").to(labels.dtype))
        # First view: cube = corner + index.
        shift = start - torch.tensor(window["corner"], dtype=torch.float64)
        maps.append(torch.cat((matrix, shift[:, None]), 1).float())
        bends.append(bend)
    views = torch.stack(firsts + seconds)[:, None]
    return Windows(
        views, torch.stack(classes1 + classes2), torch.stack(maps).to(views.device), torch.stack(bends)
    )


def _bend(bend: Parameters, device: torch.device) -> Tensor:
    """Spline coefficients of a displacement in voxels, (3, 12, 12, 12)."""
    return bend["size"] * smooth_noise(bend["seed"], bend["cells"], BEND, device, 3)


def _places(affine: Tensor, bend: Tensor, side: int) -> Tensor:
    """Where the voxels of a second window lie in the cube: affine (3, 4) of the index, and its bend."""
    linear = affine.float().to(bend.device)
    axes = [torch.arange(side, device=bend.device, dtype=torch.float32)] * 3
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) @ linear[:, :3].T + linear[:, 3]
    return place + spline(bend, (side,) * 3).movedim(0, -1)


def _resample(volume: Tensor, place: Tensor, mode: str) -> Tensor:
    """Values (R, R, R) at voxel positions (S, S, S, 3), zero outside."""
    grid = ((place + 0.5) * (2 / volume.shape[0]) - 1).flip(-1)
    return grid_sample(volume[None, None], grid[None], mode=mode, align_corners=False)[0, 0]


def interpolate_at(features: Tensor, place: Tensor) -> Tensor:
    """Features (C, d, h, w) at voxel positions (..., 3) in (z, y, x), trilinear: (..., C)."""
    size = torch.tensor(features.shape[1:], device=features.device, dtype=torch.float32)
    grid = ((place.float() + 0.5) * 2 / size - 1).flip(-1).reshape(1, 1, 1, -1, 3)
    found = grid_sample(features[None], grid, padding_mode="border", align_corners=False)
    return found[0, :, 0, 0].T.reshape(*place.shape[:-1], -1)
