"""No folds: where discretisation brings a deformation close to folding, its velocity is smoothed."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from ..geometry import Grid, smooth
from ..geometry.fields import exponential_voxels, from_voxels, jacobian_determinant, to_voxels
from .course import Beat, silent
from .deformable import Velocity

LEAST_DETERMINANT = 0.05
TRIES = 12
REACH = 2


class Flow(NamedTuple):
    """A velocity with the displacements (3, D, H, W) in LPS mm of exp(v) and exp(−v), on its grid."""

    velocity: Velocity
    forward: torch.Tensor
    backward: torch.Tensor


def unfolded(velocity: Velocity, beat: Beat = silent) -> Flow:
    """The flow of the velocity, smoothed where exp(v) or exp(−v) squeezes a voxel below 5 % of its volume."""
    for _ in range(TRIES):
        both, tight = _looked_at(velocity, beat)
        if not bool(tight.any()):
            break
        share = F.max_pool3d(tight.float()[None, None], 2 * REACH + 1, 1, REACH)[0]
        share = smooth(share, 1.0)
        velocity = Velocity(torch.lerp(velocity.data, smooth(velocity.data, 1.5), share), velocity.grid)
    else:
        both, _ = _looked_at(velocity, beat)
    return Flow(velocity, *(from_voxels(displacement, velocity.grid) for displacement in both))


def _looked_at(velocity: Velocity, beat: Beat) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Both displacements in voxels, and where one of them comes close to folding, bool (D, H, W)."""
    both = []
    tight = torch.zeros(velocity.grid.shape, dtype=torch.bool, device=velocity.data.device)
    for sign in (1, -1):
        beat()
        both.append(exponential_voxels(sign * to_voxels(velocity.data, velocity.grid)))
        tight[1:-1, 1:-1, 1:-1] |= _voxel_determinant(both[-1]) < LEAST_DETERMINANT
    return both, tight


def _voxel_determinant(displacement: torch.Tensor) -> torch.Tensor:
    depth, height, width = displacement.shape[1:]
    return jacobian_determinant(displacement, Grid((width, height, depth)))
