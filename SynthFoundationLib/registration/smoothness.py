"""Smoothness of a velocity field, and the solve that weighs it against the data."""

from __future__ import annotations

import torch

from .course import Beat, silent
from .newton import apply_matrix, diagonal

# Sums over so many voxels at a time stay in the cache.
VOXELS_AT_ONCE = 131_072


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
        result = torch.zeros_like(field)
        self.add_to(result, field, 1.0, torch.empty_like(field))
        return result

    def add_to(self, result: torch.Tensor, field: torch.Tensor, strength: float, room: torch.Tensor) -> None:
        """Add `strength` times the operator applied to (3, D, H, W); `room` of that shape is overwritten.

        Memory asked for anew in each step of a solver would take longer than the sums.
        """
        if not self.bending:
            _add_differences(result, field, 6 * self.stretching * strength, self.stretching * strength)
            return
        _add_differences(room.zero_(), field, 6, 1)
        centre = (6 * self.bending + self.stretching) * strength
        _add_differences(result, room, centre, self.bending * strength)


def _add_differences(result: torch.Tensor, field: torch.Tensor, centre: float, neighbour: float) -> None:
    """Add `centre` times each voxel minus `neighbour` times its six neighbours, zero beyond the borders.

    With 6 and 1 this is −Δ in voxels.
    """
    depth, height, width = field.shape[1:]
    rows = max(1, VOXELS_AT_ONCE // (height * width))
    for start in range(0, depth, rows):
        stop = min(start + rows, depth)
        low, high = max(start, 1), min(stop, depth - 1)
        part, own = result[:, start:stop], field[:, start:stop]
        part.add_(own, alpha=centre)
        part[:, low - start :].sub_(field[:, low - 1 : stop - 1], alpha=neighbour)
        part[:, : high - start].sub_(field[:, start + 1 : high + 1], alpha=neighbour)
        for axis in (2, 3):
            length = own.shape[axis] - 1
            part.narrow(axis, 1, length).sub_(own.narrow(axis, 0, length), alpha=neighbour)
            part.narrow(axis, 0, length).sub_(own.narrow(axis, 1, length), alpha=neighbour)


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
    preconditioned = residual / scale
    direction = preconditioned.clone()
    image, room = torch.empty_like(vector), torch.empty_like(vector)
    energy = first = _product(residual, preconditioned)
    if float(first) <= 0:
        return solution
    for _ in range(iterations):
        beat()
        apply_matrix(matrix, direction, out=image)
        smoothness.add_to(image, direction, strength, room)
        step = energy / _product(direction, image)
        solution.addcmul_(direction, step)
        residual.addcmul_(image, -step)
        torch.div(residual, scale, out=preconditioned)
        new_energy = _product(residual, preconditioned)
        if float(new_energy) < tolerance**2 * float(first):
            break
        torch.addcmul(preconditioned, direction, new_energy / energy, out=direction)
        energy = new_energy
    return solution


def _product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.dot(one.flatten(), other.flatten())
