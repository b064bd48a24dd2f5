"""The pretrained U-Net with a segmentation head, shown the image itself beside what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features.inputs import contrasts_taken, network_input, shown_mind
from ..features.unet import UNet, UNetConfig

GATHERED = 16  # channels that the levels of the trunk are gathered in
DETAIL = 8  # channels at full resolution, where the trunk works at half


class SegmentationNet(nn.Module):
    """Volumes in 0…1, (B, contrasts, D, H, W) → class scores (B, classes, D, H, W).

    The trunk is a `UNet` without its last convolution. It sees what the pretrained network was shown and, in
    further channels that start from random weights, the image itself; a network that works at half
    resolution gets a light branch at full resolution beside it. In training mode scores at coarser levels
    follow.
    """

    def __init__(self, config: UNetConfig, contrasts: int, classes: int) -> None:
        """Start from random weights; `adopt` takes pretrained ones."""
        super().__init__()
        self.config, self.contrasts, self.classes = config, contrasts, classes
        self.trunk = UNet(replace(config, in_channels=config.in_channels + contrasts))
        self.trunk.model[-1] = nn.Identity()
        self.taps = tuple(7 * config.depth + 15 + 7 * level for level in range(config.depth))
        widths = [config.width * 2 ** (config.depth - 1 - level) for level in range(config.depth)]
        self.coarse = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in widths[:-1])
        self.probe = nn.ModuleList(
            nn.Conv3d(width, classes, 1, bias=level == 0) for level, width in enumerate(widths)
        )
        self.gather = nn.ModuleList(nn.Conv3d(width, GATHERED, 1) for width in widths)
        self.gathered = nn.Sequential(nn.InstanceNorm3d(GATHERED, affine=True), nn.ReLU(inplace=True))
        if config.stem == 1:
            self.head = nn.Conv3d(GATHERED, classes, 1)
        else:
            self.detail = _block(contrasts, DETAIL)
            self.joined = _block(GATHERED + DETAIL, DETAIL)
            self.head = nn.Conv3d(DETAIL, classes, 1)
        for layer in (*self.probe, self.head):
            nn.init.zeros_(layer.weight)

    def adopt(self, pretrained: UNet) -> None:
        """Take the weights of a pretrained network of the same description.

        Filters are scaled to the length of fresh ones: norms follow them, so that the features stay the same,
        but long filters would learn slowly (van Laarhoven, arXiv:1706.05350).
        """
        own, given = self.trunk.state_dict(), pretrained.state_dict()
        last = f"model.{len(self.trunk.model) - 1}."
        state = {key: value.clone() for key, value in given.items() if not key.startswith(last)}
        for key in [k for k in state if k.endswith(".weight") and state[k].ndim == 5]:
            index = int(key.split(".")[1])
            factor = own[key].flatten(1).norm(dim=1) / state[key].flatten(1).norm(dim=1).clamp_min(1e-6)
            state[key] *= factor[:, None, None, None, None]
            if f"model.{index}.bias" in state:
                state[f"model.{index}.bias"] *= factor
            if f"model.{index + 1}.running_mean" in state:
                state[f"model.{index + 1}.running_mean"] *= factor
                state[f"model.{index + 1}.running_var"] *= factor**2
        first = "model.0.weight"
        extended = own[first].clone()
        extended[:, : given[first].shape[1]] = state[first]
        self.trunk.load_state_dict(state | {first: extended})

    def forward(self, volumes: Tensor) -> Tensor | list[Tensor]:
        """Class scores; while training a list of them, fine to coarse."""
        levels = self.levels(volumes)
        fine = self._fine(volumes, levels)
        if not self.training:
            return fine
        coarse = [head(level) for head, level in zip(self.coarse, levels[:-1], strict=True)]
        return [fine, *coarse[::-1]]

    def levels(self, volumes: Tensor) -> list[Tensor]:
        """What the decoder of the trunk makes at each of its levels, coarse to fine."""
        return self.trunk(torch.cat([self._shown(volumes), volumes], 1), self.taps)[1]

    def _shown(self, volumes: Tensor) -> Tensor:
        """What the pretrained network was trained on, made of the contrasts."""
        taken = contrasts_taken(self.config)
        if shown_mind(self.config) and self.contrasts > 1:
            views = [network_input(volumes[:, c : c + 1], self.config) for c in range(self.contrasts)]
            return torch.stack(views).mean(0)
        chosen = (
            volumes[:, :taken] if self.contrasts >= taken else volumes[:, :1].expand(-1, taken, -1, -1, -1)
        )
        return network_input(chosen, self.config)

    def _fine(self, volumes: Tensor, levels: Sequence[Tensor]) -> Tensor:
        """Scores: what a linear classifier reads from all levels, and what is learned on top of it."""
        linear, features = _summed(self.probe, levels), self.gathered(_summed(self.gather, levels))
        if self.config.stem == 1:
            return self.head(features) + linear
        joined = self.joined(torch.cat([_grown(features, volumes), self.detail(volumes)], 1))
        return self.head(joined) + _grown(linear, volumes)


def _summed(layers: nn.ModuleList, levels: Sequence[Tensor]) -> Tensor:
    """Each level through its layer, at the resolution of the finest, summed."""
    total = layers[-1](levels[-1])
    for layer, level in zip(layers[:-1], levels[:-1], strict=True):
        total = total + _grown(layer(level), total)
    return total


def _grown(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, size=like.shape[2:], mode="trilinear")


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(channels, width, 3, padding=1), nn.InstanceNorm3d(width, affine=True), nn.ReLU(inplace=True)
    )


def pad_to(volume: Tensor, sides: Sequence[int]) -> Tensor:
    """Continue (..., D, H, W) with zeros at the far ends until it is at least this large."""
    missing = [max(0, n - m) for n, m in zip(sides, volume.shape[-3:], strict=True)]
    return F.pad(volume, [p for n in reversed(missing) for p in (0, n)])


__all__ = ["SegmentationNet", "pad_to"]
