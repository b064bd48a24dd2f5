"""Paired landmarks: a start where there is none, and a pull on the velocity field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..geometry import Affine, Transform
from ..geometry.fields import exponential_voxels, to_voxels
from ..geometry.sampling import sample_at_index
from .deformable import Forces, Velocity

if TYPE_CHECKING:
    from collections.abc import Callable

# Below this ratio of the second to the first principal spread, landmarks lie on a line and fix no rotation.
COLLINEAR = 0.05


def rigid_from_landmarks(fixed: np.ndarray, moving: np.ndarray) -> Affine:
    """Least-squares rigid transform of (N, 3) fixed to moving points, LPS mm (Kabsch, Acta Cryst 1976).

    Fewer than three points, or points on a line, give the translation alone.
    """
    centre_fixed, centre_moving = fixed.mean(0), moving.mean(0)
    u, spread, v = np.linalg.svd((moving - centre_moving).T @ (fixed - centre_fixed))
    rotation = np.eye(3)
    if len(fixed) >= 3 and spread[1] > COLLINEAR * spread[0]:
        rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, centre_moving - rotation @ centre_fixed
    return Affine(matrix)


def landmark_error(transform: Transform, fixed: np.ndarray, moving: np.ndarray) -> float:
    """Mean distance of the transformed fixed points to the moving points, mm (target registration error)."""
    return float(np.linalg.norm(transform.apply(fixed) - moving, axis=1).mean())


def pull_of_landmarks(fixed: np.ndarray, targets: np.ndarray, weight: float) -> Callable[[Velocity], Forces]:
    """Equations that draw exp(v)(fixed) to `targets`, both (N, 3) LPS mm, each pair with `weight`."""

    def forces(velocity: Velocity) -> Forces:
        grid = velocity.grid
        start = torch.as_tensor(grid.to_index(fixed), dtype=torch.float32)
        aim = torch.as_tensor(grid.to_index(targets), dtype=torch.float32)
        displacement = exponential_voxels(to_voxels(velocity.data, grid))
        residual = aim - (start + sample_at_index(displacement, start).T)
        shares = torch.zeros(1, *grid.shape)
        pulls = torch.zeros(3, *grid.shape)
        for place, pull in zip(start, residual, strict=True):
            for (k, j, i), share in _corners(place, grid.shape):
                shares[0, k, j, i] += weight * share
                pulls[:, k, j, i] += weight * share * pull
        matrix = torch.zeros(6, *grid.shape)
        matrix[[0, 3, 5]] = shares
        device = velocity.data.device
        return Forces(matrix.to(device), pulls.to(device))

    return forces


def _corners(index: torch.Tensor, shape: tuple[int, int, int]) -> list[tuple[tuple[int, int, int], float]]:
    """The voxels (k, j, i) around a continuous index (i, j, k) with their trilinear shares."""
    low = index.floor()
    found = []
    for offset in np.ndindex(2, 2, 2):
        corner = low + torch.tensor(offset)
        share = float((1 - (index - corner).abs()).prod())
        i, j, k = (int(c) for c in corner)
        if share > 0 and 0 <= k < shape[0] and 0 <= j < shape[1] and 0 <= i < shape[2]:
            found.append(((k, j, i), share))
    return found
