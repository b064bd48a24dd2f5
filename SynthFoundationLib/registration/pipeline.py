"""Registration from end to end: start, linear, discrete, deformable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from ..errors import InputError
from ..features.extract import Backend
from ..features.weights import Weights
from ..geometry import Affine, Composite, DisplacementField, Transform, read_transform
from ..geometry.fields import exponential
from ..images import Image, ImageLike, LabelsLike, as_image, as_mask
from ..points import PointsLike, as_points, pair_points
from .comparison import Descriptor
from .deformable import Level, Velocity, pooled, refine_velocity
from .discrete import displacement_by_search
from .folding import unfolded
from .landmarks import pull_of_landmarks, rigid_from_landmarks
from .linear import LinearKind, register_linear
from .quality import describe
from .result import Registration
from .scan import Scan, prepare
from .settings import Settings
from .smoothness import Smoothness
from .start import find_start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..geometry import Grid

TransformKind = Literal["rigid", "affine", "deformable"]
Progress = Callable[[str, float], None]
KINDS = ("rigid", "affine", "deformable")


def register(
    fixed: ImageLike | Sequence[ImageLike],
    moving: ImageLike | Sequence[ImageLike],
    *,
    transform: TransformKind = "deformable",
    preset: str = "default",
    settings: Settings | None = None,
    fixed_mask: LabelsLike | Image | None = None,
    moving_mask: LabelsLike | Image | None = None,
    fixed_landmarks: PointsLike | None = None,
    moving_landmarks: PointsLike | None = None,
    initial_transform: Transform | str | Path | None = None,
    features: Backend = "auto",
    weights: str | Path | Weights | None = None,
    symmetric: bool = False,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> Registration:
    """Align the moving image to the fixed one, whatever their modality, orientation and field of view.

    Args:
        fixed: path, SimpleITK image, (array, Grid) pair or `Image`; a list of these is several contrasts of
            one person, the same ones in the same order on both sides.
        moving: the image to align to it, given likewise.
        transform: how far the transform may go.
        preset: `fast`, `default` or `accurate`.
        settings: every parameter, in place of a preset.
        fixed_mask: where to look in the fixed image (non-zero voxels).
        moving_mask: where to look in the moving image.
        fixed_landmarks: places in the fixed image that draw the result softly.
        moving_landmarks: the same places in the moving image.
        initial_transform: fixed → moving, LPS mm; takes the place of the automatic start.
        features: what the images are compared by, see `features.extract.compute_features`.
        weights: id or file of the pretrained network, likewise.
        symmetric: whether exchanging the images gives the inverse; takes twice the time.
        device: "auto", "cpu", "cuda", "mps".
        seed: seeds every random number; the same seed gives the same result.
        progress: called with the stage's name and the fraction of all work that is done.

    Raises:
        InputError: an image, mask, landmark, transform or option cannot be used.
        WeightsError: the weights cannot be used.
    """
    if transform not in KINDS:
        raise InputError(f"transform is {transform!r}; allowed are {', '.join(KINDS)}")
    settings = settings or Settings.preset(preset)
    fixed_image, moving_image = as_image(fixed, "the fixed image"), as_image(moving, "the moving image")
    if fixed_image.channels != moving_image.channels:
        raise InputError(
            f"the fixed image has {fixed_image.channels} contrasts, the moving {moving_image.channels}; "
            "give the same contrasts in the same order on both sides"
        )
    where = _device(device)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        work = _Work(
            fixed=prepare(fixed_image, _mask(fixed_mask, "the fixed mask"), where, "the fixed image"),
            moving=prepare(moving_image, _mask(moving_mask, "the moving mask"), where, "the moving image"),
            descriptor=Descriptor(features, weights),
            settings=settings,
            landmarks=_landmarks(fixed_landmarks, moving_landmarks),
            symmetric=symmetric,
            progress=progress or (lambda stage, fraction: None),
        )
        initial = _initial(initial_transform)
        forward, backward, field_grid = _run(work, transform, initial)
    done = {
        "transform": transform,
        "preset": preset,
        "seed": seed,
        "features": work.descriptor.parts,
        "weights": work.descriptor.identity,
        "stages": work.stages,
        "seconds": round(sum(stage["seconds"] for stage in work.stages), 2),
        "settings": settings.as_dict(),
    }
    measure = partial(
        describe, work.fixed, work.moving, work.descriptor, forward, backward, work.landmarks, field_grid
    )
    return Registration(fixed_image, moving_image, forward, backward, done, measure)


@dataclass(eq=False)
class _Work:
    """What the stages share."""

    fixed: Scan
    moving: Scan
    descriptor: Descriptor
    settings: Settings
    landmarks: tuple[np.ndarray, np.ndarray] | None
    symmetric: bool
    progress: Progress
    stages: list[dict] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, fraction: float) -> Iterator[None]:
        """Announce and time a stage that starts at this fraction of all work."""
        self.progress(name, fraction)
        start = time.perf_counter()
        yield
        self.stages.append({"name": name, "seconds": round(time.perf_counter() - start, 3)})


def _run(
    work: _Work, kind: TransformKind, initial: Transform | None
) -> tuple[Transform, Transform, Grid | None]:
    base: list[Transform] = []
    with work.stage("start", 0.0):
        if isinstance(initial, Affine):
            pose = initial
        elif initial is not None:
            pose, base = Affine(), [initial]
        elif work.landmarks is not None:
            pose = rigid_from_landmarks(*work.landmarks)
        else:
            rigid_only = replace(work.settings.start, affine_rounds=0)
            pose = find_start(
                work.fixed,
                work.moving,
                work.descriptor.coarse,
                rigid_only if kind == "rigid" else work.settings.start,
            )
    with work.stage("linear", 0.2):
        pose = _linear(work, pose, base, "rigid" if kind == "rigid" else "affine")
    linear = Composite([pose, *base])
    if kind != "deformable":
        return linear, linear.inverse(), None
    velocity = _deformable(work, linear)
    work.progress("deformable", 0.95)
    velocity = unfolded(velocity)
    forward, backward = (exponential(sign * velocity.data, velocity.grid).cpu() for sign in (1, -1))
    field_ = DisplacementField(forward, velocity.grid, backward)
    return (
        Composite([field_, *linear.transforms]),
        Composite([*linear.inverse().transforms, field_.inverse()]),
        velocity.grid,
    )


def _linear(work: _Work, pose: Affine, base: list[Transform], kind: LinearKind) -> Affine:
    """Refine the pose on the features that the deformable stage uses, coarse to fine."""
    options = work.settings.linear
    domain = work.fixed.cropped(work.settings.deformable.margin_mm)
    for voxels in options.voxels:
        spacing = max(domain.extent.max() / voxels, work.fixed.finest)
        grid = domain.with_spacing(spacing)
        fixed, moving = (scan.at_spacing(spacing).continued() for scan in (work.fixed, work.moving))
        reference, weight = work.descriptor(fixed.on(grid)), fixed.weight_on(grid)
        for _ in range(options.rounds):
            through = Composite([pose, *base])
            step = register_linear(
                reference,
                work.descriptor(moving.on(grid, through)),
                weight * moving.weight_on(grid, through),
                kind,
                options.iterations,
                options.stiffness,
            )
            pose = Affine(pose.matrix @ grid.matrix @ step.matrix @ grid.inverse_matrix)
    return pose


def _deformable(work: _Work, linear: Transform) -> Velocity:
    """The velocity whose exponential, followed by the linear transform, aligns the images."""
    options = work.settings.deformable
    domain = work.fixed.cropped(options.margin_mm)
    spacing = max(
        (domain.extent.prod() / options.voxels) ** (1 / 3),
        work.fixed.finest,
        options.slice_share * max(work.fixed.thickest, work.moving.thickest),
    )
    grid = domain.with_spacing(spacing)
    grid = grid.padded_to_multiple(max(a * b for a, b in zip(options.levels, options.control, strict=True)))
    with work.stage("features", 0.3):
        level = _finest_level(work, linear, grid)
    smoothness = Smoothness(options.bending, options.stretching)
    forces = None
    if work.landmarks is not None:
        targets = linear.inverse().apply(work.landmarks[1])
        forces = pull_of_landmarks(work.landmarks[0], targets, work.settings.landmark_weight)
    with work.stage("discrete", 0.4):
        velocity = _global_search(work, level)
    for n, factor in enumerate(options.levels):
        with work.stage(f"deformable {n + 1}", 0.5 + 0.45 * n / len(options.levels)):
            velocity = refine_velocity(
                velocity,
                _coarser(level, factor),
                options.control[n],
                options.iterations[n],
                options.solver_iterations,
                smoothness,
                forces,
                work.symmetric,
            )
    return velocity


def _finest_level(work: _Work, linear: Transform, grid: Grid) -> Level:
    """Features of both images on the grid, compared mostly where the patient is."""
    spacing = grid.spacing[0]
    fixed, moving = work.fixed.at_spacing(spacing), work.moving.at_spacing(spacing)
    body = torch.maximum(fixed.body_on(grid), moving.body_on(grid, linear))
    body = torch.nn.functional.max_pool3d(body[None], 3, 1, 1)[0]
    air = work.settings.deformable.air_weight
    weight = fixed.weight_on(grid) * moving.weight_on(grid, linear) * (air + (1 - air) * body)
    return Level(work.descriptor(fixed.on(grid)), work.descriptor(moving.on(grid, linear)), weight, grid)


def _coarser(level: Level, factor: int) -> Level:
    fixed, moving, weight = (pooled(x, factor) for x in (level.fixed, level.moving, level.weight))
    return Level(fixed, moving, weight, level.grid.coarsened(factor))


def _global_search(work: _Work, level: Level) -> Velocity:
    options = work.settings.discrete
    factor = max(options.coarsening, round((level.grid.voxels / options.voxels) ** (1 / 3)))
    coarse = _coarser(level, factor)
    if options.reach == 0:
        return Velocity(torch.zeros(3, *coarse.grid.shape, device=level.fixed.device), coarse.grid)
    displacement = displacement_by_search(coarse.fixed, coarse.moving, coarse.weight, options.reach)
    matrix = torch.as_tensor(coarse.grid.matrix[:3, :3], dtype=displacement.dtype, device=displacement.device)
    return Velocity(torch.einsum("ab,bdhw->adhw", matrix, displacement), coarse.grid)


def _device(name: str | torch.device) -> torch.device:
    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _mask(mask: LabelsLike | Image | None, what: str) -> Image | None:
    return None if mask is None else as_mask(mask, what)


def _landmarks(fixed: PointsLike | None, moving: PointsLike | None) -> tuple[np.ndarray, np.ndarray] | None:
    if (fixed is None) != (moving is None):
        raise InputError("landmarks are given for one image only; give the same places in the other, too")
    if fixed is None or moving is None:
        return None
    places_fixed, places_moving, _ = pair_points(
        as_points(fixed, "the fixed landmarks"), as_points(moving, "the moving landmarks")
    )
    return places_fixed, places_moving


def _initial(transform: Transform | str | Path | None) -> Transform | None:
    return read_transform(transform) if isinstance(transform, (str, Path)) else transform
