"""Labels between voxels: the one that covers most of a point, in one pass however many labels there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .lookup import CORNERS
from .sampling import indices, inside

if TYPE_CHECKING:
    from .grid import Grid
    from .transforms import Transform

# Points at a time: what is computed for them stays in the cache.
CHUNK = 65_536


def resample_labels(
    labels: torch.Tensor, source: Grid, target: Grid, transform: Transform | None
) -> torch.Tensor:
    """Labels (D, H, W) int32 on `source` where `transform` sends the voxels of `target` → int32.

    Each label by itself would be interpolated linearly; the one of the largest share wins, of equal ones the
    least, and background, also around the label map, only if it has more than each of them.
    """
    output = torch.empty(target.shape, dtype=torch.int32)
    for slab, index in indices(source, target, transform, labels.device):
        points, found = index.reshape(-1, 3), output[slab].view(-1)
        for start in range(0, len(points), CHUNK):
            part = slice(start, start + CHUNK)
            found[part] = _winners(labels, points[part])
    return output


def _winners(labels: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The winners (N,) at continuous indices (N, 3) in (i, j, k) order."""
    around, weights = _corners(labels, index)
    winners = around[0].clone()
    mixed = (around != winners).any(0).nonzero().flatten()
    if len(mixed):
        winners[mixed] = _largest(around[:, mixed], weights[:, mixed])
    depth, height, width = labels.shape
    return winners.where(inside(index, (depth, height, width)), 0)


def _corners(labels: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The labels of the eight voxels around each point and their weights, (8, N) each."""
    place, weight, stride = [], [], 1
    for axis, size in enumerate(labels.shape[::-1]):
        low = index[:, axis].clamp(0, size - 1)
        first = low.to(torch.int64)
        share = low - first
        place.append((first * stride, (first + 1).clamp_max_(size - 1) * stride))
        weight.append((1 - share, share))
        stride *= size
    at = torch.stack([place[0][i] + place[1][j] + place[2][k] for i, j, k in CORNERS])
    weights = torch.stack([weight[0][i] * weight[1][j] * weight[2][k] for i, j, k in CORNERS])
    return labels.take(at), weights


def _largest(around: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The label of the largest share (N,) among eight labels with weights, (8, N) each."""
    shares = torch.stack([(weights * (around == label)).sum(0) for label in around])
    background = around == 0
    nothing = (weights * background).sum(0)
    shares[background] = -1
    most = shares.amax(0)
    least = around.where(shares == most, torch.iinfo(torch.int32).max).amin(0)
    return least.where(nothing <= most, 0)
