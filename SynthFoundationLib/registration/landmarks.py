"""Paired landmarks: a start where they fix one, and a pull on the pose and on the velocity field."""

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

    from .guides import Landmarks

# Below this ratio of the second to the first principal spread, landmarks lie on a line and fix no rotation.
COLLINEAR = 0.05
# Landmarks that spread over less than this share of a scan say more about a place than about the pose.
LEAST_SPREAD = 0.1
# Farther off than this share of a scan, no bend finds back.
BENDS_REACH = 0.15


def fix_a_pose(landmarks: Landmarks, length: float) -> bool:
    """Whether there are enough landmarks, far enough apart, to place a scan of that length (mm) by them."""
    around = landmarks.fixed - landmarks.fixed.mean(0)
    spread = np.linalg.svd(around, compute_uv=False) / np.sqrt(len(around))
    return len(around) >= 3 and bool(spread[1] > LEAST_SPREAD * length)


def contradict(landmarks: Landmarks, pose: Transform, length: float) -> bool:
    """Whether landmarks fix another pose of a scan of that length (mm), too far off for a bend to find."""
    if not fix_a_pose(landmarks, length):
        return False
    own = rigid_from_landmarks(*landmarks)
    gain = landmark_error(pose, *landmarks) - landmark_error(own, *landmarks)
    return gain > BENDS_REACH * length


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
        grid, like = velocity.grid, velocity.data
        start = torch.as_tensor(grid.to_index(fixed), dtype=like.dtype, device=like.device)
        aim = torch.as_tensor(grid.to_index(targets), dtype=like.dtype, device=like.device)
        displacement = exponential_voxels(to_voxels(like, grid))
        residual = aim.T - start.T - sample_at_index(displacement, start)
        voxels, shares = _corners(start, grid.shape)
        strength = torch.zeros(grid.voxels, dtype=like.dtype, device=like.device)
        strength.index_add_(0, voxels.flatten(), weight * shares.flatten())
        pull = torch.zeros(3, grid.voxels, dtype=like.dtype, device=like.device)
        pull.index_add_(1, voxels.flatten(), weight * (residual[..., None] * shares).flatten(1))
        none = torch.zeros_like(strength)
        matrix = torch.stack((strength, none, none, strength, none, strength))
        return Forces(matrix.unflatten(1, grid.shape), pull.unflatten(1, grid.shape))

    return forces


def _corners(index: torch.Tensor, shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The flat voxels (N, 8) around continuous indices (N, 3) in (i, j, k), and their trilinear shares."""
    steps = torch.tensor(list(np.ndindex(2, 2, 2)), dtype=index.dtype, device=index.device)
    corners = index.floor()[:, None] + steps
    last = torch.tensor(shape[::-1], dtype=index.dtype, device=index.device) - 1
    shares = (1 - (index[:, None] - corners).abs()).prod(-1)
    shares = shares * ((corners >= 0) & (corners <= last)).all(-1)
    i, j, k = torch.minimum(corners.clamp_min(0), last).long().unbind(-1)
    return (k * shape[1] + j) * shape[2] + i, shares
