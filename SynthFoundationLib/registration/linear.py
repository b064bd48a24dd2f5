"""Rigid and affine registration on features: Gauss–Newton in 6 or 12 parameters."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch

from .course import Beat, silent
from .newton import PAIRS, normal_equations
from .warp import Warp

LinearKind = Literal["rigid", "affine"]
MAX_STEP_VOXELS = 2.0
DAMPING = 1e-3


class Pull(NamedTuple):
    """Landmarks: voxel indices (N, 3) of the fixed grid and where they belong, and the weight of each pair.

    The unit of the weight is the curvature of the whole data term.
    """

    places: np.ndarray
    targets: np.ndarray
    weight: float


def register_linear(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    weight: torch.Tensor,
    kind: LinearKind,
    iterations: int,
    stiffness: float,
    tolerance: float = 0.02,
    pull: Pull | None = None,
    beat: Beat = silent,
    done_before: np.ndarray | None = None,
) -> np.ndarray:
    """Align (C, D, H, W) features that lie on one grid of cubic voxels: 4×4 map of fixed to moving indices.

    `stiffness` holds back stretch and shear, in units of the mean data term: images of different stretches of
    the body would otherwise be squeezed until their outlines agree. What earlier rounds have stretched counts
    too, where their map of indices is `done_before`. Stops when no voxel moves by `tolerance` voxels.
    """
    frame = _Frame(weight[0])
    total = np.eye(4)
    before = np.eye(3) if done_before is None else done_before[:3, :3]
    generators = _generators(kind)
    read = Warp(moving)
    for done in range(iterations):
        displacement = frame.displacement(total - np.eye(4)) if done else None
        equations = normal_equations(fixed, read, displacement, weight, beat)
        hessian, gradient = frame.project(equations.matrix, equations.vector)
        if pull is not None:
            hessian, gradient = _pulled(hessian, gradient, frame, total, pull)
        hessian, gradient = generators.T @ hessian @ generators, generators.T @ gradient
        if kind == "affine":
            strain = _strain(before @ total[:3, :3])
            hessian, gradient = _resist_strain(hessian, gradient, strain, stiffness)
        hessian += DAMPING * np.diag(np.diag(hessian)) + 1e-12 * np.eye(len(hessian))
        step = np.zeros((4, 4))
        step[:3] = (generators @ np.linalg.solve(hessian, gradient)).reshape(3, 4)
        largest = np.abs(step).sum(1).max() * frame.radius
        if largest > MAX_STEP_VOXELS:
            step *= MAX_STEP_VOXELS / largest
        total = total @ (_rotation_of(step) if kind == "rigid" else np.eye(4) + step)
        if largest < tolerance:
            break
    return frame.to_index(total)


class _Frame:
    """Coordinates in which the grid of a (D, H, W) volume is centred and its longest half axis is 1."""

    def __init__(self, like: torch.Tensor) -> None:
        self.shape, self.radius = like.shape, max(like.shape) / 2
        self.axes = [
            (torch.arange(n, dtype=like.dtype, device=like.device) - (n - 1) / 2) / self.radius
            for n in like.shape
        ]

    def displacement(self, matrix: np.ndarray) -> torch.Tensor:
        """A 4×4 displacement in this frame as voxels (3, D, H, W)."""
        z, y, x = self.axes
        m = (matrix * self.radius).tolist()
        rows = [
            m[a][0] * x + (m[a][1] * y[:, None] + (m[a][2] * z[:, None, None] + m[a][3])) for a in range(3)
        ]
        return torch.stack([row.expand(self.shape) for row in rows])

    def project(self, matrix: torch.Tensor, vector: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Per-voxel equations → 12×12 and 12: three rows of (x, y, z, 1) coefficients."""
        second, first = self._moments(matrix), self._moments(vector, order=1)
        hessian = np.zeros((3, 4, 3, 4))
        for n, (a, b) in enumerate(PAIRS):
            hessian[a, :, b, :] = hessian[b, :, a, :] = second[n]
        scale = self.radius
        return hessian.reshape(12, 12) * scale**2, first.reshape(12) * scale

    def _moments(self, values: torch.Tensor, order: int = 2) -> np.ndarray:
        """Sums of (N, D, H, W) against (x, y, z, 1), or against their products, summed axis by axis."""
        z, y, x = self.axes
        powers = [torch.stack([axis**p for p in range(order + 1)], 1) for axis in (x, y, z)]
        sums = torch.einsum("ndhw,wx->ndhx", values, powers[0])
        sums = torch.einsum("ndhx,hy->ndyx", sums, powers[1])
        sums, last = (x.cpu().double() for x in (sums, powers[2]))  # not every device has 64 bits
        table = torch.einsum("ndyx,dz->nxyz", sums, last).numpy()
        exponents = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
        if order == 1:
            return np.stack([table[:, e[0], e[1], e[2]] for e in exponents], 1)
        pairs = exponents[:, None] + exponents[None]
        return table[:, pairs[..., 0], pairs[..., 1], pairs[..., 2]]

    def to_index(self, matrix: np.ndarray) -> np.ndarray:
        """A map in this frame as a map of voxel indices (i, j, k)."""
        return np.linalg.inv(self.into) @ matrix @ self.into

    @property
    def into(self) -> np.ndarray:
        """4×4: voxel indices (i, j, k) → this frame."""
        into = np.diag([1 / self.radius] * 3 + [1.0])
        into[:3, 3] = -(np.array(self.shape[::-1]) - 1) / 2 / self.radius
        return into


