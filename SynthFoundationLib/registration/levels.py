"""The resolutions of the deformable stage: on which grid, which features, what counts how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from .channels import channel_mix, mixed
from .deformable import Level, Velocity, pooled
from .described import Described
from .discrete import displacement_by_search
from .scan import shared_domain

if TYPE_CHECKING:
    from ..geometry import Grid, Transform
    from .comparison import Descriptor
    from .course import Beat
    from .scan import Scan
    from .settings import DeformableSettings, DiscreteSettings


class Features(NamedTuple):
    """The fixed and the linearly moved image, seen on one grid."""

    fixed: Described
    moving: Described
    grid: Grid


class Finest(NamedTuple):
    """Both images with the weight (1, D, H, W) of the voxels of their grid."""

    features: Features
    weight: torch.Tensor

    def level(self, factor: int, learned: float = 0.0) -> Level:
        """What is compared on voxels of `factor`³, learned features counting `learned` times beside MIND.

        The refinement leaves them out: they know a structure from afar, MIND places its edges.
        """
        fixed, moving, grid = self.features
        sides = fixed.at(factor, learned), moving.at(factor, learned)
        return Level(*sides, pooled(self.weight, factor), grid.coarsened(factor))


def data_grid(fixed: Scan, moving: Scan, linear: Transform, options: DeformableSettings) -> Grid:
    """Where features are taken: where both scans show the patient, as fine as is useful and allowed."""
    domain = shared_domain(fixed, moving, linear, options.margin)
    spacing = max(
        (domain.extent.prod() / options.voxels) ** (1 / 3),
        fixed.finest,
        options.slice_share * max(fixed.thickest, moving.thickest),
    )
    multiple = max(a * b for a, b in zip(options.levels, options.control, strict=True))
    return domain.with_spacing(spacing).padded_to_multiple(multiple)


def covers(grid: Grid, domain: Grid) -> bool:
    """Whether all voxels of `domain` lie in the box that the voxels of `grid` fill."""
    index = grid.to_index(domain.corners)
    return bool((index > -0.51).all() and (index < np.array(grid.size) - 0.49).all())


def compared(
    fixed: Scan,
    moving: Scan,
    descriptor: Descriptor,
    linear: Transform,
    grid: Grid,
    pooling: int,
    beat: Beat,
) -> Features:
    """The features of both scans on `grid`, means over `pooling`³ voxels, about those that the scans have."""
    finer = grid.refined(pooling)
    beat(0.1)
    image = fixed.on(finer)
    beat(0.2)
    fixed_seen = descriptor.described(image, lambda: beat(0.3), pooling)
    beat(0.5)
    image = moving.on(finer, linear)
    beat(0.7)
    return Features(fixed_seen, descriptor.described(image, lambda: beat(0.8), pooling), grid)


def finest(features: Features, fixed: Scan, moving: Scan, linear: Transform, air_weight: float) -> Finest:
    """The features with weights: both images are seen there, mostly where the patient is."""
    grid = features.grid
    body = torch.maximum(fixed.body_on(grid), moving.body_on(grid, linear))
    body = torch.nn.functional.max_pool3d(body[None], 3, 1, 1)[0]
    weight = fixed.weight_on(grid) * moving.weight_on(grid, linear) * (air_weight + (1 - air_weight) * body)
    return Finest(features, weight)


def searched(finest: Finest, options: DiscreteSettings, beat: Beat) -> Velocity:
    """The velocity that the global search starts the refinement with."""
    factor = max(options.coarsening, round((finest.features.grid.voxels / options.voxels) ** (1 / 3)))
    coarse = finest.level(factor, options.learned)
    if options.reach == 0:
        return Velocity(coarse.fixed.new_zeros(3, *coarse.grid.shape), coarse.grid)
    mix = channel_mix(coarse.fixed, coarse.moving, coarse.weight)
    sides = mixed(mix, coarse.fixed), mixed(mix, coarse.moving)
    displacement = displacement_by_search(*sides, coarse.weight, options.reach, beat)
    matrix = torch.as_tensor(coarse.grid.matrix[:3, :3], dtype=displacement.dtype, device=displacement.device)
    return Velocity(torch.einsum("ab,bdhw->adhw", matrix, displacement), coarse.grid)
