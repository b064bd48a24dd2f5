"""What a registration returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..geometry import Transform
from ..images import Image
from ..images.warp import warp_image

if TYPE_CHECKING:
    from ..images import LabelsLike
    from ..points import PointsLike


@dataclass(eq=False)
class Registration:
    """A finished registration.

    Attributes:
        fixed, moving: the images as they were given.
        transform: fixed points → moving points, LPS mm.
        inverse: moving points → fixed points, LPS mm.
        report: what was done and how good it is, as plain JSON values.
        feature_maps: coarse features of the fixed and of the moved image on one grid, for looking at.
    """

    fixed: Image
    moving: Image
    transform: Transform
    inverse: Transform
    report: dict[str, Any]
    feature_maps: tuple[Image, Image] | None = field(default=None, repr=False)

    @cached_property
    def moved(self) -> Image:
        """The moving image on the fixed grid, resampled once."""
        return warp_image(self.moving, self.transform, self.fixed.grid)

    def save(
        self,
        folder: str | Path,
        moving_labels: Sequence[LabelsLike] = (),
        moving_points: Sequence[PointsLike] = (),
    ) -> None:
        """Write moved image, transforms, carried labels and points, and the report (`outputs.save`)."""
        from .outputs import save

        save(self, folder, moving_labels, moving_points)
