"""Which voxels enter the losses: every label counts, however small, borders count more, background little."""

from __future__ import annotations

import torch
from torch import Tensor


def labels_at(labels: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Labels at the centres of the cells of a coarser grid, (B, D, H, W) to (B, d, h, w)."""
    for axis, n in enumerate(shape, start=1):
        step = labels.shape[axis] // n
        index = torch.arange(n, device=labels.device) * step + step // 2
        labels = labels.index_select(axis, index)
    return labels


def borders(labels: Tensor) -> Tensor:
    """Voxels with a face neighbour of another label, (D, H, W) bool."""
    found = torch.zeros_like(labels, dtype=torch.bool)
    for axis in range(3):
        n = labels.shape[axis] - 1
        differs = labels.narrow(axis, 1, n) != labels.narrow(axis, 0, n)
        found.narrow(axis, 1, n).logical_or_(differs)
        found.narrow(axis, 0, n).logical_or_(differs)
    return found


def anchor_weights(labels: Tensor, border: float, background: float) -> Tensor:
    """Chance of each voxel, (D H W,): 1 / √(voxels of its label), more at borders, background bounded."""
    flat = labels.flatten().int()
    count = torch.bincount(flat, minlength=256).float()
    weight = count.clamp(min=1).rsqrt().index_select(0, flat)
    weight = torch.where(borders(labels).flatten(), weight * border, weight)
    empty = flat == 0
    outside = (weight * empty).sum()
    inside = weight.sum() - outside
    limit = background / (1 - background) * inside / outside.clamp(min=1e-9)
    scale = torch.where(inside > 0, limit.clamp(max=1.0), torch.ones_like(limit))
    return torch.where(empty, weight * scale, weight)


def draw(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of `count` voxels (all when there are fewer), without replacement, likelier with larger weight.

    An exponential race: the first arrivals of clocks with these rates are a weighted sample
    (Efraimidis and Spirakis, 2006).
    """
    clock = torch.empty_like(weights).exponential_(generator=generator)
    return torch.topk(clock / weights.clamp(min=1e-12), min(count, len(weights)), largest=False).indices


def neighbours(place: Tensor, shape: tuple[int, int, int], count: int, generator: torch.Generator) -> Tensor:
    """Random places 1 to 5 voxels away, clamped to the grid: (N, 3) to (N, count, 3)."""
    device = place.device
    direction = torch.randn((len(place), count, 3), generator=generator, device=device)
    distance = 1 + 4 * torch.rand((len(place), count, 1), generator=generator, device=device)
    step = direction / direction.norm(dim=2, keepdim=True).clamp(min=1e-6) * distance
    top = torch.tensor(shape, device=device, dtype=torch.float32) - 1
    return torch.minimum((place[:, None].float() + step).clamp(min=0), top)


def follow(place: Tensor, affine: Tensor, step: int) -> Tensor:
    """Where feature voxels (N, 3) of the first window lie in the second, both `step` input voxels wide."""
    voxel = place.float() * step + (step - 1) / 2
    return (voxel @ affine[:, :3].T + affine[:, 3] - (step - 1) / 2) / step


def inside(place: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Whether positions (N, 3) lie within the grid's voxel centres."""
    top = torch.tensor(shape, device=place.device) - 1
    return ((place >= 0) & (place <= top)).all(1)


def unravel(index: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Flat indices to voxel positions, (N,) to (N, 3)."""
    _, height, width = shape
    return torch.stack((index // (height * width), index // width % height, index % width), 1)


def ravel(place: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Voxel positions to flat indices, (..., 3) to (...)."""
    return (place[..., 0] * shape[1] + place[..., 1]) * shape[2] + place[..., 2]
