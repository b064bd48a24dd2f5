"""A U-Net over a volume of any size in bounded memory, equal to the network applied to the whole volume.

Each level of the U-Net is cut into tiles by itself: tiles of a level are pooled into the small volume of the
next level before anything deeper is computed, and what a tile of the decoder needs of the encoder is computed
again. A tile therefore needs six voxels around it, not the hundred of the network's receptive field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import ceil, prod

import torch
from torch import Tensor
from torch.nn import functional as F

from SynthFoundationLib.errors import MemoryBoundError
from SynthFoundationLib.features.fold import Convolution, fold
from SynthFoundationLib.features.lazy import Box, Convolved, Joined, JoinedNearest, Shape, Source, Stored
from SynthFoundationLib.features.unet import UNet, UNetConfig, space_to_depth

# Voxels around a tile that its convolutions need: three in the decoder, three in the encoder.
HALO = 6
# Copies of the network's parameters: folded, merged into phases, in another precision, in another order.
WEIGHT_COPIES = 4
# Tensors of a level's width that are alive at once while a tile is computed.
WORKING_TENSORS = {"nearest": 4, "trilinear": 12}
SMALLEST_TILE = 16
# Channels innermost: the faster layout of 3D convolutions on processors.
LAYOUT = torch.channels_last_3d
GIGABYTE = 1e9


@dataclass(frozen=True)
class Plan:
    """How many tiles (z, y, x) each level is cut into, and the bytes needed at most."""

    tiles: tuple[Shape, ...]
    bytes: int


def infer(
    network: UNet,
    volume: Tensor,
    max_memory_gb: float | None = None,
    dtype: torch.dtype = torch.float32,
    beat: Callable[[], None] | None = None,
) -> Tensor:
    """Return the features of a volume: (C, D, H, W) → (out, D/stem, H/stem, W/stem) float32.

    The result is that of `network(volume[None])[0]` in evaluation mode: ≤ 1e-4 relative in float32. At most
    `max_memory_gb` (10⁹ bytes) are used besides the volume and the network, the result included. Instance
    norms get the statistics of the whole volume, at the price of computing a tiled level once more per norm.
    `beat` is called after each layer and tile; what it raises ends the work.
    Raises `InputError` when the sides do not fit the network or the memory is too small for any tile.
    """
    network.check_input(volume[None])
    shape = tuple(side // network.config.stem for side in volume.shape[1:])
    steps = plan(network.config, shape, dtype.itemsize, max_memory_gb)
    with torch.no_grad():
        x = space_to_depth(volume[None].to(dtype), network.config.stem)
        return _Inference(network, steps, beat or (lambda: None)).run(x)


def preferred_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware multiplies in it (about twice as fast), else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = device.type == "cpu" and any(getattr(torch.cpu, test, bool)() for test in tests)
    return torch.bfloat16 if native else torch.float32


def plan(config: UNetConfig, shape: Shape, itemsize: int, max_memory_gb: float | None = None) -> Plan:
    """Return the coarsest tiling of each level, finest first, that keeps within the memory.

    `shape` is that of the finest level. Raises `MemoryBoundError` saying how much the smallest tiles need.
    """
    limit = float("inf") if max_memory_gb is None else max_memory_gb * GIGABYTE
    held = itemsize * config.in_channels * config.stem**3 * prod(shape) + 4 * WEIGHT_COPIES * _parameters(
        config
    )
    tiles, most = [], 0
    for level in range(config.depth + 1):
        width, voxels = config.width * 2**level, prod(shape) >> 3 * level
        result = 4 * config.out_channels * voxels if level == 0 else itemsize * width * voxels
        coarse = itemsize * width * voxels // 4 if level < config.depth else 0
        sides = tuple(side >> level for side in shape)
        work = partial(_working_bytes, sides, width * itemsize, WORKING_TENSORS[config.upsample])
        cut = next((c for c in _cuts(sides) if held + result + coarse + work(c) <= limit), None)
        if cut is None:
            least = (held + result + coarse + work(_cuts(sides)[-1])) / GIGABYTE
            raise MemoryBoundError(
                f"{width} channels at {sides} voxels need at least {least:.2f} GB; allowed are "
                f"{max_memory_gb} GB. Allow more memory or use a larger voxel spacing."
            )
        tiles.append(cut)
        most = max(most, held + result + coarse + work(cut))
        # Kept while deeper levels run: the skip connection of an uncut level, and the pooled volume.
        held += itemsize * width * voxels * (cut == (1, 1, 1)) + itemsize * width * voxels // 8
    return Plan(tuple(tiles), most)


def _parameters(config: UNetConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in UNet(config).parameters())


def _working_bytes(sides: Shape, voxel: int, tensors: int, cut: Shape) -> int:
    tile = [min(n, ceil(n / c) + 2 * HALO) for n, c in zip(sides, cut, strict=True)]
    return tensors * voxel * prod(tile)


def _cuts(sides: Shape) -> list[Shape]:
    """Return ever finer tilings: the longest side of the tile is cut next, down to `SMALLEST_TILE` voxels."""
    cut, cuts = [1, 1, 1], []
    while True:
        cuts.append(tuple(cut))
        lengths = [n / c for n, c in zip(sides, cut, strict=True)]
        axis = lengths.index(max(lengths))
        if lengths[axis] < 2 * SMALLEST_TILE:
            return cuts
        cut[axis] += 1


def boxes(shape: Shape, cut: Shape) -> list[Box]:
    """Return the tiles of a volume; they start at even voxels, so that pooling stays within a tile."""
    axes = []
    for n, count in zip(shape, cut, strict=True):
        length = 2 * ceil(n / count / 2)
        axes.append([(a, min(a + length, n)) for a in range(0, n, length)])
    return [Box(*zip(*bounds, strict=True)) for bounds in product(*axes)]


class _Inference:
    """The layers of one network, run level by level as planned."""

    def __init__(self, network: UNet, steps: Plan, beat: Callable[[], None]) -> None:
        self.config, self.steps, self.groups, self.beat = network.config, steps, fold(network), beat

    def run(self, x: Tensor) -> Tensor:
        """Return the features (out, D, H, W) float32 of x (1, C, D, H, W)."""
        source = self._level(0, Stored(x))
        out = x.new_empty(1, self.config.out_channels, *source.shape, dtype=torch.float32)
        for box in self._boxes(0, source):
            box.crop(out).copy_(source.read(box))
            self.beat()
        return out[0]

    def _level(self, level: int, source: Source) -> Source:
        """Return what the decoder makes of this level, to be computed when it is read."""
        tiles = self._boxes(level, source)
        for convolution in self.groups[level]:
            source = self._settled(partial(Convolved, source), convolution, tiles)
        if level == self.config.depth:
            return source
        if len(tiles) == 1:
            source = Stored(source.read(tiles[0]))
        coarse = self._stored(level + 1, self._level(level + 1, self._pooled(level, source)))
        first, *others = self.groups[2 * self.config.depth - level]
        join = JoinedNearest if self.config.upsample == "nearest" else Joined
        source = self._settled(partial(join, source, coarse), first, tiles)
        for convolution in others:
            source = self._settled(partial(Convolved, source), convolution, tiles)
        return source

    def _settled(
        self, make: Callable[[Convolution], Source], convolution: Convolution, tiles: list[Box]
    ) -> Source:
        self.beat()
        return _settled(make, convolution, tiles)

    def _pooled(self, level: int, source: Source) -> Stored:
        pool = F.max_pool3d if self.config.pool == "max" else F.avg_pool3d
        shape = tuple(side // 2 for side in source.shape)
        return _assembled(((box.halved(), pool(part, 2)) for box, part in self._parts(level, source)), shape)

    def _stored(self, level: int, source: Source) -> Stored:
        return _assembled(self._parts(level, source), source.shape)

    def _parts(self, level: int, source: Source) -> Iterator[tuple[Box, Tensor]]:
        for box in self._boxes(level, source):
            yield box, source.read(box)
            self.beat()

    def _boxes(self, level: int, source: Source) -> list[Box]:
        return boxes(source.shape, self.steps.tiles[level])


def _assembled(parts: Iterable[tuple[Box, Tensor]], shape: Shape) -> Stored:
    """Put computed tiles together; a single tile is taken as it is."""
    volume = torch.empty(0)
    for box, part in parts:
        if tuple(part.shape[2:]) == shape:
            return Stored(part)
        if not len(volume):
            sides = (1, part.shape[1], *shape)
            volume = torch.empty(sides, dtype=part.dtype, device=part.device, memory_format=LAYOUT)
        box.crop(volume).copy_(part)
    return Stored(volume)


def _settled(make: Callable[[Convolution], Source], convolution: Convolution, tiles: list[Box]) -> Source:
    """Return the layer `make(convolution)`, an instance norm in it given the statistics of the volume."""
    source = make(convolution)
    if convolution.eps is None:
        return source
    if len(tiles) > 1:
        mean, variance = _statistics(source, tiles)
        return make(convolution.normalised(mean.float(), variance.float(), convolution.eps))
    y = source.read(tiles[0])
    mean, variance = _statistics(Stored(y), tiles)
    scale = (variance + convolution.eps).rsqrt()
    mean, scale = (v.to(y).view(1, -1, 1, 1, 1) for v in (mean, scale))
    return Stored(y.sub_(mean).mul_(scale).relu_())


def _statistics(source: Source, tiles: list[Box]) -> tuple[Tensor, Tensor]:
    """Return mean and variance (C,) of each channel over all tiles, in float64: not every device has it."""
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for box in tiles:
        part = source.read(box)[0].flatten(1)
        variance, centre = (v.cpu().double() for v in torch.var_mean(part.float(), dim=1, correction=0))
        size, shift = part.shape[1], centre - mean
        squares = squares + variance * size + shift**2 * (count * size / (count + size))
        mean = mean + shift * (size / (count + size))
        count += size
    return mean, squares / count
