"""Which voxels enter the losses: every label counts, however small, borders count more, background little."""

from __future__ import annotations

import torch
from torch import Tensor

from SynthFoundationLib.pretraining.windows import interpolate_at


def labels_at(labels: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Labels at the centres of the cells of a coarser grid, (B, D, H, W) to (B, d, h, w)."""
    for axis, n in enumerate(shape, start=1):
        step = labels.shape[axis] // n
        index = torch.arange(n, device=labels.device) * step + step // 2
        labels = labels.index_select(axis, index)
    return labels


def borders(labels: Tensor) -> Tensor:
    """Voxels with a face neighbour of another label, (B, D, H, W) bool."""
    found = torch.zeros_like(labels, dtype=torch.bool)
    for axis in (1, 2, 3):
        n = labels.shape[axis] - 1
        differs = labels.narrow(axis, 1, n) != labels.narrow(axis, 0, n)
        found.narrow(axis, 1, n).logical_or_(differs)
        found.narrow(axis, 0, n).logical_or_(differs)
    return found


def anchor_weights(labels: Tensor, border: float, background: float) -> Tensor:
    """Chance of each voxel, (B, D, H, W) to (B, D H W): 1 / √(voxels of its label), background bounded.

    Voxels at a border between labels have `border` times that chance, those of the background together at
    most the share `background`.
    """
    flat = labels.flatten(1).int()
    classes = (flat + 256 * torch.arange(len(flat), device=flat.device, dtype=torch.int32)[:, None]).flatten()
    # Unlike bincount, this does not make the processor wait for a GPU.
    count = torch.zeros(256 * len(flat), device=flat.device)
    count.index_add_(0, classes, torch.ones(len(classes), device=flat.device))
    weight = count.clamp(min=1).rsqrt().index_select(0, classes).view(flat.shape)
    weight = torch.where(borders(labels).flatten(1), weight * border, weight)
    empty = flat == 0
    outside = (weight * empty).sum(1, keepdim=True)
    inside = weight.sum(1, keepdim=True) - outside
    limit = background / (1 - background) * inside / outside.clamp(min=1e-9)
    scale = torch.where(inside > 0, limit.clamp(max=1.0), torch.ones_like(limit))
    return torch.where(empty, weight * scale, weight)


def draw(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices (B, count) of voxels drawn without replacement, likelier with larger weight, from (B, N).

    All are drawn when there are fewer. An exponential race: the first arrivals of clocks with these rates are
    a weighted sample (Efraimidis and Spirakis, 2006).
    """
    clock = torch.empty_like(weights).exponential_(generator=generator)
    return torch.topk(
        clock / weights.clamp(min=1e-12), min(count, weights.shape[1]), dim=1, largest=False
    ).indices


def neighbours(place: Tensor, shape: tuple[int, int, int], count: int, generator: torch.Generator) -> Tensor:
    """Random places 1 to 5 voxels away, clamped to the grid: (N, 3) to (N, count, 3)."""
    device = place.device
    direction = torch.randn((len(place), count, 3), generator=generator, device=device)
    distance = 1 + 4 * torch.rand((len(place), count, 1), generator=generator, device=device)
    step = direction / direction.norm(dim=2, keepdim=True).clamp(min=1e-6) * distance
    top = torch.tensor(shape, device=device, dtype=torch.float32) - 1
    return torch.minimum((place[:, None].float() + step).clamp(min=0), top)


def follow(place: Tensor, affine: Tensor, bend: Tensor, step: int) -> Tensor:
    """Where feature voxels (N, 3) of the second window lie in the first, both `step` input voxels wide.

    `affine` (3, 4) is that of `Windows.maps`, `bend` (3, S, S, S) the displacement on input voxels.
    """
    voxel = place.float() * step + (step - 1) / 2
    there = voxel @ affine[:, :3].T + affine[:, 3] + interpolate_at(bend, voxel)
    return (there - (step - 1) / 2) / step


def inside(place: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Whether positions (N, 3) lie within the grid's voxel centres."""
    top = torch.tensor(shape, device=place.device) - 1
    return ((place >= 0) & (place <= top)).all(1)


def unravel(index: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Flat indices to voxel positions, (N,) to (N, 3)."""
    _, height, width = shape
    return torch.stack((index // (height * width), index // width % height, index % width), 1)
