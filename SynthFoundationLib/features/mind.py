"""MIND-SSC, a self-similarity descriptor independent of image contrast (Heinrich et al., MICCAI 2013)."""

from __future__ import annotations

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
# Slices normalised at a time: twelve channels of them stay in the processor's cache.
SLAB = 4
# Slices of a pooled descriptor computed at a time, and of how many pieces one tells the mean variance.
PIECE, SAMPLED = 24, 4


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
        _patch_distances(volumes, radius, dilation, channels)
        _normalise(channels, 2 * noise_floor**2)
    return out


@torch.no_grad()
def pooled_mind(image: Tensor, pooling: int, mind: MindConfig) -> Tensor:
    """Means of `mind_ssc` over cells of pooling³ voxels: (B, 1, D, H, W) → (B, 12, D / pooling, …).

    Some slices at a time, so that the descriptor of all voxels is never held; the mean variance, which bounds
    the local one, is that of every fourth piece. Sides must be multiples of `pooling`.
    """
    if pooling == 1:
        return mind_ssc(image, *mind)
    depth = image.shape[2]
    step = pooling * max(1, PIECE // pooling)
    pieces = [slice(z, min(z + step, depth)) for z in range(0, depth, step)]
    out = image.new_empty(len(image), CHANNELS, *(n // pooling for n in image.shape[2:]))
    for volume, channels in zip(image[:, 0], out, strict=True):
        means = [float(_settled(_distances_in(volume, one, mind)).mean()) for one in pieces[::SAMPLED]]
        for piece in pieces:
            part = _distances_in(volume, piece, mind)
            _normalise(part, 2 * mind.noise_floor**2, [sum(means) / len(means)])
            channels[:, piece.start // pooling : piece.stop // pooling] = F.avg_pool3d(part[0], pooling)
    return out


def _distances_in(volume: Tensor, piece: slice, mind: MindConfig) -> Tensor:
    """The patch distances (1, 12, d, H, W) of some slices of a volume (D, H, W)."""
    margin = mind.radius + mind.dilation
    start, stop = max(0, piece.start - margin), min(len(volume), piece.stop + margin)
    part = volume[None, start:stop]
    distances = part.new_empty(1, CHANNELS, *part.shape[1:])
    _patch_distances(part, mind.radius, mind.dilation, distances)
    return distances[:, :, piece.start - start : piece.stop - start]


def turned_mind(descriptor: Tensor, turn: np.ndarray) -> Tensor:
    """The descriptor of a turned image from that of the image, (12, N, N, N) or a multiple of 12 channels.

    `turn` is as in `geometry.turns.turned`; voxels change places and, as their neighbours do, so do channels.
    """
    pairs = list(_pairs())
    order = [pairs.index(frozenset(tuple((turn @ end).tolist()) for end in pair)) for pair in pairs]
    groups = [torch.stack([group[n] for n in order]) for group in descriptor.split(CHANNELS)]
    return turned(torch.cat(groups), turn)


def _patch_distances(volume: Tensor, radius: int, dilation: int, out: Tensor) -> None:
    """Fill out (B, 12, D, H, W) with the mean squared patch differences d_pq of volume (B, D, H, W).

    Pairs with the same difference q - p share one squared-difference image: there are 6 of these, and each
    gives two channels as shifted views of it.
    """
    margin = dilation + radius
    padded = F.pad(volume[:, None], (margin,) * 6, mode="replicate")[:, 0]
    for index, (first, second, sign) in enumerate(_differences()):
        # Pairs (p, q) = (-e_first, ± e_second) and (∓ e_second, e_first); q - p = e_first ± e_second.
        start, sides = [dilation] * 3, [side + 2 * radius for side in volume.shape[1:]]
        start[first] = 0
        sides[first] += dilation
        sides[second] += dilation
        if sign > 0:
            start[second] = 0
        stop = list(start)
        stop[first] += dilation
        stop[second] += sign * dilation
        difference = _crop(padded, start, sides) - _crop(padded, stop, sides)
        means = _box_mean(difference.square_(), radius)
        shift = [0, 0, 0]
        shift[second] = dilation if sign > 0 else 0
        out[:, 2 * index] = _crop(means, shift, volume.shape[1:])
        shift[first], shift[second] = dilation, dilation - shift[second]
        out[:, 2 * index + 1] = _crop(means, shift, volume.shape[1:])


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


def _box_mean(volume: Tensor, radius: int) -> Tensor:
    """Return the mean over (2 radius + 1)³ neighbourhoods inside: (B, D, H, W) → (B, D - 2 radius, …)."""
    taps = 2 * radius + 1
    for axis in (1, 2, 3):
        length = volume.shape[axis] - 2 * radius
        total = volume.narrow(axis, 0, length).clone()
        for tap in range(1, taps):
            total += volume.narrow(axis, tap, length)
        volume = total
    return volume.div_(taps**3)


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
    depth = distances.shape[2]
    thick = SLAB if distances.device.type == "cpu" else depth
    return [slice(z, z + thick) for z in range(0, depth, thick)]
