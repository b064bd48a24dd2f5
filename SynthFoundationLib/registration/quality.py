"""The numbers by which a registration is judged."""

from __future__ import annotations

import platform
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..geometry import Affine, DisplacementField, Grid, Transform, grid_points, log_jacobian_statistics
from ..images import Image
from .comparison import correlation
from .information import mutual_information
from .landmarks import landmark_error
from .linear import mean_stretch, nearest_rotation
from .scan import cut_away, is_bare, shared_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .comparison import Descriptor
    from .scan import Scan

LOOK_VOXELS = 72
# Where little of either patient is seen, more has to be recognised, as this power of the share: one vertebra
# resembles the next.
SHARED_POWER = 0.25
CHECKED_POINTS = 20_000


class Look:
    """Both scans on the coarse voxels where it is measured how alike they are; read when first needed."""

    def __init__(self, fixed: Scan, moving: Scan, descriptor: Descriptor) -> None:
        """Take the scans with their masks."""
        self.fixed, self._moving, self._descriptor = fixed, moving, descriptor
        self.grid = fixed.grid.with_spacing(max(fixed.grid.extent.max() / LOOK_VOXELS, fixed.finest))

    def under(self, fixed: Scan, moving: Scan) -> Look:
        """The look at the same scans with other masks: the images are not read again."""
        other = Look(fixed, moving, self._descriptor)
        other._near_fixed = self._near_fixed.compared_like(fixed)
        other._near_moving = self._near_moving.compared_like(moving)
        other._reference = self._reference
        return other

    def alike(self, transform: Transform) -> tuple[float, float, tuple[Image, Image]]:
        """Feature correlation inside the fixed body, share of it that is covered, and the features."""
        covered = self._covered(transform)
        overlap = float(covered.sum().clamp_min(1e-6) / self._inside.sum().clamp_min(1e-6))
        fixed, moving = self.uncut(self._near_fixed, self._near_moving, transform)
        weight = self.body * fixed.weight_on(self.grid) * moving.weight_on(self.grid, transform)
        whole = fixed is self._near_fixed
        reference = self._reference if whole else self._descriptor.whole(fixed.on(self.grid))
        moved = self._descriptor.whole(moving.on(self.grid, transform))
        features = Image(reference.cpu(), self.grid), Image(moved.cpu(), self.grid)
        return correlation(reference, moved, weight), overlap, features

    def cut_away(self, transform: Transform) -> tuple[Image | None, Image | None]:
        """Where skull or face were removed from the fixed and from the moving scan alone."""
        fixed, moving = (cut_away(*side) for side in self._beside(transform))
        return fixed, moving

    def is_bare(self, transform: Transform) -> bool:
        """Whether that is all around in one of them, as around a brain."""
        return any(is_bare(*side) for side in self._beside(transform))

    def _beside(self, transform: Transform) -> Iterator[tuple[Scan, torch.Tensor]]:
        """The fixed and the moving scan, each with the other's patient on its grid."""
        fixed, moving = self._near_fixed, self._near_moving
        yield fixed, moving.body_on(fixed.grid, transform)
        yield moving, fixed.body_on(moving.grid, transform.inverse())

    def uncut(self, fixed: Scan, moving: Scan, transform: Transform) -> tuple[Scan, Scan]:
        """Both scans, in any voxels, continued there: what is no edge in the other draws nothing."""
        fixed_part, moving_part = self.cut_away(transform)
        return (
            fixed if fixed_part is None else fixed.continued(fixed_part),
            moving if moving_part is None else moving.continued(moving_part),
        )

    def moving_seen(self, backward: Transform) -> float:
        """Share of the patient in the moving scan that the fixed one covers."""
        body = self._near_moving.body
        seen = self._near_fixed.weight_on(self._near_moving.grid, backward)
        return float((body * seen).sum() / body.sum().clamp_min(1e-6))

    def recognised(self, transform: Transform) -> float:
        """The same correlation in the eyes of the bundled network, where `Descriptor.recognises`.

        A scan that shows a small part of the other is looked at closely: the network needs the voxels.
        """
        part = shared_part(self.fixed, self._moving, transform, margin=0.0)
        near = self if part is None else Look(part, self._moving, self._descriptor)
        moved = near._descriptor.recognised(near._near_moving.on(near.grid, transform))
        return correlation(near._known, moved, near._covered(transform))

    def belief(self, transform: Transform) -> float:
        """How far a pose is to be believed: by what is recognised, less where little of a patient is seen."""
        fixed_seen = float(self._covered(transform).sum() / self._inside.sum().clamp_min(1e-6))
        seen = max(fixed_seen, self.moving_seen(transform.inverse()))
        return self.recognised(transform) * seen**SHARED_POWER

    def information(self, transform: Transform) -> float:
        """How much the grey values of the scans tell of each other where both show something, in nats.

        In the air around the patient, too: PET shows a brain and takes the scalp for air.
        """
        fixed, moving = self._near_fixed, self._near_moving
        counts = fixed.weight_on(self.grid) * fixed.held_on(self.grid)
        counts *= moving.weight_on(self.grid, transform) * moving.held_on(self.grid, transform)
        return mutual_information(self._fixed_seen.data, moving.on(self.grid, transform).data, counts)

    @cached_property
    def before(self) -> float:
        """How alike the scans are where their headers put them."""
        return self.alike(Affine())[0]

    @cached_property
    def body(self) -> torch.Tensor:
        """(1, D, H, W) in 0…1: the patient in the fixed scan."""
        return self._near_fixed.body_on(self.grid)

    @cached_property
    def _near_fixed(self) -> Scan:
        return self.fixed.at_spacing(self.grid.spacing[0])

    @cached_property
    def _near_moving(self) -> Scan:
        return self._moving.at_spacing(self.grid.spacing[0])

    @cached_property
    def _inside(self) -> torch.Tensor:
        return self.body * self._near_fixed.weight_on(self.grid)

    def _covered(self, transform: Transform) -> torch.Tensor:
        """(1, D, H, W) in 0…1: what of the patient in the fixed scan the moving one covers."""
        return self._inside * self._near_moving.weight_on(self.grid, transform)

    @cached_property
    def _known(self) -> torch.Tensor:
        return self._descriptor.recognised(self._fixed_seen)

    @cached_property
    def _reference(self) -> torch.Tensor:
        return self._descriptor.whole(self._fixed_seen)

    @cached_property
    def _fixed_seen(self) -> Image:
        return self._near_fixed.on(self.grid)


