"""Where a voxel lies in the body: how deep below its surface, and how far along each line through it.

Structures keep their place in the body from slice to slice better than in the scanner: a neck that bends or a
head that narrows takes its contents along.
"""

from __future__ import annotations

import torch
from torch import Tensor

PLACES = 4  # columns of `placed`


def placed(body: Tensor, spacing: tuple[float, ...]) -> Tensor:
    """Place of the voxels in a mask (D, H, W) → (N, 4), each of zero mean and unit variance.

    The first is the distance to where the body begins or ends, along the axis where it is nearest, in mm of
    `spacing`; the others are the shares of the way through the body along the three axes.
    """
    where = body.flatten().nonzero().flatten()
    depth = torch.full(body.shape, torch.inf)
    shares = []
    for axis, size in enumerate(spacing):
        before, length = _passed(body, axis)
        depth = torch.minimum(depth, torch.minimum(before + 1, length - before) * size)
        shares.append((before / (length - 1).clamp_min(1)).take(where))
    columns = torch.stack([depth.take(where), *shares], 1)
    spread, mean = torch.std_mean(columns, 0, correction=0)
    return (columns - mean) / spread.clamp_min(1e-6)


def _passed(body: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Voxels between each one and the first of the body on its line, and those from first to last."""
    count = body.shape[axis]
    index = torch.arange(count, dtype=torch.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    first = torch.where(body, index, torch.inf).amin(axis, keepdim=True)
    last = torch.where(body, index, -torch.inf).amax(axis, keepdim=True)
    return index - first, last - first + 1
