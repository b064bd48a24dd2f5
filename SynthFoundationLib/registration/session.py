"""A registration that stays open: run once, then brought up to date in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ..devices import chosen
from ..errors import InputError
from ..features.extract import Backend
from ..features.weights import Weights
from ..geometry import Composite, DisplacementField, Transform, read_transform
from ..geometry.fields import exponential
from ..images import Image, ImageLike, LabelsLike, as_image
from ..points import PointsLike
from .comparison import Descriptor
from .course import Course, OnState, Progress
from .deformable import Velocity, refine_velocity
from .folding import Flow, unfolded
from .guides import Guides, Landmarks, check_near, read_guides
from .landmarks import contradict, pull_of_landmarks
from .levels import Features, Finest, compared, covers, data_grid, finest, searched
from .linear import LinearKind
from .pose import Pose, first_pose, refine_pose
from .quality import Look, describe
from .result import Registration
from .scan import Scan, prepare, shared_domain
from .settings import Settings
from .size import believed, growth_of, without_stretch
from .smoothness import Smoothness

if TYPE_CHECKING:
    from collections.abc import Callable

    from .course import Beat
    from .deformable import Forces

TransformKind = Literal["rigid", "affine", "deformable"]
KINDS = ("rigid", "affine", "deformable")
# About how long the stages take beside each other.
SHARES = {"start": 3, "linear": 1, "features": 3, "discrete": 1, "deformable": 3, "folds": 0.5}


class RegistrationSession:
    """Two images, what is known about aligning them, and what was found on the way.

    `run` takes all stages. `update` keeps the pose, the features and the field that the images alone have
    led to, and refines that field under other masks, landmarks or stiffness; a rigid or affine transform is
    refined from where it was.
    """

    def __init__(
        self,
        fixed: ImageLike | Sequence[ImageLike],
        moving: ImageLike | Sequence[ImageLike],
        *,
        transform: TransformKind = "deformable",
        preset: str = "default",
        settings: Settings | None = None,
        initial_transform: Transform | str | Path | None = None,
        features: Backend = "auto",
        weights: str | Path | Weights | None = None,
        symmetric: bool = False,
        device: str | torch.device = "auto",
        seed: int = 0,
    ) -> None:
        """Read and check the images; the arguments are those of `register`.

        Raises:
            InputError: an image, transform or option cannot be used.
            WeightsError: the weights cannot be used.
            DeviceError: the device is not there.
        """
        if transform not in KINDS:
            raise InputError(f"transform is {transform!r}; allowed are {', '.join(KINDS)}")
        self.kind, self.preset, self.seed, self.symmetric = transform, preset, seed, symmetric
        self.settings = settings or Settings.preset(preset)
        self.fixed, self.moving = as_image(fixed, "the fixed image"), as_image(moving, "the moving image")
        if self.fixed.channels != self.moving.channels:
            raise InputError(
                f"the fixed image has {self.fixed.channels} contrasts, the moving {self.moving.channels}; "
                "give the same contrasts in the same order on both sides"
            )
        if isinstance(initial_transform, (str, Path)):
            initial_transform = read_transform(initial_transform)
        if initial_transform is not None:
            initial_transform.inverse()  # what has none is refused before the work, not after it
        self._initial = initial_transform
        self._descriptor = Descriptor(features, weights)
        device = chosen(device)
        self._scans = prepare(self.fixed, device), prepare(self.moving, device)
        self._look = Look(*self._scans, self._descriptor)  # where no mask is given
        self._forget()

    def run(
        self,
        *,
        fixed_mask: LabelsLike | Image | None = None,
        moving_mask: LabelsLike | Image | None = None,
        fixed_landmarks: PointsLike | None = None,
        moving_landmarks: PointsLike | None = None,
        stiffness: float = 1.0,
        progress: Progress | None = None,
        on_state: OnState | None = None,
    ) -> Registration:
        """Register from the beginning; the arguments are those of `register`.

        Raises:
            InputError: a mask, landmark or the stiffness cannot be used.
            Cancelled: whatever `progress` raises passes through; the session stays usable.
        """
        guides = read_guides(fixed_mask, moving_mask, fixed_landmarks, moving_landmarks, stiffness)
        check_near(guides.landmarks, self.fixed.grid, self.moving.grid)
        self._forget()
        return self._solved(guides, progress, on_state)

    def update(
        self,
        *,
        fixed_mask: LabelsLike | Image | None = None,
        moving_mask: LabelsLike | Image | None = None,
        fixed_landmarks: PointsLike | None = None,
        moving_landmarks: PointsLike | None = None,
        stiffness: float = 1.0,
        progress: Progress | None = None,
        on_state: OnState | None = None,
    ) -> Registration:
        """Bring the result up to date; like `run`, with all that was found before, in seconds.

        Guidance that is not given again no longer counts. What a run that was stopped has not done is made
        up for. Where landmarks say that the scan was placed wrong, it begins again from them.
        """
        guides = read_guides(fixed_mask, moving_mask, fixed_landmarks, moving_landmarks, stiffness)
        check_near(guides.landmarks, self.fixed.grid, self.moving.grid)
        if self._misplaced(guides.landmarks):
            self._forget()
        return self._solved(guides, progress, on_state)

    def _misplaced(self, landmarks: Landmarks | None) -> bool:
        """Whether landmarks contradict the pose that was found; one that was given is not doubted."""
        if landmarks is None or self._pose is None or self._initial is not None:
            return False
        return contradict(landmarks, self._pose.transform, min(scan.longest for scan in self._scans))

    def _forget(self) -> None:
        self._pose: Pose | None = None
        self._not_believed: float | None = None  # a mean stretch that was found and not taken
        self._recognised: Callable[[], float | None] = lambda: None
        self._near: tuple[Scan, ...] | None = None  # both in the voxels of the features
        self._features: Features | None = None
        self._whole: Finest | None = None  # the features with their weights where no mask is given
        self._searched: Velocity | None = None
        self._settled: Velocity | None = None

    def _solved(self, guides: Guides, progress: Progress | None, on_state: OnState | None) -> Registration:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            fixed = self._scans[0].masked(guides.fixed_mask, "the fixed image")
            moving = self._scans[1].masked(guides.moving_mask, "the moving image")
            if not self._features_reach(fixed, moving):
                self._near = self._features = self._whole = self._searched = self._settled = None
            course = Course(self._shares(), progress, on_state)
            look = self._look.under(fixed, moving) if guides.masked else self._look
            pose = self._aligned(fixed, moving, guides, look, course)
            flow = None
            if self.kind == "deformable":
                flow = self._deformed(fixed, moving, pose, guides, course)
            forward, backward = _transforms(flow, pose)
        field_grid = None if flow is None else flow.velocity.grid
        measure = partial(
            describe, look, self._recognised, forward, backward, guides.landmarks, pose.transform, field_grid
        )
        return Registration(self.fixed, self.moving, forward, backward, self._done(course, guides), measure)

    def _features_reach(self, fixed: Scan, moving: Scan) -> bool:
        """Whether the features that are there, if any, are all that is to be compared."""
        if self._features is None or self._pose is None:
            return True
        domain = shared_domain(fixed, moving, self._pose.transform, self.settings.deformable.margin)
        return covers(self._features.grid, domain)

    def _shares(self) -> dict[str, float]:
        """The stages that lie ahead, with about how long each takes beside the others."""
        names = ["start"] if self._pose is None else []
        if self._pose is None or self.kind != "deformable":
            names.append("linear")
        if self.kind == "deformable":
            names += ["features"] if self._searched else ["features", "discrete"]
            names += [f"deformable {n + 1}" for n, count in enumerate(self._iterations()) if count]
            names.append("folds")
        return {name: SHARES[name.split()[0]] for name in names}

    def _iterations(self) -> tuple[int, ...]:
        options = self.settings.deformable
        return options.update_iterations if self._settled else options.iterations

    def _aligned(self, fixed: Scan, moving: Scan, guides: Guides, look: Look, course: Course) -> Pose:
        sides = fixed, moving, self._descriptor, self.settings
        kind: LinearKind = "rigid" if self.kind == "rigid" else "affine"
        pose = self._pose
        if pose is None:
            with course.stage("start") as beat:
                belief = look.belief if self._descriptor.recognises else None
                pose = first_pose(*sides, kind, self._initial, guides.landmarks, beat, belief)
            course.state("start", lambda: pose.transform)
        elif self.kind == "deformable":
            return pose
        with course.stage("linear") as beat:
            alone = self.kind != "deformable"
            refined = refine_pose(*sides, kind, pose, guides.landmarks, beat, alone)
            self._not_believed = None
            if kind == "affine" and self._initial is None and guides.landmarks is None:
                start = without_stretch(refined, fixed.grid.center)
                rigid = partial(refine_pose, *sides, "rigid", start, None, beat, alone)
                stretched = refined
                refined = believed(stretched, rigid, look.information, look.is_bare)
                if refined is not stretched:
                    self._not_believed = math.exp(growth_of(stretched))
        course.state("linear", lambda: refined.transform)
        self._pose = refined
        if self._descriptor.recognises:
            self._recognised = cache(partial(look.recognised, refined.transform))
        return refined

    def _deformed(self, fixed: Scan, moving: Scan, pose: Pose, guides: Guides, course: Course) -> Flow:
        """What, followed by the pose, aligns the images."""
        linear = pose.transform
        with course.stage("features") as beat:
            seen = self._compared(fixed, moving, linear, guides, beat)
        if self._searched is None:
            with course.stage("discrete") as beat:
                self._searched = searched(seen, self.settings.discrete, beat)
            course.state("discrete", partial(_forward, self._searched, pose))
        velocity = self._settled or self._searched
        forces = self._forces(guides, linear)
        for n, steps in enumerate(self._iterations()):
            if not steps:
                continue
            with course.stage(f"deformable {n + 1}") as beat:
                velocity = self._refined(velocity, seen, n, steps, guides, forces, beat)
            course.state(f"deformable {n + 1}", partial(_forward, velocity, pose))
        with course.stage("folds") as beat:
            flow = unfolded(velocity, beat)
        if self._settled is None or guides.landmarks is None:
            self._settled = flow.velocity
        return flow

    def _compared(self, fixed: Scan, moving: Scan, linear: Transform, guides: Guides, beat: Beat) -> Finest:
        """What the bend goes by; of it, what no mask changes is kept."""
        if self._whole is not None and not guides.masked:
            return self._whole
        options = self.settings.deformable
        grid = data_grid(fixed, moving, linear, options)
        if self._near is None:
            spacing = grid.spacing[0] / options.pooling
            self._near = tuple(scan.at_spacing(spacing) for scan in self._scans)
        sides = zip(self._near, (fixed, moving), strict=True)
        fixed, moving = (near.compared_like(scan) for near, scan in sides)
        fixed, moving = self._look.uncut(fixed, moving, linear)
        if self._features is None:
            self._features = compared(fixed, moving, self._descriptor, linear, grid, options.pooling, beat)
        seen = finest(self._features, fixed, moving, linear, options.air_weight)
        if not guides.masked:
            self._whole = seen
        return seen

    def _refined(
        self,
        velocity: Velocity,
        seen: Finest,
        number: int,
        steps: int,
        guides: Guides,
        forces: Callable[[Velocity], Forces] | None,
        beat: Beat,
    ) -> Velocity:
        """The velocity after so many steps on one of the levels."""
        options = self.settings.deformable
        level, control = seen.level(options.levels[number]), options.control[number]
        # What landmarks draw along would become too narrow on a velocity grid as fine as that.
        fine = forces is None and level.grid.voxels <= options.velocity_voxels
        stiffness = guides.stiffness * (options.fine_stiffness if fine and control > 1 else 1.0)
        refined = refine_velocity(
            velocity,
            level,
            1 if fine else control,
            steps,
            options.solver_iterations,
            Smoothness(stiffness * options.bending, stiffness * options.stretching),
            forces,
            self.symmetric,
            beat=beat,
        )
        # Details that are settled stay where landmarks draw nothing.
        detailed = velocity is self._settled and refined.grid.voxels < velocity.grid.voxels
        return velocity.changed_as(refined) if detailed else refined

    def _forces(self, guides: Guides, linear: Transform) -> Callable[[Velocity], Forces] | None:
        if guides.landmarks is None:
            return None
        targets = linear.inverse().apply(guides.landmarks.moving)
        return pull_of_landmarks(guides.landmarks.fixed, targets, self.settings.landmark_weight)

    def _done(self, course: Course, guides: Guides) -> dict[str, Any]:
        """What was done, as plain JSON values."""
        return {
            "transform": self.kind,
            "preset": self.preset,
            "seed": self.seed,
            "stiffness": guides.stiffness,
            "features": self._descriptor.parts,
            "weights": self._descriptor.identity,
            "stages": course.stages,
            "seconds": round(sum(stage["seconds"] for stage in course.stages), 2),
            "stretch_not_taken": self._not_believed,
            "settings": self.settings.as_dict(),
        }


def _forward(velocity: Velocity, pose: Pose) -> Transform:
    """Fixed → moving: the flow of the velocity, then the pose."""
    field = DisplacementField(exponential(velocity.data, velocity.grid).cpu(), velocity.grid)
    return Composite([field, *pose.transform.transforms])


def _transforms(flow: Flow | None, pose: Pose) -> tuple[Transform, Transform]:
    """Both directions; without a flow the pose alone."""
    linear = pose.transform
    if flow is None:
        return linear, linear.inverse()
    field = DisplacementField(flow.forward.cpu(), flow.velocity.grid, flow.backward.cpu())
    return (
        Composite([field, *linear.transforms]),
        Composite([*linear.inverse().transforms, field.inverse()]),
    )
