"""Gauss–Newton on feature differences: the local normal equations that every stage solves.

For fixed features F, moving features M and a displacement d (all on one grid, in voxels), one step δ
minimises Σ w |F − M(x + d) − G δ|² with G the mean of the gradients of F and of the warped M (the symmetric
choice converges in a few steps; Malis, ICRA 2004; Vercauteren et al., NeuroImage 2009). Each voxel then has a
3×3 matrix Gᵀ w G and a vector Gᵀ w r; no backward pass and no K³ volumes are needed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..geometry.fields import index_lattice
from ..geometry.sampling import inside, sample_at_index
from .course import Beat, silent

# Row and column of the six distinct entries of a symmetric 3×3 matrix, in storage order.
PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
CHANNELS_AT_ONCE = 4


class NormalEquations(NamedTuple):
    """Per-voxel normal equations; directions are the index axes (i, j, k), lengths are voxels.

    Attributes:
        matrix: (6, D, H, W), the distinct entries of Gᵀ w G in the order of `PAIRS`.
        vector: (3, D, H, W), Gᵀ w r.
        error: weighted mean of the squared feature difference.
        overlap: share of the weight that falls inside the moving image.
    """

    matrix: torch.Tensor
    vector: torch.Tensor
    error: float
    overlap: float


def normal_equations(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    displacement: torch.Tensor,
    weight: torch.Tensor,
    beat: Beat = silent,
) -> NormalEquations:
    """The equations for (C, D, H, W) features, a (3, D, H, W) displacement and a (1, D, H, W) weight."""
    index = index_lattice(displacement) + displacement.movedim(0, -1)
    depth, height, width = moving.shape[1:]
    weight = weight * inside(index, (depth, height, width))
    matrix, vector = weight.new_zeros(6, *weight.shape[1:]), weight.new_zeros(3, *weight.shape[1:])
    squares = torch.zeros_like(weight[0])
    for fixed_part, moving_part in zip(
        fixed.split(CHANNELS_AT_ONCE), moving.split(CHANNELS_AT_ONCE), strict=True
    ):
        beat()
        warped = sample_at_index(moving_part, index)
        residual = fixed_part - warped
        gradient = central_differences(
            warped.add_(fixed_part)
        )  # twice the mean of both, doubled by the stencil
        for n, (a, b) in enumerate(PAIRS):
            _add_products(matrix[n], gradient[a], gradient[b])
        for a in range(3):
            _add_products(vector[a], gradient[a], residual)
        _add_products(squares, residual, residual)
    total = weight.sum().clamp_min(1e-6)
    scale = weight[0] / len(fixed)
    error = float((squares * scale).sum() / total)
    full = float(weight.numel())
    return NormalEquations(matrix * (scale / 16), vector * (scale / 4), error, float(total) / full)


def _add_products(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """Add Σ a·b over channels in place; channel by channel is several times faster than a reduction."""
    for one, other in zip(a, b, strict=True):
        total.addcmul_(one, other)


def central_differences(volume: torch.Tensor) -> list[torch.Tensor]:
    """Differences v[n+1] − v[n−1] of (C, D, H, W) along (x, y, z), zero at the borders."""
    result = []
    for axis in (3, 2, 1):
        length = volume.shape[axis] - 2
        difference = torch.zeros_like(volume)
        if length > 0:
            torch.sub(
                volume.narrow(axis, 2, length),
                volume.narrow(axis, 0, length),
                out=difference.narrow(axis, 1, length),
            )
        result.append(difference)
    return result


def diagonal(matrix: torch.Tensor) -> torch.Tensor:
    """The diagonals (3, …) of per-voxel symmetric matrices (6, …)."""
    xx, _, _, yy, _, zz = matrix
    return torch.stack((xx, yy, zz))


def apply_matrix(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Per-voxel symmetric 3×3 matrix (6, …) times vector (3, …)."""
    xx, xy, xz, yy, yz, zz = matrix
    x, y, z = vector
    return torch.stack((xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z))
