"""Labels of image voxels from the probabilities of larger work voxels: interpolated where labels meet."""

from __future__ import annotations

import torch
from scipy.ndimage import maximum_filter, minimum_filter
from torch import Tensor
from torch.nn import functional as F

from .decide import decided
from .workspace import Frame

SURE = 0.9  # probability below which a work voxel is not simply copied
CHUNK = 250_000  # image voxels interpolated at a time


def refined(
    probabilities: Tensor, where: Tensor, chosen: Tensor, sure: Tensor, frame: Frame, limits: Tensor
) -> tuple[Tensor, Tensor]:
    """Classes and their probability in the box of the frame, (D, H, W) image voxels.

    Args:
        probabilities: (N, n) float16 of the work voxels at sorted flat indices `where` (N,).
        where: see above; other work voxels are background.
        chosen: (N,) their classes.
        sure: (N,) the probabilities of these.
        frame: work voxels and image voxels.
        limits: (n,) probability from which on a class is given.
    """
    row = torch.full((frame.voxels,), -1, dtype=torch.int32)
    row[where] = torch.arange(len(where), dtype=torch.int32)
    classes, confidence = torch.zeros(frame.voxels, dtype=torch.int32), torch.ones(frame.voxels)
    classes[where], confidence[where] = chosen.int(), sure
    near = [_copied(n, f, b - a) for n, f, a, b in _axes(frame)]
    unsure = _meeting(classes.reshape(frame.shape), confidence.reshape(frame.shape), row.reshape(frame.shape))
    labels = frame.spread(classes.reshape(frame.shape))
    shown = frame.spread(confidence.reshape(frame.shape))
    between = [_between(n, f, b - a) for n, f, a, b in _axes(frame)]
    for first in range(labels.shape[0]):
        spots = unsure[near[0][first]][near[1]][:, near[2]].nonzero()
        for some in spots.split(CHUNK):
            index = (torch.full_like(some[:, 0], first), some[:, 0], some[:, 1])
            rows, weights = _corners(index, between, near, row, frame.shape)
            mixed = F.embedding_bag(rows, probabilities, per_sample_weights=weights, mode="sum")
            best = decided(mixed, limits)
            labels[index] = best.int()
            shown[index] = mixed.gather(1, best[:, None])[:, 0].float()
    return labels, shown


def _axes(frame: Frame) -> list[tuple[int, int, int, int]]:
    return list(zip(frame.shape, frame.factors, frame.start, frame.stop, strict=True))


def _copied(length: int, factor: int, wanted: int) -> Tensor:
    """The work voxel around each image voxel along an axis."""
    return (torch.arange(wanted) // factor).clamp_max(length - 1)


def _between(length: int, factor: int, wanted: int) -> tuple[Tensor, Tensor]:
    """The work voxels (wanted, 2) on both sides of each image voxel along an axis, and their shares."""
    place = ((torch.arange(wanted) + 0.5) / factor - 0.5).clamp(0, length - 1)
    low = place.floor().long()
    share = place - low
    return torch.stack([low, (low + 1).clamp_max(length - 1)], 1), torch.stack([1 - share, share], 1)


def _meeting(classes: Tensor, confidence: Tensor, row: Tensor) -> Tensor:
    """Where labels meet, or one is not sure, among the voxels that have a row → bool (D, H, W)."""
    highest = maximum_filter(classes.numpy(), 3)
    meeting = torch.from_numpy(highest != minimum_filter(classes.numpy(), 3))
    return (meeting | (confidence < SURE) & torch.from_numpy(highest > 0)) & (row >= 0)


def _corners(
    index: tuple[Tensor, ...],
    between: list[tuple[Tensor, Tensor]],
    near: list[Tensor],
    row: Tensor,
    shape: tuple[int, ...],
) -> tuple[Tensor, Tensor]:
    """Rows (M, 8) of the work voxels around image voxels, and their weights; who has none is its nearest."""
    flat, own = torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    weights = torch.ones(1, 1)
    for place, (sides, shares), copied, length in zip(index, between, near, shape, strict=True):
        flat = (flat[:, :, None] * length + sides[place][:, None, :]).flatten(1)
        weights = (weights[:, :, None] * shares[place][:, None, :]).flatten(1)
        own = own * length + copied[place]
    rows = row[flat]
    return torch.where(rows < 0, row[own][:, None], rows), weights.half()
