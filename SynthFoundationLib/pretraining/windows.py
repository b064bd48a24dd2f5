"""Two windows on one rendered pair, so that no voxel lies at the same index in both views.

With aligned views a network finds the same voxel by counting voxels from the border, which padding lets it
do, and learns nothing of the anatomy. Here the first view is a crop at random, the second another part of the
anatomy, rotated and scaled a little; which voxel is which is known exactly.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from SynthFoundationLib.synthesis.draws import Parameters, diagonal, log_uniform, rotation, times

ANGLE = math.radians(20)


class Windows(NamedTuple):
    """Views (2 B, 1, S, S, S), all first views first; labels alike, (2 B, S, S, S); and where voxels went.

    `maps`, (B, 3, 4), takes voxel indices (z, y, x, 1) of a first view to those of its second view.
    """

    views: Tensor
    labels: Tensor
    maps: Tensor


def sample_window(seed: int, whole: int, side: int, turn: float = 1.0) -> Parameters:
    """Corner of the first window, and centre and matrix of the second, in voxels of the rendered cube.

    Args:
        seed: of the draw.
        whole: side of the rendered cube.
        side: of the windows, even as the corner is.
        turn: 0 moves the second window without rotating or scaling it.
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
    return {"corner": corner, "center": center, "matrix": matrix}


def look(view1: Tensor, view2: Tensor, labels: Tensor, windows: list[Parameters], side: int) -> Windows:
    """Cut the windows out of rendered pairs, views (B, 1, R, R, R) and labels (B, R, R, R)."""
    firsts, seconds, classes1, classes2, maps = [], [], [], [], []
    whole = labels.shape[1]
    for k, window in enumerate(windows):
        box = tuple(slice(c, c + side) for c in window["corner"])
        firsts.append(view1[k, 0][box])
        classes1.append(labels[k][box])
        matrix = torch.tensor(window["matrix"], dtype=torch.float64)
        center = torch.tensor(window["center"], dtype=torch.float64)
        seconds.append(_resample(view2[k, 0], matrix, center, side, "bilinear"))
        classes2.append(_resample(labels[k].float(), matrix, center, side, "nearest").to(labels.dtype))
        # Second view: cube = center + matrix (index - (side - 1) / 2). First view: cube = corner + index.
        back = torch.linalg.inv(matrix)
        shift = back @ (torch.tensor(window["corner"], dtype=torch.float64) - center) + (side - 1) / 2
        maps.append(torch.cat((back, shift[:, None]), 1).float())
    assert whole >= side
    views = torch.stack(firsts + seconds)[:, None]
    return Windows(views, torch.stack(classes1 + classes2), torch.stack(maps).to(views.device))


def _resample(volume: Tensor, matrix: Tensor, center: Tensor, side: int, mode: str) -> Tensor:
    """Values at center + matrix (index - (side - 1) / 2), zero outside, (R, R, R) to (side, side, side)."""
    whole = volume.shape[0]
    # affine_grid counts (x, y, z) in half sides of the cube from its centre.
    theta = matrix.flip(0, 1) * (side / whole)
    shift = (center.flip(0) - (whole - 1) / 2) * (2 / whole)
    affine = torch.cat((theta, shift[:, None]), 1).float().to(volume.device)[None]
    grid = affine_grid(affine, [1, 1, side, side, side], align_corners=False)
    return grid_sample(volume[None, None], grid, mode=mode, align_corners=False)[0, 0]


def interpolate_at(features: Tensor, place: Tensor) -> Tensor:
    """Features (C, d, h, w) at voxel positions (..., 3) in (z, y, x), trilinear: (..., C)."""
    size = torch.tensor(features.shape[1:], device=features.device, dtype=torch.float32)
    grid = ((place.float() + 0.5) * 2 / size - 1).flip(-1).reshape(1, 1, 1, -1, 3)
    found = grid_sample(features[None], grid, padding_mode="border", align_corners=False)
    return found[0, :, 0, 0].T.reshape(*place.shape[:-1], -1)
