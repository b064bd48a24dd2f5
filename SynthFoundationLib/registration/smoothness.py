"""Smoothness of a velocity field, and the solve that weighs it against the data."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from .course import Beat, silent
from .newton import apply_matrix, diagonal

if TYPE_CHECKING:
    from collections.abc import Callable

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
        self.onto(result, field, 1.0)()
        return result

    def onto(self, result: torch.Tensor, field: torch.Tensor, strength: float) -> Callable[[], None]:
        """What adds `strength` times the operator applied to `field`, both (3, D, H, W), to `result`.

        A solver calls it in each step, where new memory, and views of it, would take longer than the sums.
        """
        if not self.bending:
            differences = _Differences(result, field)
            return partial(differences.add, 6 * self.stretching * strength, self.stretching * strength)
        room = torch.empty_like(field)
        once, twice = _Differences(room, field), _Differences(result, room)

        def add() -> None:
            room.zero_()
            once.add(6, 1)
            twice.add((6 * self.bending + self.stretching) * strength, self.bending * strength)

        return add


class _Differences:
    """Sums over each voxel of a field and its six neighbours, zero beyond the borders, onto another."""

    def __init__(self, result: torch.Tensor, field: torch.Tensor) -> None:
        """Take views of both (3, D, H, W), some slices after the other."""
        depth, height, width = field.shape[1:]
        rows = max(1, VOXELS_AT_ONCE // (height * width))
        self._own, self._neighbours = [], []
        for start in range(0, depth, rows):
            stop = min(start + rows, depth)
            low, high = max(start, 1), min(stop, depth - 1)
            part, own = result[:, start:stop], field[:, start:stop]
            pairs = [
                (part[:, low - start :], field[:, low - 1 : stop - 1]),
                (part[:, : high - start], field[:, start + 1 : high + 1]),
            ]
            for axis in (2, 3):
                length = own.shape[axis] - 1
                pairs.append((part.narrow(axis, 1, length), own.narrow(axis, 0, length)))
                pairs.append((part.narrow(axis, 0, length), own.narrow(axis, 1, length)))
            self._own.append((part, own))
            self._neighbours.append(pairs)

    def add(self, centre: float, neighbour: float) -> None:
        """Add `centre` times each voxel minus `neighbour` times its neighbours; with 6 and 1 this is −Δ."""
        for (part, own), pairs in zip(self._own, self._neighbours, strict=True):
            part.add_(own, alpha=centre)
            for near, next_to in pairs:
                near.sub_(next_to, alpha=neighbour)


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
    image = torch.empty_like(vector)
    smooth = smoothness.onto(image, direction, strength)
    energy = first = _product(residual, preconditioned)
    if float(first) <= 0:
        return solution
    for _ in range(iterations):
        beat()
        apply_matrix(matrix, direction, out=image)
        smooth()
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