@torch.no_grad()
def describe(
    look: Look,
    recognised: Callable[[], float | None],
    forward: Transform,
    backward: Transform,
    landmarks: tuple[np.ndarray, np.ndarray] | None,
    linear: Transform,
    field_grid: Grid | None,
) -> tuple[dict[str, Any], tuple[Image, Image]]:
    """JSON-plain numbers, and coarse features of the fixed and of the moved image.

    `linear` is the pose alone; `recognised` tells how alike it makes the scans in the eyes of the network.
    """
    grid = look.fixed.grid
    after, overlap, maps = look.alike(forward)
    numbers: dict[str, Any] = {
        "similarity": {"before": look.before, "after": after},
        "recognised": recognised(),
        "information": None,
        "overlap": overlap,
        "overlap_of_moving": look.moving_seen(backward),
        "header_turn_degrees": _turn(forward, grid),
        "stretch": mean_stretch(_around_the_middle(linear, grid)),
        "inverse_consistency_mm": _inverse_error(forward, backward, look.grid, look.body),
        "landmark_error_mm": None,
        "peak_memory_mb": peak_memory_mb(),
        "versions": versions(),
        "grid": {"fixed_size": list(grid.size), "fixed_spacing_mm": list(grid.spacing)},
    }
    numbers |= _deformation(forward, field_grid)
    if field_grid is not None:
        ends = look.information(linear), look.information(forward)
        numbers["information"] = dict(zip(("before", "after"), ends, strict=True))
    if landmarks is not None:
        errors = (landmark_error(t, *landmarks) for t in (Affine(), forward))
        numbers["landmark_error_mm"] = dict(zip(("before", "after"), errors, strict=True))
    return numbers, maps


def _turn(forward: Transform, grid: Grid) -> float:
    """Degrees by which the linear part turns the image against what the headers say."""
    cosine = (np.trace(nearest_rotation(_around_the_middle(forward, grid))) - 1) / 2
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


def _around_the_middle(transform: Transform, grid: Grid) -> np.ndarray:
    """The 3×3 map that a transform is, from the middle of the grid to 20 mm beside it."""
    ends = transform.apply(grid.center + np.vstack((np.zeros(3), 20 * np.eye(3))))
    return (ends[1:] - ends[0]).T / 20


def _inverse_error(forward: Transform, backward: Transform, grid: Grid, body: torch.Tensor) -> float:
    """Mean distance in mm between body points and their images under forward, then backward."""
    points = grid_points(grid)[body[0].cpu() > 0.5]
    points = points[:: max(1, len(points) // CHECKED_POINTS)].double()
    if not len(points):
        return 0.0
    return float((backward(forward(points)) - points).norm(dim=-1).mean())


def _deformation(forward: Transform, field_grid: Grid | None) -> dict[str, float]:
    fields = [t for t in getattr(forward, "transforms", []) if isinstance(t, DisplacementField)]
    if field_grid is None or not fields:
        return dict.fromkeys(
            ("folds_percent", "log_jacobian_sd", "log_jacobian_min", "log_jacobian_max"), 0.0
        )
    return log_jacobian_statistics(fields[0].data, field_grid)


def peak_memory_mb() -> float | None:
    """Largest memory this process has held, or None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1024**2 if platform.system() == "Darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def versions() -> dict[str, str]:
    """Versions of what took part."""
    names = ("SynthFoundationLib", "torch", "SimpleITK", "numpy", "scipy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
