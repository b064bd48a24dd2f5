"""What a voxel looks like: intensity, edges, texture and context at several scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .filters import resized, smoothed

LEVELS = 4
CONTEXT = 3  # voxels of its level at which a voxel looks around
SMALLEST = 8  # voxels along an axis that may be halved
PIECE = 65_536


@torch.no_grad()
def describe(
    volume: Tensor, spacing: tuple[float, float, float], mask: Tensor, extra: Tensor | None = None
) -> Tensor:
    """Features of the voxels in `mask` → (N, F) bfloat16: `appearances` as rows."""
    return beside(appearances(volume, spacing, mask, extra))


@torch.no_grad()
def appearances(
    volume: Tensor, spacing: tuple[float, float, float], mask: Tensor, extra: Tensor | None = None
) -> list[Tensor]:
    """Features of the voxels in `mask`, each (N,) bfloat16 of zero mean and unit variance.

    Args:
        volume: (C, D, H, W) in 0…1.
        spacing: mm along (D, H, W).
        mask: bool (D, H, W).
        extra: (E, D, H, W) more channels, such as learned features, on the same voxels.
    """
    where = mask.flatten().nonzero().flatten()
    columns = [_standardised(map_.take(where)) for channel in volume for map_ in _maps(channel, spacing)]
    return columns + [_standardised(channel.take(where)) for channel in (extra if extra is not None else ())]


def beside(columns: Sequence[Tensor]) -> Tensor:
    """Columns (N,) as the rows of one tensor (N, F), put together in pieces that stay in the cache."""
    rows = torch.empty(len(columns[0]), len(columns), dtype=columns[0].dtype)
    pieces = zip(*(column.split(PIECE) for column in columns), strict=True)
    for part, piece in zip(rows.split(PIECE), pieces, strict=True):
        torch.stack(piece, 1, out=part)
    return rows


def _standardised(values: Tensor) -> Tensor:
    spread, mean = torch.std_mean(values, correction=0)
    return ((values - mean) / spread.clamp_min(1e-6)).to(torch.bfloat16)


def _maps(channel: Tensor, spacing: tuple[float, float, float]) -> Iterator[Tensor]:
    """The features of one contrast, each resized to its (D, H, W)."""
    shape = tuple(channel.shape)
    yield channel
    level, size = channel, list(spacing)
    for _ in range(LEVELS):
        for map_ in _level(level, size):
            yield resized(map_, shape)
        finest = min(size)
        halve = [s < 1.5 * finest and n >= 2 * SMALLEST for s, n in zip(size, level.shape, strict=True)]
        if not any(halve):
            return
        level = resized(level, tuple(n // 2 if h else n for n, h in zip(level.shape, halve, strict=True)))
        size = [s * 2 if h else s for s, h in zip(size, halve, strict=True)]


def _level(level: Tensor, size: list[float]) -> Iterator[Tensor]:
    """Intensity, gradient, its length, local spread, contrast to the surroundings, and what lies around."""
    finest = min(size)
    relative = [finest / s for s in size]
    smooth = smoothed(level, tuple(0.6 * r for r in relative))
    yield smooth
    gradient = [(_shifted(smooth, a, 1) - _shifted(smooth, a, -1)) * (relative[a] / 2) for a in range(3)]
    yield from gradient
    down, across, along = gradient
    yield (down * down).addcmul_(across, across).addcmul_(along, along).sqrt_()
    around = tuple(relative)
    mean = smoothed(smooth, around)
    yield (smoothed(smooth * smooth, around) - mean * mean).clamp_min_(0).sqrt_()
    yield smooth - mean
    for axis in range(3):
        step = max(1, round(CONTEXT * relative[axis]))
        yield _shifted(mean, axis, step)
        yield _shifted(mean, axis, -step)


def _shifted(volume: Tensor, axis: int, step: int) -> Tensor:
    """The value `step` voxels further along an axis, the border repeated."""
    index = (torch.arange(volume.shape[axis]) + step).clamp_(0, volume.shape[axis] - 1)
    return volume.index_select(axis, index)
