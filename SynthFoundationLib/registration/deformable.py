"""The deformable stage: a stationary velocity field, found coarse to fine by Gauss–Newton.

exp(v) is a diffeomorphism and exp(−v) its inverse (Arsigny et al., MICCAI 2006; Vercauteren et al., MICCAI
2008). Features live on a data grid, the velocity on a control grid that may be coarser: the normal equations
are summed over the voxels of a control cell, so that fine features place a smooth field at little cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ..geometry import Grid, resample
from ..geometry.fields import exponential_voxels, from_voxels, to_voxels
from .channels import channel_mix
from .course import Beat, silent
from .newton import apply_matrix, diagonal, normal_equations
from .smoothness import Smoothness, solve
from .warp import Warp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_STEP_VOXELS = 1.5
# Noise adds to the curvature of features, so that the equations' steps are too short: taken longer, three
# bring as much as six.
OVERRELAXATION = 1.5
# Steps between two looks at the images while forces act: these may draw farther than one step goes.
FORCED_STEPS = 3
# Share of the longest side by which the control grid exceeds the data, and its least and most voxels: room in
# which the field tapers off to zero.
TAPER, TAPER_VOXELS = 0.12, (3, 12)
# In so many voxels of that room a step of refinement fades to zero, unless forces act there, too.
STEP_TAPER = 4
# Voxels that the first step of an exponential moves at most while only its end is asked for.
FIRST_STEP = 0.25


class Velocity(NamedTuple):
    """A velocity (3, D, H, W) in LPS mm on its control grid."""

    data: torch.Tensor
    grid: Grid

    def on(self, grid: Grid) -> Velocity:
        """The same velocity at the voxels of another grid."""
        return Velocity(resample(self.data, self.grid, grid, fill=0.0), grid)

    def changed_as(self, coarser: Velocity) -> Velocity:
        """This velocity with the change that led from it to another one on a coarser grid."""
        change = Velocity(coarser.data - self.on(coarser.grid).data, coarser.grid)
        return Velocity(self.data + change.on(self.grid).data, self.grid)


class Level(NamedTuple):
    """What one resolution works on: features (C, D, H, W) of both images and their weight, on one grid."""

    fixed: torch.Tensor
    moving: torch.Tensor
    weight: torch.Tensor
    grid: Grid


class Forces(NamedTuple):
    """Additional normal equations on the control grid, such as landmarks': (6, …) and (3, …), in voxels."""

    matrix: torch.Tensor
    vector: torch.Tensor


def refine_velocity(
    velocity: Velocity,
    level: Level,
    control: int,
    iterations: int,
    solver_iterations: int,
    smoothness: Smoothness,
    forces: Callable[[Velocity], Forces] | None = None,
    symmetric: bool = False,
    tolerance: float = 0.01,
    beat: Beat = silent,
) -> Velocity:
    """Improve the velocity on one level; `forces` adds equations for the velocity it is given.

    `symmetric` averages with the equations of the opposite direction. Without such forces, which act in
    single places, it stops when the mean step is less than `tolerance` voxels.
    """
    cells = level.grid.coarsened(control)
    margin = int(np.clip(np.ceil(TAPER * max(cells.size)), *TAPER_VOXELS))
    grid = cells.padded(margin)
    velocity = velocity.on(grid)
    room = margin if forces else min(margin, STEP_TAPER)
    current = to_voxels(velocity.data, grid)
    near = _without(margin - room, current.shape)
    fixed, moving = Warp(level.fixed), Warp(level.moving)
    mix = strength = None
    for done in range(iterations):
        beat(done / iterations)
        ahead = _inner(current[near], level.grid, control, room)
        if mix is None:
            mix = channel_mix(level.fixed, level.moving, level.weight, ahead)
        matrix, vector = _equations(level.fixed, moving, ahead, level.weight, mix, control, beat)
        if symmetric:
            back = _inner(-current[near], level.grid, control, room)
            other_matrix, other_vector = _equations(
                level.moving, fixed, back, level.weight, mix, control, beat
            )
            matrix, vector = (matrix + other_matrix) / 2, (vector - other_vector) / 2
        if strength is None:
            strength = mean_curvature(matrix)
        matrix, vector = (F.pad(part, (room,) * 6) for part in (matrix, vector))
        for _ in range(FORCED_STEPS if forces else 1):
            left, right = matrix, vector
            if forces is not None:
                extra = forces(Velocity(from_voxels(current, grid), grid))
                left, right = left + extra.matrix * strength, right + extra.vector * strength
            right = right.sub(smoothness(current)[near], alpha=strength)
            step = solve(left, right, smoothness, strength, solver_iterations, beat=beat)
            step = _limited(step if forces else step * OVERRELAXATION)
            current[near] += step
            vector = vector - apply_matrix(matrix, step) if forces else vector
        if forces is None and float(_length(step).mean()) < tolerance:
            break
    return Velocity(from_voxels(current, grid), grid)


def mean_curvature(matrix: torch.Tensor) -> float:
    """A third of the mean trace: the unit in which smoothness is measured."""
    return max(float(diagonal(matrix).mean()), 1e-9)


def pooled(volume: torch.Tensor, factor: int) -> torch.Tensor:
    """Means over cells of factor³ voxels of (C, D, H, W); incomplete cells count what they have."""
    if factor == 1:
        return volume
    return F.avg_pool3d(volume[None], factor, ceil_mode=True)[0]


def _equations(
    fixed: torch.Tensor,
    moving: Warp,
    displacement: torch.Tensor,
    weight: torch.Tensor,
    mix: torch.Tensor,
    control: int,
    beat: Beat,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Normal equations on the control grid, in its voxels."""
    equations = normal_equations(fixed, moving, displacement, weight, beat, mix)
    return pooled(equations.matrix, control) * control**2, pooled(equations.vector, control) * control


def _inner(velocity: torch.Tensor, grid: Grid, control: int, margin: int) -> torch.Tensor:
    """The displacement of a velocity on the control grid and its margin, in voxels of `grid`."""
    displacement = exponential_voxels(velocity, FIRST_STEP)
    return spread(displacement[_without(margin, displacement.shape)], control, grid)


def _without(margin: int, shape: Sequence[int]) -> tuple[slice, ...]:
    """What lies inside the margin of a (C, D, H, W) tensor."""
    return (slice(None), *(slice(margin, n - margin) for n in shape[1:]))


def spread(displacement: torch.Tensor, control: int, grid: Grid) -> torch.Tensor:
    """A displacement in cells of control³ voxels, as voxels of `grid`."""
    if control == 1:
        return displacement
    return control * resample(displacement, grid.coarsened(control), grid, fill=None)


def _length(field: torch.Tensor) -> torch.Tensor:
    return field.square().sum(0).sqrt_()  # several times faster than norm(dim=0)


def _limited(step: torch.Tensor) -> torch.Tensor:
    length = _length(step)[None]
    return step * (MAX_STEP_VOXELS / length.clamp_min(MAX_STEP_VOXELS))
