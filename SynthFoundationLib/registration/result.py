"""What a registration returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        done: what was done, as plain JSON values: stages, settings, features.
        measure: gives numbers of how good it is and coarse features of both images; called when first asked.
    """

    fixed: Image
    moving: Image
    transform: Transform
    inverse: Transform
    done: dict[str, Any] = field(repr=False)
    measure: Callable[[], tuple[dict[str, Any], tuple[Image, Image]]] = field(repr=False)

    @property
    def report(self) -> dict[str, Any]:
        """What was done and how good it is, as plain JSON values."""
        return self.done | self._measured[0]

    @property
    def feature_maps(self) -> tuple[Image, Image]:
        """Coarse features of the fixed and of the moved image on one grid, for looking at."""
        return self._measured[1]

    @cached_property
    def _measured(self) -> tuple[dict[str, Any], tuple[Image, Image]]:
        return self.measure()

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
