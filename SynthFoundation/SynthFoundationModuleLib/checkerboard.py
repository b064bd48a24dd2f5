"""Cubes taken in turn from two volumes, made slab by slab so that the interface never waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .display import PassingVolume
from .panel import after
from .registration import resampled_slabs

CELLS = 8  # cubes along the longest edge
SLAB = 300_000  # voxels made before the interface is looked after again
MANY = 16_000_000  # voxels from which on every other one is shown first


class Checkerboard(PassingVolume):
    """A volume of cubes taken in turn from the fixed and the moved volume."""

    def __init__(self) -> None:
        super().__init__()
        self._making: Iterator[None] = iter(())
        self._soon = after(0, self._make_more)

    def show(self, fixed: Any, moving: Any) -> None:
        """Make it or bring it up to date, and then show it in place of the blend."""
        self._making = self._made(fixed, moving)
        self._soon.start()

    def hide(self) -> None:
        """Take it out of the scene, or stop making it."""
        self._making = iter(())
        self._soon.stop()
        super().hide()

    def _make_more(self) -> None:
        if next(self._making, self) is not self:
            self._soon.start()

    def _made(self, fixed: Any, moving: Any) -> Iterator[None]:
        for step in (2, 1) if fixed.GetImageData().GetNumberOfPoints() > MANY else (1,):
            slabs = []
            for slab in mixed(fixed, moving, step):
                slabs.append(slab)
                yield
            if fixed.GetScene() is not None:
                self._put(_("Checkerboard"), np.concatenate(slabs), fixed, 255, step)
                slicer.util.setSliceViewerLayers(background=self._node, foreground=None)


def mixed(fixed: Any, moving: Any, step: int) -> Iterator[np.ndarray]:
    """Slabs (k, j, i) uint8 of cubes, in turn from both volumes as they are displayed.

    They have every `step`-th voxel of the fixed volume along each axis.
    """
    values = slicer.util.arrayFromVolume(fixed)[::step, ::step, ::step]
    spacing = [step * s for s in fixed.GetSpacing()[::-1]]
    edge = max(n * s for n, s in zip(values.shape, spacing, strict=True)) / CELLS
    rows, columns, lines = [
        (np.arange(n) * s // edge).astype(int) % 2 for n, s in zip(values.shape, spacing, strict=True)
    ]
    plane = columns[:, None] != lines
    windows = _window(fixed), _window(moving)
    thickness = max(1, SLAB // plane.size)
    for number, moved in enumerate(resampled_slabs(moving, fixed, thickness, step)):
        part = slice(number * thickness, number * thickness + len(moved))
        odd = plane != rows[part, None, None]
        yield np.where(odd, _bright(moved, windows[1]), _bright(values[part], windows[0]))


def _window(volume: Any) -> tuple[float, float]:
    """The values that are displayed black and white."""
    display = volume.GetDisplayNode()
    low, high = (display.GetWindowLevelMin(), display.GetWindowLevelMax()) if display else (0.0, 0.0)
    if not high > low:
        low, high = np.percentile(slicer.util.arrayFromVolume(volume)[::4, ::4, ::4], (1, 99))
    return low, high


def _bright(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Values as brightness 0…255."""
    low, high = window
    scale = np.float32(255 / max(high - low, 1e-6))
    return np.clip((values.astype(np.float32) - np.float32(low)) * scale, 0, 255).astype(np.uint8)
