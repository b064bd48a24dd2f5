"""Smoothing and resizing as matrices along one axis: a product beats a convolution at these sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

SLAB = 8  # slices enlarged at a time


@lru_cache(maxsize=256)
def gaussian(length: int, sigma: float) -> Tensor:
    """Gaussian smoothing of `sigma` voxels with repeated borders → (length, length)."""
    if sigma < 0.05:
        return torch.eye(length)
    radius = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(length, -1)
    columns = (torch.arange(length)[:, None] + offsets).clamp(0, length - 1)
    return torch.zeros(length, length).scatter_add_(1, columns, kernel.contiguous())


@lru_cache(maxsize=256)
def resizing(length: int, wanted: int) -> Tensor:
    """Linear resizing of an axis, smoothed first where it shrinks → (wanted, length)."""
    centres = ((torch.arange(wanted) + 0.5) * (length / wanted) - 0.5).clamp(0, length - 1)
    low = centres.floor().long().clamp(max=max(0, length - 2))
    high = (low + 1).clamp(max=length - 1)
    matrix = torch.zeros(wanted, length)
    rows, share = torch.arange(wanted), centres - low
    matrix[rows, low] += 1 - share
    matrix[rows, high] += share
    shrink = length / wanted
    return matrix @ gaussian(length, 0.5 * math.sqrt(shrink**2 - 1)) if shrink > 1 else matrix


def along(volume: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Apply `matrix` (m, n) to the axis -3, -2 or -1 of length n of a tensor (..., D, H, W)."""
    if axis == -1:
        return volume @ matrix.T
    if axis == -2:
        return matrix @ volume
    flat = volume.flatten(-2)
    return (matrix @ flat).unflatten(-1, volume.shape[-2:])


def smoothed(volume: Tensor, sigma: tuple[float, ...]) -> Tensor:
    """Smooth the last axes of a tensor by `sigma` voxels, given for the last axes in their order."""
    for axis, value in zip(range(-len(sigma), 0), sigma, strict=True):
        if value >= 0.05 and volume.shape[axis] > 1:
            volume = along(volume, gaussian(volume.shape[axis], round(value, 3)), axis)
    return volume


def resized(volume: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Resize the last axes of a tensor to `shape`."""
    for axis, wanted in zip(range(-len(shape), 0), shape, strict=True):
        if volume.shape[axis] != wanted:
            volume = along(volume, resizing(volume.shape[axis], wanted), axis)
    return volume


def copied(volume: Tensor, factors: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """A volume (d, h, w) in voxels `factors` times as fine, cut to `shape`: each is copied."""
    for axis, (factor, wanted) in enumerate(zip(factors, shape, strict=True)):
        if factor > 1:
            volume = volume.index_select(axis, torch.arange(wanted) // factor)
    return volume


def enlarged(
    volumes: Tensor, factors: tuple[int, ...], shape: tuple[int, ...]
) -> Iterator[tuple[slice, Tensor]]:
    """Volumes (n, d, h, w) in voxels `factors` times as fine, cut to `shape`: yield rows of the first axis.

    Each time (n, rows, H, W) and which rows these are.
    """
    sizes = zip(volumes.shape[1:], factors, shape, strict=True)
    grow = [resizing(n, n * f)[:m] for n, f, m in sizes]
    for first in range(0, shape[0], SLAB):
        rows = grow[0][first : first + SLAB]
        used = rows.any(0).nonzero().flatten()
        near = slice(int(used[0]), int(used[-1]) + 1)
        part = along(volumes[:, near].float().contiguous(), rows[:, near], -3)
        yield slice(first, first + len(rows)), along(along(part, grow[1], -2), grow[2], -1)
