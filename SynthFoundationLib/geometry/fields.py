"""Algebra of displacement fields (3, D, H, W), LPS mm: compose, exponentiate, invert, Jacobian."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from .lookup import Lookup, pays
from .sampling import displaced

if TYPE_CHECKING:
    from .grid import Grid

# Voxels that the first step of an exponential moves at most: larger ones cost the inverse its exactness.
FIRST_STEP = 0.125


def compose(first: torch.Tensor, then: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The displacement of x ↦ (id + then)((id + first)(x)), all on `grid`."""
    voxel_first = to_voxels(first, grid)
    return first + warp_by_voxels(then, voxel_first)


def exponential(velocity: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The displacement of exp(velocity), the flow of a stationary velocity field, by scaling and squaring.

    As many squarings as let the first step move less than `FIRST_STEP` voxels (Arsigny et al., MICCAI 2006).
    """
    return from_voxels(exponential_voxels(to_voxels(velocity, grid)), grid)


def invert(displacement: torch.Tensor, grid: Grid, iterations: int = 30) -> torch.Tensor:
    """The displacement w with w(x) = −u(x + w(x)), by fixed-point iteration (Chen et al., Med Phys 2008).

    Where stretch makes the iteration diverge, it goes on with half steps, which converge for stretch up to 4.
    """
    inverse = -displacement
    for share in (1.0, 0.5):
        for _ in range(iterations):
            step = -warp_by_voxels(displacement, to_voxels(inverse, grid)) - inverse
            inverse = inverse + share * step
            if float(step.abs().max()) < grid.negligible:
                return inverse
    return inverse


def inversion_error(displacement: torch.Tensor, inverse: torch.Tensor, grid: Grid) -> torch.Tensor:
    """|w(x) + u(x + w(x))| in mm (D, H, W): how far from where it came from each point is sent back."""
    back = inverse + warp_by_voxels(displacement, to_voxels(inverse, grid))
    return back.norm(dim=0)


def jacobian_determinant(displacement: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Determinant of ∇(x + u(x)) at the inner voxels, by central differences → (D−2, H−2, W−2), or none."""
    if min(grid.size) < 3:
        return displacement.new_empty([max(0, n - 2) for n in grid.shape])
    u = to_voxels(displacement, grid)
    columns = []
    for axis in (3, 2, 1):
        derivative = (u.narrow(axis, 2, u.shape[axis] - 2) - u.narrow(axis, 0, u.shape[axis] - 2)) / 2
        for other in {1, 2, 3} - {axis}:
            derivative = derivative.narrow(other, 1, u.shape[other] - 2)
        columns.append(derivative)
    a, b, c = columns
    a, b, c = (
        torch.stack((a[0] + 1, a[1], a[2])),
        torch.stack((b[0], b[1] + 1, b[2])),
        torch.stack((c[0], c[1], c[2] + 1)),
    )
    return (torch.linalg.cross(a, b, dim=0) * c).sum(0)


def log_jacobian_statistics(displacement: torch.Tensor, grid: Grid) -> dict[str, float]:
    """Percentage of folded voxels; spread, least and largest value of the log-Jacobian."""
    determinant = jacobian_determinant(displacement, grid)
    if not determinant.numel():
        determinant = torch.ones(1)
    logs = determinant.cpu().double().clamp(1e-3, 1e3).log()
    return {
        "folds_percent": 100 * float((determinant <= 0).float().mean()),
        "log_jacobian_sd": float(logs.std(correction=0)),
        "log_jacobian_min": float(logs.min()),
        "log_jacobian_max": float(logs.max()),
    }


def to_voxels(displacement: torch.Tensor, grid: Grid) -> torch.Tensor:
    """LPS mm → voxels along the index axes (i, j, k) of `grid`."""
    return _rotate(grid.inverse_matrix[:3, :3], displacement)


def from_voxels(displacement: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Voxels along the index axes (i, j, k) of `grid` → LPS mm."""
    return _rotate(grid.matrix[:3, :3], displacement)


def warp_by_voxels(volume: torch.Tensor, displacement: torch.Tensor) -> torch.Tensor:
    """Volume (C, D, H, W) read at i + d(i), d (3, D, H, W) in voxels; borders are repeated."""
    if pays(volume, displacement[0].numel()) and displacement.dtype == volume.dtype:
        return Lookup(volume).displaced(displacement)
    return displaced(volume, displacement)


def exponential_voxels(velocity: torch.Tensor, first_step: float = FIRST_STEP) -> torch.Tensor:
    """`exponential` for a velocity (3, D, H, W) in voxels."""
    largest = float(velocity.abs().max())
    steps = max(1, math.ceil(math.log2(max(largest, 1e-6) / first_step)))
    displacement = velocity / 2**steps
    for _ in range(steps):
        displacement = displacement + warp_by_voxels(displacement, displacement)
    return displacement


def _rotate(matrix: object, field: torch.Tensor) -> torch.Tensor:
    m = torch.as_tensor(matrix, dtype=field.dtype, device=field.device)
    return torch.einsum("ab,bdhw->adhw", m, field)


__all__ = [
    "compose",
    "exponential",
    "inversion_error",
    "invert",
    "jacobian_determinant",
    "log_jacobian_statistics",
]
