"""No folds: where discretisation brings a deformation close to folding, its velocity is smoothed."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..geometry import Grid, smooth
from ..geometry.fields import exponential_voxels, jacobian_determinant, to_voxels
from .course import Beat, silent
from .deformable import Velocity

LEAST_DETERMINANT = 0.05
TRIES = 12
REACH = 2


def unfolded(velocity: Velocity, beat: Beat = silent) -> Velocity:
    """The velocity, smoothed where exp(v) or exp(−v) squeezes a voxel below 5 % of its volume."""
    for _ in range(TRIES):
        tight = torch.zeros((1, *velocity.grid.shape), device=velocity.data.device)
        for sign in (1, -1):
            beat()
            displacement = exponential_voxels(sign * to_voxels(velocity.data, velocity.grid))
            determinant = _voxel_determinant(displacement)
            tight[0, 1:-1, 1:-1, 1:-1] += (determinant < LEAST_DETERMINANT).float()
        if not bool(tight.any()):
            break
        share = F.max_pool3d((tight > 0).float()[None], 2 * REACH + 1, 1, REACH)[0]
        share = smooth(share, 1.0)
        velocity = Velocity(torch.lerp(velocity.data, smooth(velocity.data, 1.5), share), velocity.grid)
    return velocity


def _voxel_determinant(displacement: torch.Tensor) -> torch.Tensor:
    depth, height, width = displacement.shape[1:]
    return jacobian_determinant(displacement, Grid((width, height, depth)))
