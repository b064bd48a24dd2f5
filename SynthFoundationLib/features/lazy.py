"""Layers that compute any box of their output on demand, asking the layers before for what that box needs.

A box read through a chain of layers is equal to the same box of the whole output: inside the volume a layer
reads one voxel more than it returns, at the volume's border it reflects. Nothing else needs to know of halos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from SynthFoundationLib.features.fold import Convolution, phases

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Box:
    """The voxels start ≤ (z, y, x) < stop."""

    start: Shape
    stop: Shape

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Box:
        """Return the box of a whole volume."""
        return cls((0, 0, 0), tuple(shape))

    def grown(self, margin: int, shape: Shape) -> Box:
        """Return the box with a margin on all sides, as far as the volume goes."""
        start = tuple(max(0, a - margin) for a in self.start)
        return Box(start, tuple(min(n, b + margin) for b, n in zip(self.stop, shape, strict=True)))

    def halved(self) -> Box:
        """Return the coarse voxels that these voxels lie in."""
        return Box(tuple(a // 2 for a in self.start), tuple(-(-b // 2) for b in self.stop))

    def doubled(self) -> Box:
        """Return the fine voxels that lie in these voxels."""
        return Box(tuple(2 * a for a in self.start), tuple(2 * b for b in self.stop))

    def crop(self, volume: Tensor, origin: Shape = (0, 0, 0)) -> Tensor:
        """Return this box of a (..., D, H, W) volume whose first voxel is `origin`."""
        index: list[Any] = [
            slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, origin, strict=True)
        ]
        return volume[tuple([..., *index])]

    def overhang(self, shape: Shape) -> list[int]:
        """Return, in the order that `F.pad` takes, 1 for each side that lies at the volume's border."""
        sides = zip(self.start, self.stop, shape, strict=True)
        return [int(touches) for a, b, n in reversed(list(sides)) for touches in (a == 0, b == n)]


class Source(Protocol):
    """A (1, C, D, H, W) volume of which boxes can be read; `shape` is (D, H, W)."""

    shape: Shape

    def read(self, box: Box) -> Tensor:
        """Return (1, C, …) for a box inside the volume."""


class Stored:
    """A volume that lies in memory."""

    def __init__(self, volume: Tensor) -> None:
        self.volume, self.shape = volume, tuple(volume.shape[2:])

    def read(self, box: Box) -> Tensor:
        """Return a view."""
        return box.crop(self.volume)


class Convolved:
    """A source seen through a convolution."""

    def __init__(self, source: Source, convolution: Convolution) -> None:
        self.source, self.convolution, self.shape = source, convolution, source.shape

    def read(self, box: Box) -> Tensor:
        """Compute the box."""
        x = reflect(self.source.read(box.grown(1, self.shape)), box, self.shape)
        return _finish(_convolve(x, self.convolution), self.convolution)


class Joined:
    """A skip connection and a twice coarser volume, upsampled trilinearly, seen through one convolution."""

    def __init__(self, skip: Source, coarse: Stored, convolution: Convolution) -> None:
        self.skip, self.coarse, self.convolution, self.shape = skip, coarse, convolution, skip.shape

    def read(self, box: Box) -> Tensor:
        """Compute the box."""
        need = box.grown(1, self.shape)
        below = need.halved().grown(1, self.coarse.shape)
        up = F.interpolate(self.coarse.read(below), scale_factor=2, mode="trilinear", align_corners=False)
        x = torch.cat([self.skip.read(need), need.crop(up, below.doubled().start)], dim=1)
        return _finish(_convolve(reflect(x, box, self.shape), self.convolution), self.convolution)


class JoinedNearest:
    """A skip connection and a twice coarser volume, upsampled by repetition, seen through one convolution.

    The coarse volume is never upsampled: its part of the convolution is computed at its own resolution, one
    2³ kernel for each of the 8 parities of the fine voxels (8/27 of the work, a fraction of the memory).
    """

    def __init__(self, skip: Source, coarse: Stored, convolution: Convolution) -> None:
        self.coarse, self.convolution, self.shape = coarse, convolution, skip.shape
        first, upsampled = convolution.split(coarse.volume.shape[1])
        self.fine = Convolved(skip, first)
        self.kernels = phases(upsampled).contiguous(memory_format=torch.channels_last_3d)

    def read(self, box: Box) -> Tensor:
        """Compute the box."""
        out = self.fine.read(box)
        half = box.halved()
        below = half.grown(1, self.coarse.shape)
        x = self.coarse.read(below)
        # Reflection of the fine volume is repetition of the coarse one.
        x = F.pad(x, half.overhang(self.coarse.shape), mode="replicate")
        parts = F.conv3d(x, self.kernels.to(x)).chunk(8, dim=1)
        for parity, part in zip(product((0, 1), repeat=3), parts, strict=True):
            _add_parity(out, part, parity, box, half)
        return _finish(out, self.convolution)


def _add_parity(out: Tensor, part: Tensor, parity: Shape, box: Box, half: Box) -> None:
    """Add to the voxels of `box` with this parity; part[t] is of coarse voxel half.start + t - parity."""
    fine: list[Any] = [...]
    coarse: list[Any] = [...]
    for odd, a, b, c in zip(parity, box.start, box.stop, half.start, strict=True):
        first, last = -(-(a - odd) // 2), -(-(b - odd) // 2)
        fine.append(slice(2 * first + odd - a, None, 2))
        coarse.append(slice(first + odd - c, last + odd - c))
    out[tuple(fine)] += part[tuple(coarse)]


def reflect(x: Tensor, box: Box, shape: Shape) -> Tensor:
    """Pad by one reflected voxel on those sides of `box` that are the border of the volume."""
    sides = box.overhang(shape)
    return F.pad(x, sides, mode="reflect") if any(sides) else x


def _convolve(x: Tensor, convolution: Convolution) -> Tensor:
    weight = convolution.weight.to(x).contiguous(memory_format=torch.channels_last_3d)
    return F.conv3d(x, weight, convolution.bias.to(x))


def _finish(x: Tensor, convolution: Convolution) -> Tensor:
    return x.relu_() if convolution.relu and convolution.eps is None else x