def _generators(kind: LinearKind) -> np.ndarray:
    """Columns: translations, rotations and, for affine, the six strains, as 12 coefficients."""
    columns = [_unit((a, 3)) for a in range(3)]
    columns += [_unit((b, a)) - _unit((a, b)) for a, b in ((0, 1), (0, 2), (1, 2))]
    if kind == "affine":
        columns += [_unit((a, a)) for a in range(3)]
        columns += [_unit((b, a)) + _unit((a, b)) for a, b in ((0, 1), (0, 2), (1, 2))]
    return np.stack([c.ravel() for c in columns], 1)


def _unit(place: tuple[int, int]) -> np.ndarray:
    matrix = np.zeros((3, 4))
    matrix[place] = 1.0
    return matrix


def _strain(linear: np.ndarray) -> np.ndarray:
    """(6,) of a 3×3 map, in the generators' order: Hencky's, as much for twice the length as for half."""
    squares, axes = np.linalg.eigh(linear.T @ linear)
    strain = axes @ np.diag(np.log(squares.clip(1e-12)) / 2) @ axes.T
    return np.array([strain[0, 0], strain[1, 1], strain[2, 2], strain[0, 1], strain[0, 2], strain[1, 2]])


def _resist_strain(
    hessian: np.ndarray, gradient: np.ndarray, strain: np.ndarray, stiffness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Add ½ k |strain|² to the objective, k = stiffness × the data's own mean curvature for rotations."""
    curvature = stiffness * np.diag(hessian)[3:6].mean()
    hessian, gradient = hessian.copy(), gradient.copy()
    hessian[6:, 6:] += curvature * np.eye(6)
    gradient[6:] -= curvature * strain
    return hessian, gradient


def _pulled(
    hessian: np.ndarray, gradient: np.ndarray, frame: _Frame, total: np.ndarray, pull: Pull
) -> tuple[np.ndarray, np.ndarray]:
    """Add the squared distances of the landmarks, seen from the fixed side, to the objective."""
    ones = np.ones((len(pull.places), 1))
    places = np.hstack((pull.places, ones)) @ frame.into.T
    aims = np.hstack((pull.targets, ones)) @ (np.linalg.inv(total) @ frame.into).T
    strength = pull.weight * np.trace(hessian[3::4, 3::4]) / 3
    pulled = hessian + strength * np.kron(np.eye(3), places.T @ places)
    return pulled, gradient + strength * ((aims - places)[:, :3].T @ places).ravel()


def _rotation_of(step: np.ndarray) -> np.ndarray:
    """I + step with its rotation part made an exact rotation."""
    result = np.eye(4) + step
    result[:3, :3] = nearest_rotation(result[:3, :3])
    return result


def nearest_rotation(linear: np.ndarray) -> np.ndarray:
    """The rotation nearest to a 3×3 map, or the reflection if it reflects: its polar factor."""
    u, _, v = np.linalg.svd(linear)
    return u @ v


def mean_stretch(linear: np.ndarray) -> float:
    """How much longer a 3×3 map makes lengths on average: the cube root of what it makes of volumes."""
    return float(max(abs(np.linalg.det(linear)), 1e-12) ** (1 / 3))


__all__ = ["LinearKind", "Pull", "mean_stretch", "nearest_rotation", "register_linear"]
