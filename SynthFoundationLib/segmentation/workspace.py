"""The part of a scan that is computed on, at a resolution that fits in memory, and the way there and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.ndimage import maximum_filter
from torch import Tensor

from ..geometry import Grid, resample
from ..images import Image, foreground, normalise
from .agreement import Neighbours
from .appearance import appearances, beside
from .filters import copied
from .layout import MARGIN, Box, Layout, box_of, merged
from .nearness import Nearness
from .placement import placed
from .seeds import Slice
from .shape import ShapePrior
from .tracking import Tracks

POSITION = 3.0  # weight of the position against one feature


@dataclass(frozen=True)
class Frame:
    """Work voxels of an image.

    Attributes:
        grid: of the image.
        start, stop: image voxels per array axis.
        factors: so many image voxels to one.
        near: whether they are only the surroundings of what is drawn.
    """

    grid: Grid
    start: tuple[int, ...]
    stop: tuple[int, ...]
    factors: tuple[int, ...]
    near: bool = False

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
    def box(self) -> tuple[slice, ...]:
        """The image voxels that are worked on."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def work_grid(self) -> Grid:
        """The work voxels in space."""
        first = [a + (f - 1) / 2 for a, f in zip(self.start, self.factors, strict=True)]
        origin = self.grid.to_physical(first[::-1])
        size: Any = self.shape[::-1]
        spacing: Any = self.spacing[::-1]
        return Grid(size, spacing, tuple(origin), self.grid.direction)

    def index(self, axis: int, index: int) -> int:
        """The work slice that holds an image slice of the box."""
        return (index - self.start[axis]) // self.factors[axis]

    def among(self, axis: int, slices: Iterable[Slice]) -> list[int]:
        """The work slices along an axis that hold image slices; those outside the box have none."""
        held = (index for a, index in slices if a == axis and self.start[axis] <= index < self.stop[axis])
        return [self.index(axis, index) for index in held]

    def image_index(self, axis: int, index: int) -> int:
        """The image slice in the middle of a work slice."""
        middle = self.start[axis] + index * self.factors[axis] + (self.factors[axis] - 1) // 2
        return min(middle, self.stop[axis] - 1)

    def work_box(self, box: Box) -> tuple[slice, ...]:
        """The work voxels that hold the image voxels of a smaller box."""
        ends = zip(box, self.start, self.factors, strict=True)
        return tuple(slice((a - s) // f, (b - 1 - s) // f + 1) for (a, b), s, f in ends)

    def sampled(self, classes: np.ndarray) -> np.ndarray:
        """What an image (D, H, W) has in the middle of each work voxel."""
        ends = zip(self.start, self.stop, self.factors, strict=True)
        middles = [np.arange(a, b, f) + (f - 1) // 2 for a, b, f in ends]
        return classes[np.ix_(*map(np.minimum, middles, np.array(self.stop) - 1))]

    def spread(self, volume: Tensor) -> Tensor:
        """Copy work voxels (D, H, W) to the image voxels of the box that lie in them."""
        lengths = tuple(b - a for a, b in zip(self.start, self.stop, strict=True))
        return copied(volume, self.factors, lengths)

    def shrunk(self, classes: np.ndarray) -> np.ndarray:
        """Seeds (−1 unlabelled) of the image on the work voxels; where several meet, the largest wins."""
        boxed = classes[self.box]
        if self.factors == (1, 1, 1):
            return boxed
        result = np.full(self.shape, -1, classes.dtype)
        where = np.nonzero(boxed >= 0)
        np.maximum.at(result, tuple(w // f for w, f in zip(where, self.factors, strict=True)), boxed[where])
        return result


def frame_of(image: Image, mask: np.ndarray, max_voxels: int, least: tuple[int, ...] = (1, 1, 1)) -> Frame:
    """The box of `mask` in voxels merged further, along the finest axes, until `max_voxels` are left."""
    start, stop = zip(*box_of(mask), strict=True)
    lengths = tuple(b - a for a, b in zip(start, stop, strict=True))
    factors = merged(lengths, image.grid.spacing[::-1], max_voxels, least)
    return Frame(image.grid, start, stop, factors)


class Body:
    """Where the patient is in an image, and the voxels around in which labels may still lie."""

    def __init__(self, image: Image) -> None:
        """Find it."""
        self.mask = foreground(image)
        self._around = maximum_filter(self.mask.numpy(), 2 * MARGIN + 1)
        self.box = box_of(self._around)

    def within(self, box: Box | None) -> np.ndarray:
        """A (D, H, W) mask of the body in a box, or of the box if it holds none of it; None is everywhere."""
        if box is None:
            return self._around.copy()
        inner = tuple(slice(*ends) for ends in box)
        mask = np.zeros_like(self._around)
        mask[inner] = self._around[inner] if self._around[inner].any() else True
        return mask


def position_scale(points: Tensor) -> float:
    """What points (N, 3) in mm are multiplied by to count as much as `POSITION` says."""
    return POSITION / float(points.std(0).mean().clamp_min(1e-3))


class Workspace:
    """Everything about an image that does not depend on labels, computed once and when first needed."""

    def __init__(
        self,
        image: Image,
        body: Body,
        max_voxels: int,
        extra: Image | None = None,
        layout: Layout | None = None,
    ) -> None:
        """Choose the work voxels and describe them.

        Args:
            image: the scan.
            body: where the patient is in it.
            max_voxels: how many work voxels there may be.
            extra: channels to add to the description, such as learned features, on any grid.
            layout: boxes to add to the body, and how far voxels are merged at the least.
        """
        wanted = layout or Layout()
        mask = body.within(wanted.within)
        for ends in wanted.beyond:
            mask[tuple(slice(*one) for one in ends)] = True
        frame = frame_of(image, mask, max_voxels, wanted.factors)
        self.frame = replace(frame, near=wanted.within is not None)
        self.layout = replace(wanted, factors=self.frame.factors)
        grid = self.frame.work_grid
        self.volume = normalise(image, body.mask)
        if self.frame.factors == (1, 1, 1):
            every = (slice(None), *self.frame.box)
            self.volume = self.volume[every].contiguous()
            inside = torch.from_numpy(mask[self.frame.box].copy())
        else:
            self.volume = resample(self.volume, image.grid, grid, fill=None, antialias=True)
            inside = resample(torch.from_numpy(mask)[None].float(), image.grid, grid, fill=None)[0] > 0.25
            for ends in wanted.beyond:
                inside[self.frame.work_box(ends)] = True
        self.inside = inside.numpy()
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

    def holds(self, where: np.ndarray) -> np.ndarray:
        """Which of the image voxels at flat indices (N,) are worked on → (N,) bool."""
        frame = self.frame
        spots = np.stack(np.unravel_index(where, frame.grid.shape))
        start, stop, factors = (np.array(one)[:, None] for one in (frame.start, frame.stop, frame.factors))
        result: np.ndarray = np.all((spots >= start) & (spots < stop), axis=0)
        result[result] = self.inside[tuple((spots[:, result] - start) // factors)]
        return result

    def prior(self, axis: int) -> ShapePrior:
        """Shape interpolation along an array axis; the first call tracks the structures."""
        if axis not in self._priors:
            tracks = Tracks(self.volume.movedim(axis + 1, 0).contiguous())
            self._priors[axis] = ShapePrior(tracks, axis, self.frame.shape, self.frame.spacing)
        return self._priors[axis]

    @cached_property
    def nearness(self) -> Nearness:
        """How near each voxel is to scribbles."""
        return Nearness(self.volume, self.frame.spacing)
