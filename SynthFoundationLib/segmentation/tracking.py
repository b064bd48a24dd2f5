"""Follow structures from slice to slice: dense motion between neighbours, chained to the labelled slices."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .filters import resized, smoothed

ITERATIONS = (3, 4, 4)  # from full resolution to the coarsest level
WINDOW, STIFFNESS = 2.0, 1.5  # voxels: over which motion is estimated, and then smoothed
FLAT = 3e-3  # squared gradient below which a place does not move by itself
SMALLEST = 8
BATCH = 16  # pairs of slices solved together: they stay in the cache


@torch.no_grad()
def motion(fixed: Tensor, moving: Tensor) -> Tensor:
    """Displacement u with moving(x + u) ≈ fixed(x) for slices (B, C, H, W) → (B, 2, H, W) voxels (y, x).

    Coarse to fine, by inverse-compositional least squares over Gaussian windows
    (Lucas & Kanade, IJCAI 1981; Baker & Matthews, IJCV 2004), the field smoothed after each step.
    """
    if not len(fixed):
        return fixed.new_zeros(0, 2, *fixed.shape[-2:])
    pairs = zip(fixed.split(BATCH), moving.split(BATCH), strict=True)
    return torch.cat([_solve(*pair) for pair in pairs])


def _solve(fixed: Tensor, moving: Tensor) -> Tensor:
    height, width = fixed.shape[-2:]
    field = None
    for level in reversed(range(len(ITERATIONS))):
        shape = (height >> level, width >> level)
        if level and min(shape) < SMALLEST:
            continue
        field = fixed.new_zeros(len(fixed), 2, *shape) if field is None else _grown(field, shape)
        sharp = (0.5, 0.5) if level == 0 else (0.0, 0.0)
        seen, sought = (resized(smoothed(slices, sharp), shape) for slices in (fixed, moving))
        field = _refined(seen, sought, field, ITERATIONS[level])
    assert field is not None
    return field


def _grown(field: Tensor, shape: tuple[int, int]) -> Tensor:
    scale = field.new_tensor([shape[0] / field.shape[-2], shape[1] / field.shape[-1]])
    return resized(field, shape) * scale[:, None, None]


def _refined(fixed: Tensor, moving: Tensor, field: Tensor, iterations: int) -> Tensor:
    dy, dx = (_derivative(fixed, axis) for axis in (-2, -1))
    window, stiffness = (WINDOW, WINDOW), (STIFFNESS, STIFFNESS)
    yy, yx, xx = smoothed(torch.stack([(a * b).sum(1) for a, b in ((dy, dy), (dy, dx), (dx, dx))]), window)
    yy, xx = yy + FLAT, xx + FLAT
    determinant = yy * xx - yx * yx
    for _ in range(iterations):
        error = fixed - warped(moving, field)
        ey, ex = smoothed(torch.stack([(dy * error).sum(1), (dx * error).sum(1)]), window)
        step = torch.stack([xx * ey - yx * ex, yy * ex - yx * ey], 1) / determinant[:, None]
        field = smoothed(field + step.clamp_(-1, 1), stiffness)
    return field


def _derivative(slices: Tensor, axis: int) -> Tensor:
    result = torch.zeros_like(slices)
    inner = slices.shape[axis] - 2
    if inner > 0:
        result.narrow(axis, 1, inner).copy_(
            (slices.narrow(axis, 2, inner) - slices.narrow(axis, 0, inner)) / 2
        )
    return result


def warped(slices: Tensor, field: Tensor) -> Tensor:
    """slices(x + u) for (B, C, H, W) and u (B, 2, H, W) voxels (y, x); borders are repeated."""
    height, width = slices.shape[-2:]
    y = torch.arange(height, dtype=field.dtype)[:, None] + field[:, 0]
    x = torch.arange(width, dtype=field.dtype) + field[:, 1]
    grid = torch.stack([x * (2 / max(1, width - 1)) - 1, y * (2 / max(1, height - 1)) - 1], -1)
    return F.grid_sample(slices, grid, padding_mode="border", align_corners=True)


class Tracks:
    """Where every slice's pixels come from in the slices before and after it, along one axis of a volume."""

    def __init__(self, volume: Tensor) -> None:
        """Solve the motion between neighbouring slices of a (D, C, H, W) stack, in both directions."""
        self.shape = tuple(volume.shape[-2:])
        self.forward = motion(volume[:-1], volume[1:])  # from slice z, where its pixels go in z + 1
        self.backward = motion(volume[1:], volume[:-1])  # from slice z + 1, where they go in z

    def chain(self, start: int, stop: int) -> Tensor:
        """Displacements into slice `start` from each slice strictly between it and `stop` → (n, 2, H, W)."""
        total = self.forward.new_zeros(1, 2, *self.shape)
        chained = []
        step = 1 if stop > start else -1
        for z in range(start + step, stop, step):
            hop = (self.backward[z - 1] if step > 0 else self.forward[z])[None]
            total = hop + warped(total, hop)
            chained.append(total)
        return torch.cat(chained) if chained else total[:0]
