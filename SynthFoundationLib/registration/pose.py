"""The linear part of a registration: where it starts, and its refinement coarse to fine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..geometry import Affine, Composite, Grid, Transform
from .landmarks import fix_a_pose, rigid_from_landmarks
from .linear import LinearKind, Pull, register_linear
from .relaxation import Relaxation
from .scan import shared_domain
from .start import find_start

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..images import Image
    from .comparison import Descriptor
    from .course import Beat
    from .guides import Landmarks
    from .scan import Scan
    from .settings import Settings


class Pose(NamedTuple):
    """An affine map of fixed to moving points, and what was given to be applied after it."""

    affine: Affine
    base: tuple[Transform, ...] = ()

    @property
    def transform(self) -> Composite:
        """Both, one after the other."""
        return Composite([self.affine, *self.base])


def first_pose(
    fixed: Scan,
    moving: Scan,
    descriptor: Descriptor,
    settings: Settings,
    kind: LinearKind,
    initial: Transform | None,
    landmarks: Landmarks | None,
    beat: Beat,
    belief: Callable[[Affine], float] | None = None,
) -> Pose:
    """The transform that was given, else the pose of the landmarks, else the one that is found."""
    if isinstance(initial, Affine):
        return Pose(initial)
    if initial is not None:
        return Pose(Affine(), (initial,))
    if landmarks is not None and fix_a_pose(landmarks, min(fixed.longest, moving.longest)):
        return Pose(rigid_from_landmarks(*landmarks))
    start = settings.start if kind == "affine" else replace(settings.start, affine_rounds=0)
    return Pose(find_start(fixed, moving, descriptor.coarse, start, beat, belief))


def refine_pose(
    fixed: Scan,
    moving: Scan,
    descriptor: Descriptor,
    settings: Settings,
    kind: LinearKind,
    pose: Pose,
    landmarks: Landmarks | None,
    beat: Beat,
) -> Pose:
    """Refine the pose on the features that the deformable stage uses.

    Features are taken anew from the moved image in each round, as they turn with it, until one moves nothing:
    what start it came from must not show in the result, nor in the bend that follows. Only how far it
    stretches is held near the start, which knows best how people differ in size.
    """
    options = settings.linear
    back = np.linalg.inv(pose.affine.matrix)
    domain = shared_domain(fixed, moving, pose.transform, settings.deformable.margin)
    for level, voxels in enumerate(options.voxels):
        spacing = max(domain.extent.max() / voxels, fixed.finest)
        grid = domain.with_spacing(spacing)
        near_fixed, near_moving = (scan.at_spacing(spacing).continued() for scan in (fixed, moving))
        relaxation = Relaxation(grid.size)

        def features(image: Image) -> torch.Tensor:
            return descriptor.described(image).at(1, options.learned)

        reference, weight = features(near_fixed.on(grid)), near_fixed.weight_on(grid)
        for done in range(options.rounds):
            beat((level + done / options.rounds) / len(options.voxels))
            through = pose.transform
            step = register_linear(
                reference,
                features(near_moving.on(grid, through)),
                weight * near_moving.weight_on(grid, through),
                kind,
                options.iterations,
                options.stiffness,
                pull=_pull(landmarks, through, grid, options.landmark_weight),
                beat=beat,
                done_before=grid.inverse_matrix @ back @ pose.affine.matrix @ grid.matrix,
            )
            moved = grid.matrix @ relaxation(step) @ grid.inverse_matrix
            pose = Pose(Affine(pose.affine.matrix @ moved), pose.base)
            if np.abs(relaxation.move(step)).max() < options.tolerance:
                break
    return pose


def _pull(landmarks: Landmarks | None, through: Transform, grid: Grid, weight: float) -> Pull | None:
    if landmarks is None:
        return None
    targets = through.inverse().apply(landmarks.moving)
    return Pull(grid.to_index(landmarks.fixed), grid.to_index(targets), weight)
