"""MIND-SSC, a self-similarity descriptor independent of image contrast (Heinrich et al., MICCAI 2013)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.geometry.turns import turned

CHANNELS = 12
# The local variance may lie this far from its mean over the image.
VARIANCE_RANGE = (1e-3, 1e3)
# Voxels normalised at a time: twelve channels of them stay in the processor's cache.
TOGETHER = 65_536
# Slices and rows of a pooled descriptor computed at a time, and of how many such pieces one tells the mean
# variance.
SLICES, ROWS, SAMPLED = 24, 48, 4


class MindConfig(NamedTuple):
    """Parameters of `mind_ssc`: patch radius and dilation in voxels, noise floor in units of the image."""

    radius: int = 1
    dilation: int = 2
    noise_floor: float = 0.0


@torch.no_grad()
def mind_ssc(image: Tensor, radius: int = 1, dilation: int = 2, noise_floor: float = 0.0) -> Tensor:
    """Return the MIND-SSC descriptor: (B, 1, D, H, W) → (B, 12, D, H, W) in (0, 1], each item by itself.

    A channel compares the patches around two of a voxel's six neighbours p, q (at `dilation` voxels, with
    |p - q|² = 2 dilation²): d_pq = mean over the (2 radius + 1)³ patch of (I(x + p) - I(x + q))², the image
    continued by its border voxels. With m = min d, v = mean(d - m) over the 12 pairs, the descriptor is
    exp(-(d - m) / v), v kept within `VARIANCE_RANGE` times its mean over the image and ≥ 2 `noise_floor`²:
    where patches differ only by noise of that standard deviation (air), all channels stay near 1.

    Raises `InputError` for other shapes or parameters that make no sense.
    """
    if image.ndim != 5 or image.shape[1] != 1 or not image.is_floating_point():
        given = f"{tuple(image.shape)} of {image.dtype}"
        raise InputError(f"MIND takes floating-point (B, 1, D, H, W); given was {given}.")
    if radius < 0 or dilation < 1 or noise_floor < 0:
        raise InputError(
            f"MIND radius {radius}, dilation {dilation}, noise floor {noise_floor}: "
            "the radius must be ≥ 0, the dilation ≥ 1, the noise floor ≥ 0."
        )
    out = image.new_empty(len(image), CHANNELS, *image.shape[2:])
    # One by one, volumes stay in a processor's cache; a GPU is quicker with many at once.
    together = 1 if image.device.type == "cpu" else max(1, len(image))
    for volumes, channels in zip(image[:, 0].split(together), out.split(together), strict=True):
        _patch_distances(_surrounded(volumes, radius + dilation), radius, dilation, channels)
        _normalise(channels, 2 * noise_floor**2)
    return out


@torch.no_grad()
def pooled_mind(image: Tensor, pooling: int, mind: MindConfig) -> Tensor:
    """Means of `mind_ssc` over cells of pooling³ voxels: (B, 1, D, H, W) → (B, 12, D / pooling, …).

    Piece by piece, so that what is computed stays in the cache and the descriptor of all voxels is never
    held; the mean variance, which bounds the local one, is that of every fourth piece. Sides are multiples
    of `pooling`.
    """
    if pooling == 1:
        return mind_ssc(image, *mind)
    around = _surrounded(image[:, 0], mind.radius + mind.dilation)
    pieces = list(_pieces(image, pooling))
    out = image.new_empty(len(image), CHANNELS, *(n // pooling for n in image.shape[2:]))
    room = image.new_empty(CHANNELS * max(piece.voxels for piece in pieces))
    for volume, channels in zip(around, out, strict=True):
        means = [float(_settled(piece.distances(volume, mind, room)).mean()) for piece in pieces[::SAMPLED]]
        mean = sum(means) / len(means)
        for piece in pieces:
            part = piece.distances(volume, mind, room)
            _normalise(part, 2 * mind.noise_floor**2, [mean])
            slices, rows = piece.cells(pooling)
            channels[:, slices, rows] = F.avg_pool3d(part[0], pooling)
    return out


class _Piece(NamedTuple):
    """Some slices and rows of a volume, all of their voxels."""

    slices: slice
    rows: slice
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*(part.stop - part.start for part in (self.slices, self.rows)), self.width)

    @property
    def voxels(self) -> int:
        return math.prod(self.shape)

    def cells(self, pooling: int) -> tuple[slice, slice]:
        """Where its means belong."""
        slices, rows = (
            slice(part.start // pooling, part.stop // pooling) for part in (self.slices, self.rows)
        )
        return slices, rows

    def distances(self, surrounded: Tensor, mind: MindConfig, room: Tensor) -> Tensor:
        """Its patch distances (1, 12, …), written to `room`."""
        margin = 2 * (mind.radius + mind.dilation)
        slices, rows = (slice(part.start, part.stop + margin) for part in (self.slices, self.rows))
        out = room[: CHANNELS * self.voxels].view(1, CHANNELS, *self.shape)
        _patch_distances(surrounded[None, slices, rows], mind.radius, mind.dilation, out)
        return out


def _pieces(image: Tensor, pooling: int) -> Iterator[_Piece]:
    depth, height, width = image.shape[2:]
    most = SLICES, ROWS if image.device.type == "cpu" else height
    deep, high = (pooling * max(1, n // pooling) for n in most)
    for z in range(0, depth, deep):
        for y in range(0, height, high):
            yield _Piece(slice(z, min(z + deep, depth)), slice(y, min(y + high, height)), width)


def _surrounded(volume: Tensor, margin: int) -> Tensor:
    """(B, D, H, W) continued by so many voxels at all ends."""
    return F.pad(volume[:, None], (margin,) * 6, mode="replicate")[:, 0]


def turned_mind(descriptor: Tensor, turn: np.ndarray) -> Tensor:
    """The descriptor of a turned image from that of the image, (12, N, N, N) or a multiple of 12 channels.

    `turn` is as in `geometry.turns.turned`; voxels change places and, as their neighbours do, so do channels.
    """
    pairs = list(_pairs())
    order = [pairs.index(frozenset(tuple((turn @ end).tolist()) for end in pair)) for pair in pairs]
    groups = [torch.stack([group[n] for n in order]) for group in descriptor.split(CHANNELS)]
    return turned(torch.cat(groups), turn)


def _patch_distances(surrounded: Tensor, radius: int, dilation: int, out: Tensor) -> None:
    """Fill out (B, 12, D, H, W) with the mean squared patch differences d_pq of a `_surrounded` volume.

    Pairs with the same difference q - p share one squared-difference image: there are 6 of these, and each
    gives two channels as shifted views of it.
    """
    shape = out.shape[2:]
    for index, (first, second, sign) in enumerate(_differences()):
        # Pairs (p, q) = (-e_first, ± e_second) and (∓ e_second, e_first); q - p = e_first ± e_second.
        start, sides = [dilation] * 3, [side + 2 * radius for side in shape]
        start[first] = 0
        sides[first] += dilation
        sides[second] += dilation
        if sign > 0:
            start[second] = 0
        stop = list(start)
        stop[first] += dilation
        stop[second] += sign * dilation
        difference = _crop(surrounded, start, sides) - _crop(surrounded, stop, sides)
        sums, count = _box_sum(difference.square_(), radius), (2 * radius + 1) ** 3
        shift = [0, 0, 0]
        shift[second] = dilation if sign > 0 else 0
        torch.div(_crop(sums, shift, shape), count, out=out[:, 2 * index])
        shift[first], shift[second] = dilation, dilation - shift[second]
        torch.div(_crop(sums, shift, shape), count, out=out[:, 2 * index + 1])


def _differences() -> Iterator[tuple[int, int, int]]:
    """Yield (first axis, second axis, sign) of the six vectors e_first ± e_second."""
    for first, second in ((0, 1), (0, 2), (1, 2)):
        yield first, second, 1
        yield first, second, -1


def _pairs() -> Iterator[frozenset[tuple[int, int, int]]]:
    """Yield the two neighbours (i, j, k) that each channel compares, in units of the dilation."""
    unit = np.eye(3, dtype=int)[::-1]  # of the array's axes (D, H, W)
    for first, second, sign in _differences():
        for ends in ((-unit[first], sign * unit[second]), (-sign * unit[second], unit[first])):
            yield frozenset(tuple(end.tolist()) for end in ends)


def _crop(volume: Tensor, start: list[int], sides: list[int] | torch.Size) -> Tensor:
    for axis, (first, side) in enumerate(zip(start, sides, strict=True), start=-3):
        volume = volume.narrow(axis, first, side)
    return volume


def _box_sum(volume: Tensor, radius: int) -> Tensor:
    """Return the sum over (2 radius + 1)³ neighbourhoods inside: (B, D, H, W) → (B, D - 2 radius, …)."""
    for axis in (1, 2, 3) if radius else ():
        length = volume.shape[axis] - 2 * radius
        total = volume.narrow(axis, 0, length) + volume.narrow(axis, 1, length)
        for tap in range(2, 2 * radius + 1):
            total += volume.narrow(axis, tap, length)
        volume = total
    return volume


def _normalise(distances: Tensor, floor: float, means: list[float] | None = None) -> None:
    """Turn distances (B, 12, D, H, W) into the descriptor, in place; on a CPU a few slices at a time.

    `means` are of the variance in each item, where that of the given voxels is not to count.
    """
    variance = _settled(distances)
    # Slice by slice, then in double precision, which not every device has.
    means = means or variance.mean((3, 4)).cpu().double().mean((1, 2)).tolist()
    for one, mean in zip(variance, means, strict=True):
        low, high = (mean * factor for factor in VARIANCE_RANGE)
        # A constant image has no variance at all: its descriptor is 1, not 0 / 0.
        one.clamp_(max(low, floor, torch.finfo(variance.dtype).tiny), max(high, floor, 1e-30))
    for slab in _slabs(distances):
        distances[:, :, slab].div_(variance[:, :, slab]).neg_().exp_()


def _settled(distances: Tensor) -> Tensor:
    """Subtract the least distance at each voxel, in place; the mean of what is left (B, 1, D, H, W)."""
    variance = torch.empty_like(distances[:, :1])
    for slab in _slabs(distances):
        part = distances[:, :, slab]
        part -= part.amin(1, keepdim=True)
        torch.mean(part, 1, keepdim=True, out=variance[:, :, slab])
    return variance


def _slabs(distances: Tensor) -> list[slice]:
    depth, height, width = distances.shape[2:]
    thick = max(1, TOGETHER // (height * width)) if distances.device.type == "cpu" else depth
    return [slice(z, z + thick) for z in range(0, depth, thick)]
