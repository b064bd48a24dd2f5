"""Smoothness of a velocity field, and the solve that weighs it against the data."""

from __future__ import annotations

import torch

from .course import Beat, silent
from .newton import apply_matrix, diagonal


class Smoothness:
    """Bending plus stretching energy with the field held at zero beyond the borders.

    The operator is bending · Δ² − stretching · Δ in voxels; holding the border at zero lets the field taper
    off in the margin around the images, so that outside it the affine transform alone is left.
    """

    def __init__(self, bending: float, stretching: float) -> None:
        """Take the two weights, in units of the mean data term (see `solve`)."""
        self.bending, self.stretching = bending, stretching

    @property
    def diagonal(self) -> float:
        """The diagonal of the operator."""
        return 42 * self.bending + 6 * self.stretching

    def __call__(self, field: torch.Tensor) -> torch.Tensor:
        """The operator applied to (3, D, H, W)."""
        once = negative_laplacian(field)
        if not self.bending:
            return once.mul_(self.stretching)
        return negative_laplacian(once).mul_(self.bending).add_(once, alpha=self.stretching)


def negative_laplacian(field: torch.Tensor) -> torch.Tensor:
    """−Δ of (3, D, H, W) in voxels, zero beyond the borders."""
    result = 6 * field
    for axis in (1, 2, 3):
        length = field.shape[axis] - 1
        result.narrow(axis, 1, length).sub_(field.narrow(axis, 0, length))
        result.narrow(axis, 0, length).sub_(field.narrow(axis, 1, length))
    return result


def solve(
    matrix: torch.Tensor,
    vector: torch.Tensor,
    smoothness: Smoothness,
    strength: float,
    iterations: int,
    tolerance: float = 1e-2,
    beat: Beat = silent,
) -> torch.Tensor:
    """δ with (matrix + strength · smoothness) δ = vector, by preconditioned conjugate gradients."""
    scale = diagonal(matrix) + strength * smoothness.diagonal
    solution, residual = torch.zeros_like(vector), vector.clone()
    direction = preconditioned = residual / scale
    energy = first = torch.sum(residual * preconditioned)
    if float(first) <= 0:
        return solution
    for _ in range(iterations):
        beat()
        image = apply_matrix(matrix, direction).add_(smoothness(direction), alpha=strength)
        step = energy / torch.sum(direction * image)
        solution.addcmul_(direction, step)
        residual.addcmul_(image, -step)
        preconditioned = residual / scale
        new_energy = torch.sum(residual * preconditioned)
        if float(new_energy) < tolerance**2 * float(first):
            break
        direction = torch.addcmul(preconditioned, direction, new_energy / energy)
        energy = new_energy
    return solution
