"""The global discrete stage: every displacement within reach is tried (coupled convex optimisation).

Heinrich, Papież, Schnabel & Handels, WBIR 2014; Siebert et al. (ConvexAdam), IEEE TMI 2025. The cost of all
displacements is held per voxel, the shifted features are not: each shift is a view of one padded volume.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F

from ..geometry.fields import warp_by_voxels
from .course import Beat, silent

COUPLING = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
COST_SMOOTHING = 2


def displacement_by_search(
    fixed: torch.Tensor, moving: torch.Tensor, weight: torch.Tensor, reach: int, beat: Beat = silent
) -> torch.Tensor:
    """Displacement (3, D, H, W) in voxels, components (i, j, k), for (C, D, H, W) features on one grid.

    The fields of both directions are found and made inverse to each other, which discards one-sided matches.
    """
    forward = _one_direction(fixed, moving, weight, reach, beat)
    backward = _one_direction(moving, fixed, weight, reach, beat)
    return _made_consistent(forward, backward)


def _one_direction(
    fixed: torch.Tensor, moving: torch.Tensor, weight: torch.Tensor, reach: int, beat: Beat
) -> torch.Tensor:
    cost, offsets = _costs(fixed, moving, weight, reach, beat)
    # All costs in units of their typical spread, so that the coupling means the same for all features.
    cost /= cost.std(0).mean().clamp_min(1e-12)
    shape = cost.shape[1:]
    cost = cost.flatten(1)
    squares = offsets.square().sum(1, keepdim=True)
    field = _smoothed(offsets[cost.argmin(0)].T.reshape(3, *shape))
    for coupling in COUPLING:
        beat()
        # |field − offset|² up to |field|², which is the same for all offsets of a voxel
        total = torch.addmm(cost + coupling * squares, offsets, field.flatten(1), alpha=-2 * coupling)
        field = _smoothed(offsets[total.argmin(0)].T.reshape(3, *shape))
    return field


def _costs(
    fixed: torch.Tensor, moving: torch.Tensor, weight: torch.Tensor, reach: int, beat: Beat
) -> tuple[torch.Tensor, torch.Tensor]:
    """Smoothed feature distances (N, D, H, W) of N = (2·reach + 1)³ offsets (N, 3) in (i, j, k).

    What does not count where an offset leads, such as what lies beyond the field of view, speaks neither for
    it nor against it: it costs the usual.
    """
    span = 2 * reach + 1
    padded = F.pad(moving[None], (reach,) * 6, mode="replicate")[0]
    # Views of the padded volume: all shifts along j and i at once, without copies.
    depth, height, width = fixed.shape[1:]
    shifts = padded.unfold(2, height, 1).unfold(3, width, 1)  # (C, D + 2 reach, span, span, H, W)
    costs = []
    for k in range(span):
        beat(k / span)
        cost = torch.zeros(span, span, depth, height, width, device=fixed.device)
        for channel, shifted in zip(fixed, shifts[:, k : k + depth], strict=True):
            cost += (shifted.permute(1, 2, 0, 3, 4) - channel).square_()
        costs.append(cost.flatten(0, 1))
    cost = torch.cat(costs).div_(len(fixed))
    there = F.pad(weight, (reach,) * 6).unfold(1, depth, 1).unfold(2, height, 1).unfold(3, width, 1)
    there = there[0].flatten(0, 2)
    both = there * weight
    usual = (cost * both).sum() / both.sum().clamp_min(1e-6)
    cost = torch.lerp(usual, cost, there) * weight
    for _ in range(COST_SMOOTHING):
        cost = _box_mean(cost)
    steps = range(-reach, reach + 1)
    offsets = torch.tensor([(i, j, k) for k, j, i in itertools.product(steps, repeat=3)])
    return cost, offsets.to(fixed)


def _smoothed(field: torch.Tensor) -> torch.Tensor:
    return _box_mean(_box_mean(field))


def _box_mean(volume: torch.Tensor) -> torch.Tensor:
    """3×3×3 means of (C, D, H, W), borders repeated."""
    for axis in (1, 2, 3):
        length = volume.shape[axis]
        inner = volume.clone()
        first, last = volume.narrow(axis, 0, 1), volume.narrow(axis, length - 1, 1)
        inner += torch.cat((first, volume.narrow(axis, 0, length - 1)), axis)
        inner += torch.cat((volume.narrow(axis, 1, length - 1), last), axis)
        volume = inner.div_(3)
    return volume


def _made_consistent(forward: torch.Tensor, backward: torch.Tensor, iterations: int = 8) -> torch.Tensor:
    for _ in range(iterations):
        forward, backward = (
            0.5 * (forward - warp_by_voxels(backward, forward)),
            0.5 * (backward - warp_by_voxels(forward, backward)),
        )
    return forward
