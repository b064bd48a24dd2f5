"""The linear part of a registration: where it starts, and its refinement coarse to fine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..geometry import Affine, Composite, Grid, Transform
from .landmarks import fix_a_pose, rigid_from_landmarks
from .linear import LinearKind, Pull, mean_stretch, nearest_rotation, register_linear
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
    from .settings import LinearSettings, Settings


class Pose(NamedTuple):
    """An affine map of fixed to moving points, and what was given to be applied after it.

    What the map is stretched further is resisted, beginning at the stretch of `sized` where that is known.
    """

    affine: Affine
    base: tuple[Transform, ...] = ()
    sized: Affine | None = None

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
    found = find_start(fixed, moving, descriptor.coarse, start, beat, belief)
    return Pose(found, sized=_alike_along_all_axes(found))


def _alike_along_all_axes(found: Affine) -> Affine:
    """The map with its mean stretch: a coarse one knows how people differ in size, and less in what shape."""
    matrix = found.matrix.copy()
    matrix[:3, :3] = nearest_rotation(matrix[:3, :3]) * mean_stretch(matrix[:3, :3])
    return Affine(matrix)


def refine_pose(
    fixed: Scan,
    moving: Scan,
    descriptor: Descriptor,
    settings: Settings,
    kind: LinearKind,
    pose: Pose,
    landmarks: Landmarks | None,
    beat: Beat,
    alone: bool = False,
) -> Pose:
    """Refine the pose on the features that the deformable stage uses.

    What start it came from must not show in the result, nor in the bend that follows. Only how far it
    stretches is held near what the start says of size. `alone`: no bend follows,
    so that it is refined once more on voxels finer than the scans', which hardly mislead a stretch.
    """
    options = settings.linear
    domain = shared_domain(fixed, moving, pose.transform, settings.deformable.margin)
    start = pose if pose.sized is None else Pose(pose.sized, pose.base)
    count = len(options.voxels) + alone
    for number, voxels in enumerate(options.voxels):
        spacing = max(domain.extent.max() / voxels, fixed.finest)
        level = _Level(fixed, moving, descriptor, options, domain.with_spacing(spacing))
        pose = level.refined(pose, kind, options.stiffness, start, landmarks, _part(beat, number, count))
    if not alone:
        return pose
    useful = (domain.extent.prod() / settings.deformable.voxels) ** (1 / 3)
    spacing = max(useful, options.finest_alone * min(fixed.finest, moving.finest))
    level = _Level(fixed, moving, descriptor, options, domain.with_spacing(spacing))
    return level.refined(pose, kind, options.stiffness_alone, pose, landmarks, _part(beat, count - 1, count))


def _part(beat: Beat, number: int, count: int) -> Beat:
    """The beat of one of `count` parts of a stage."""

    def within(done: float | None = None) -> None:
        beat((number + (done or 0.0)) / count)

    return within


class _Level:
    """Both scans on voxels of one size."""

    def __init__(
        self, fixed: Scan, moving: Scan, descriptor: Descriptor, options: LinearSettings, grid: Grid
    ) -> None:
        near, self.moving = (scan.at_spacing(grid.spacing[0]).continued() for scan in (fixed, moving))
        self.grid, self.descriptor, self.options = grid, descriptor, options
        self.reference, self.weight = self._features(near.on(grid)), near.weight_on(grid)

    def refined(
        self,
        pose: Pose,
        kind: LinearKind,
        stiffness: float,
        start: Pose,
        landmarks: Landmarks | None,
        beat: Beat,
    ) -> Pose:
        """The pose refined until nothing moves, with resistance to what it stretches beyond `start`.

        Features are taken anew from the moved image in each round, as they turn with it.
        """
        grid, options, relaxation = self.grid, self.options, Relaxation(self.grid.size)
        back = np.linalg.inv(start.affine.matrix)
        for done in range(options.rounds):
            beat(done / options.rounds)
            through = pose.transform
            step = register_linear(
                self.reference,
                self._features(self.moving.on(grid, through)),
                self.weight * self.moving.weight_on(grid, through),
                kind,
                options.iterations,
                stiffness,
                pull=_pull(landmarks, through, grid, options.landmark_weight),
                beat=beat,
                done_before=grid.inverse_matrix @ back @ pose.affine.matrix @ grid.matrix,
            )
            moved = grid.matrix @ relaxation(step) @ grid.inverse_matrix
            pose = Pose(Affine(pose.affine.matrix @ moved), pose.base)
            if np.abs(relaxation.move(step)).max() < options.tolerance:
                break
        return pose

    def _features(self, image: Image) -> torch.Tensor:
        return self.descriptor.described(image).at(1, self.options.learned)


def _pull(landmarks: Landmarks | None, through: Transform, grid: Grid, weight: float) -> Pull | None:
    if landmarks is None:
        return None
    targets = through.inverse().apply(landmarks.moving)
    return Pull(grid.to_index(landmarks.fixed), grid.to_index(targets), weight)
