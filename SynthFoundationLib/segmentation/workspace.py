"""The part of a scan that is computed on, at a resolution that fits in memory, and the way there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import maximum_filter
from torch import Tensor

from ..geometry import Grid, resample
from ..images import Image, foreground, normalise
from .agreement import Neighbours
from .appearance import appearances, beside
from .placement import placed
from .shape import ShapePrior
from .tracking import Tracks

MARGIN = 2  # voxels around the body in which labels may still lie
POSITION = 3.0  # weight of the position against one feature


@dataclass(frozen=True)
class Frame:
    """Work voxels of an image: `start` … `stop` per array axis, `factors` image voxels to one."""

    grid: Grid
    start: tuple[int, ...]
    stop: tuple[int, ...]
    factors: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(D, H, W) of the work voxels."""
        ends = zip(self.start, self.stop, self.factors, strict=True)
        return tuple(-(-(b - a) // f) for a, b, f in ends)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Mm along (D, H, W)."""
        return tuple(s * f for s, f in zip(self.grid.spacing[::-1], self.factors, strict=True))

    @property
    def voxels(self) -> int:
        """Number of work voxels."""
        return int(np.prod(self.shape))

    @property
    def work_grid(self) -> Grid:
        """The work voxels in space."""
        first = [a + (f - 1) / 2 for a, f in zip(self.start, self.factors, strict=True)]
        origin = self.grid.to_physical(first[::-1])
        size: Any = self.shape[::-1]
        spacing: Any = self.spacing[::-1]
        return Grid(size, spacing, tuple(origin), self.grid.direction)

    def index(self, axis: int, index: int) -> int:
        """The work slice nearest to an image slice."""
        return min(max(0, (index - self.start[axis]) // self.factors[axis]), self.shape[axis] - 1)

    def image_index(self, axis: int, index: int) -> int:
        """The image slice in the middle of a work slice."""
        middle = self.start[axis] + index * self.factors[axis] + (self.factors[axis] - 1) // 2
        return min(middle, self.stop[axis] - 1)

    def shrunk(self, classes: np.ndarray) -> np.ndarray:
        """Seeds (−1 unlabelled) of the image on the work voxels; where several meet, the largest wins."""
        if self.factors == (1, 1, 1):
            return classes[tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))]
        result = np.full(self.shape, -1, classes.dtype)
        where = np.nonzero(classes >= 0)
        inside = [
            (w - a).clip(0, b - a - 1) // f
            for w, a, b, f in zip(where, self.start, self.stop, self.factors, strict=True)
        ]
        np.maximum.at(result, tuple(inside), classes[where])
        return result


def frame_of(image: Image, mask: np.ndarray, max_voxels: int) -> Frame:
    """The box of `mask` in voxels merged along the finest axes until at most `max_voxels` are left."""
    spans = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {a}))) for a in range(3)]
    start = tuple(int(s[0]) for s in spans)
    stop = tuple(int(s[-1]) + 1 for s in spans)
    factors = [1, 1, 1]
    frame = Frame(image.grid, start, stop, (1, 1, 1))
    while frame.voxels > max_voxels:
        factors[int(np.argmin(frame.spacing))] += 1
        frame = Frame(image.grid, start, stop, tuple(factors))
    return frame


def position_scale(points: Tensor) -> float:
    """What points (N, 3) in mm are multiplied by to count as much as `POSITION` says."""
    return POSITION / float(points.std(0).mean().clamp_min(1e-3))


class Workspace:
    """Everything about an image that does not depend on labels, computed once and when first needed."""

    def __init__(self, image: Image, max_voxels: int, extra: Image | None = None) -> None:
        """Find the body, choose the work voxels and describe them.

        Args:
            image: the scan.
            max_voxels: how many work voxels there may be.
            extra: channels to add to the description, such as learned features, on any grid.
        """
        body = foreground(image)
        mask = maximum_filter(body.numpy(), 2 * MARGIN + 1)
        self.frame = frame_of(image, mask, max_voxels)
        grid = self.frame.work_grid
        box = tuple(slice(a, b) for a, b in zip(self.frame.start, self.frame.stop, strict=True))
        self.volume = normalise(image, body)
        if self.frame.factors == (1, 1, 1):
            every = (slice(None), *box)
            self.volume = self.volume[every].contiguous()
            inside = torch.from_numpy(mask[box].copy())
        else:
            self.volume = resample(self.volume, image.grid, grid, fill=None, antialias=True)
            inside = resample(torch.from_numpy(mask)[None].float(), image.grid, grid, fill=None)[0] > 0.25
        self.where = inside.flatten().nonzero().flatten()
        more = None if extra is None else resample(extra.data, extra.grid, grid, fill=None, antialias=True)
        self.extra = 0 if more is None else len(more)
        spacing: Any = self.frame.spacing
        where_it_is = torch.cat([placed(inside, self.frame.spacing), self._positions(inside)], 1)
        self.rows = beside(
            [*appearances(self.volume, spacing, inside, more), *where_it_is.T.to(torch.bfloat16)]
        )
        self.neighbours = Neighbours.of(self.where, self.volume.mean(0), self.frame.spacing)
        self._priors: dict[int, ShapePrior] = {}

    def _positions(self, inside: Tensor) -> Tensor:
        """Position of the voxels inside (N, 3), scaled alike along all axes."""
        points = inside.nonzero() * torch.tensor(self.frame.spacing)
        points = points - points.mean(0)
        self.position_scale = position_scale(points)
        return points * self.position_scale

    def prior(self, axis: int) -> ShapePrior:
        """Shape interpolation along an array axis; the first call tracks the structures."""
        if axis not in self._priors:
            tracks = Tracks(self.volume.movedim(axis + 1, 0).contiguous())
            self._priors[axis] = ShapePrior(tracks, axis, self.frame.shape, self.frame.spacing)
        return self._priors[axis]
