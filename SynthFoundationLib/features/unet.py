"""The 3D U-Net of Dey et al. (ICLR 2025), one flat sequence of layers, and its description `UNetConfig`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from SynthFoundationLib.errors import InputError, WeightsError

# What `torch.compile` and `nn.DataParallel` write before every key of a state dict.
WRAPPER_PREFIXES = ("_orig_mod.", "module.")


@dataclass(frozen=True)
class UNetConfig:
    """Everything that determines a `UNet`; the defaults are the ICLR 2025 network (5,899,344 parameters).

    `stem=2` rearranges 2×2×2 neighbourhoods of the input into channels, so that the network works on, and
    returns features on, a grid of twice the spacing: output voxel i is centred on input coordinate 2 i + 0.5.
    Raises `InputError` for values that describe no network.
    """

    in_channels: int = 1
    out_channels: int = 16
    width: int = 16
    depth: int = 4
    norm: Literal["batch", "instance"] = "batch"
    norm_eps: float = 1e-5
    pool: Literal["max", "average"] = "max"
    upsample: Literal["nearest", "trilinear"] = "nearest"
    stem: int = 1

    def __post_init__(self) -> None:
        allowed = {
            "norm": ("batch", "instance"),
            "pool": ("max", "average"),
            "upsample": ("nearest", "trilinear"),
            "stem": (1, 2),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise InputError(f"UNetConfig.{name} is {getattr(self, name)!r}; allowed: {values}.")
        for name in ("in_channels", "out_channels", "width", "depth"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"UNetConfig.{name} is {value!r}; it must be a whole number of at least 1.")
        if not self.norm_eps > 0:
            raise InputError(f"UNetConfig.norm_eps is {self.norm_eps!r}; it must be positive.")

    @property
    def levels(self) -> tuple[int, ...]:
        """Layer indices that the contrastive loss looks at, coarse ones first: (27, 31, 38, 45, 52, 65)."""
        encoder, bottleneck = 7 * self.depth - 1, 7 * self.depth + 3
        decoder = (7 * self.depth + 10 + 7 * j for j in range(self.depth - 1))
        return (encoder, bottleneck, *decoder, 14 * self.depth + 9)

    @property
    def stride(self) -> int:
        """The number of input voxels that every side of the input must be a multiple of."""
        return 2**self.depth * self.stem

    @property
    def smallest_side(self) -> int:
        """The shortest input side: reflection needs two voxels at the bottleneck."""
        return 2 * self.stride


class UNet(nn.Module):
    """U-Net of 3³ convolutions with reflecting borders: (B, in, D, H, W) → (B, out, D/s, H/s, W/s), s = stem.

    Layers are numbered by their place in the flat sequence `model`, which fixes the keys of the state dict.
    Two convolutions per level, each followed by norm and ReLU; convolutions have a bias only where the norm
    has none. Raises `InputError` when a side of the input is not a multiple of `config.stride`.
    """

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        self.model = nn.Sequential(*_layers(config))
        self._skips = frozenset(7 * i + 8 for i in range(config.depth))

    def forward(self, x: Tensor, layers: Sequence[int] = ()) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Return the features, and, if `layers` are named, also the outputs of those layers in that order."""
        self.check_input(x)
        x = space_to_depth(x, self.config.stem)
        taps: dict[int, Tensor] = {}
        skips: list[Tensor] = []
        for index, layer in enumerate(self.model):
            x = layer(x)
            if index in self._skips:
                skips.append(x)
            elif isinstance(layer, nn.Upsample):
                x = torch.cat([skips.pop(), x], dim=1)
            if index in layers:
                # A ReLU that follows works in place and would rewrite what is handed out.
                taps[index] = x.clone() if self._feeds_relu(index) else x
        return (x, [taps[index] for index in layers]) if layers else x

    def _feeds_relu(self, index: int) -> bool:
        return index + 1 < len(self.model) and isinstance(self.model[index + 1], nn.ReLU)

    def check_input(self, x: Tensor) -> None:
        """Raise `InputError` unless x is (B, in_channels, D, H, W) with sides the network can halve."""
        stride, smallest = self.config.stride, self.config.smallest_side
        if x.ndim != 5 or x.shape[1] != self.config.in_channels:
            raise InputError(
                f"The network takes (B, {self.config.in_channels}, D, H, W); given was {tuple(x.shape)}."
            )
        if any(side % stride or side < smallest for side in x.shape[2:]):
            raise InputError(
                f"Sides {tuple(x.shape[2:])}: each must be a multiple of {stride} and at least {smallest}. "
                "Pad the image first."
            )

    def load(self, state: Mapping[str, Tensor]) -> UNet:
        """Load a state dict strictly, wrapper prefixes stripped.

        Raises `WeightsError` naming the entries that are missing, unknown or of another shape.
        """
        state = strip_prefixes(state)
        own = self.state_dict()
        faults = [f"missing {key}" for key in own.keys() - state.keys()]
        faults += [f"unknown {key}" for key in state.keys() - own.keys()]
        faults += [
            f"{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
            for key in own.keys() & state.keys()
            if state[key].shape != own[key].shape
        ]
        if faults:
            shown = "; ".join(sorted(faults)[:4])
            raise WeightsError(f"The weights do not fit {self.config}: {len(faults)} faults ({shown} …).")
        self.load_state_dict(dict(state))
        return self


def strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict with the key prefixes of compiled or data-parallel wrappers removed."""

    def strip(key: str) -> str:
        while key.startswith(WRAPPER_PREFIXES):
            key = key.split(".", 1)[1]
        return key

    return {strip(key): value for key, value in state.items()}


def space_to_depth(x: Tensor, factor: int) -> Tensor:
    """Move factor³ neighbourhoods into channels: (B, C, D, H, W) → (B, C f³, D/f, H/f, W/f), z slowest."""
    if factor == 1:
        return x
    batch, channels, *sides = x.shape
    depth, height, width = (side // factor for side in sides)
    x = x.reshape(batch, channels, depth, factor, height, factor, width, factor)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, -1, depth, height, width)


def _layers(config: UNetConfig) -> Iterator[nn.Module]:
    """Yield the layers in the order that their indices in state dicts follow."""
    widths = [config.width * 2**level for level in range(config.depth + 1)]
    channels = config.width
    yield from _block(config.in_channels * config.stem**3, channels, config)
    for width in widths[:-1]:
        yield from _block(channels, width, config)
        yield from _block(width, width, config)
        yield nn.MaxPool3d(2) if config.pool == "max" else nn.AvgPool3d(2)
        channels = width
    yield from _block(channels, widths[-1], config)
    yield from _block(widths[-1], widths[-1], config)
    for width, below in zip(widths[-2::-1], widths[:0:-1], strict=True):
        yield nn.Upsample(scale_factor=2, mode=config.upsample)
        yield from _block(width + below, width, config)
        yield from _block(width, width, config)
    yield _conv(config.width, config.out_channels, config)


def _block(channels: int, width: int, config: UNetConfig) -> tuple[nn.Module, ...]:
    norm = nn.BatchNorm3d if config.norm == "batch" else nn.InstanceNorm3d
    return _conv(channels, width, config), norm(width, eps=config.norm_eps), nn.ReLU(inplace=True)


def _conv(channels: int, width: int, config: UNetConfig) -> nn.Conv3d:
    bias = config.norm == "instance"
    return nn.Conv3d(channels, width, 3, padding=1, padding_mode="reflect", bias=bias)
