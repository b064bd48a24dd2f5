"""Network, projection heads and losses as one module: what a step differentiates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from SynthFoundationLib.features.inputs import network_input
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.pretraining import anchors
from SynthFoundationLib.pretraining.config import LossConfig
from SynthFoundationLib.pretraining.losses import label_contrast, place_contrast
from SynthFoundationLib.pretraining.windows import interpolate_at

Shape = tuple[int, int, int]


class Head(nn.Sequential):
    """Projection head, (N, C) to (N, width); thrown away after pretraining."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Linear(channels, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width, affine=False),
        )


class ContrastiveModel(nn.Module):
    """U-Net with one head per level; `forward` returns the losses of a batch of pairs."""

    def __init__(self, network: UNetConfig, loss: LossConfig) -> None:
        super().__init__()
        self.loss = loss
        self.net = UNet(network)
        self.levels = network.levels
        widths = [_channels(self.net.model[k]) for k in self.levels] if loss.label_weight > 0 else []
        self.heads = nn.ModuleList(Head(channels, loss.head_width) for channels in widths)
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, views: Tensor, labels: Tensor, maps: list[Any], seed: int) -> dict[str, Tensor]:
        """Losses of B pairs of `Windows`; `seed` draws the anchors.

        The maps come as nested lists: mixed precision would round a tensor to whole voxels.
        """
        generator = torch.Generator(device=views.device).manual_seed(seed)
        seen = network_input(views, self.net.config)
        output, levels = self.net(seen, layers=self.levels)
        losses = {}
        if self.loss.label_weight > 0:
            for index, head, features in zip(self.levels, self.heads, levels, strict=True):
                losses[f"label_{index}"] = self._label_loss(features, labels, head, generator)
        if self.loss.place_weight > 0:
            with torch.autocast(views.device.type, enabled=False):
                losses["place"] = self._place_loss(
                    output, labels, torch.tensor(maps, device=output.device), generator
                )
        found = [value for name, value in losses.items() if name != "place"]
        total = self.loss.place_weight * losses["place"] if "place" in losses else output.new_zeros(())
        if found:
            total = total + self.loss.label_weight * torch.stack(found).mean()
        return {"total": total, **losses}

    def _label_loss(
        self, features: Tensor, labels: Tensor, head: nn.Module, generator: torch.Generator
    ) -> Tensor:
        labels = anchors.labels_at(labels, _shape(features))
        pairs, rows, classes = len(labels) // 2, [], []
        for k, (one, vectors) in enumerate(zip(labels, features.flatten(2), strict=True)):
            weights = anchors.anchor_weights(one, self.loss.border, self.loss.background)
            index = anchors.draw(weights, self.loss.anchors, generator)
            rows.append(vectors[:, index].T)
            # Labels of different pairs are different classes: 256 numbers for each.
            classes.append(one.flatten()[index].long() + 256 * (k % pairs))
        projected = head(torch.cat(rows))
        with torch.autocast(features.device.type, enabled=False):
            z = normalize(projected.float(), dim=1)
            return label_contrast(z, torch.cat(classes), self.loss.temperature)

    def _place_loss(self, output: Tensor, labels: Tensor, maps: Tensor, generator: torch.Generator) -> Tensor:
        shape, pairs = _shape(output), len(maps)
        labels = anchors.labels_at(labels[:pairs], shape)
        step = self.net.config.stem
        place: list[Tensor] = []
        here: tuple[list[Tensor], list[Tensor]] = ([], [])
        near: tuple[list[Tensor], list[Tensor]] = ([], [])
        gaps: tuple[list[Tensor], list[Tensor]] = ([], [])
        for k in range(pairs):
            # Nothing tells one empty voxel from another: background hardly takes part.
            weights = anchors.anchor_weights(labels[k], self.loss.border, 0.02)
            everywhere = anchors.unravel(torch.arange(weights.numel(), device=weights.device), shape)
            seen = anchors.inside(anchors.follow(everywhere, maps[k], step), shape)
            index = anchors.draw(weights * seen, self.loss.place_anchors, generator)
            first = everywhere[index[seen[index]]].float()
            place.append(torch.nn.functional.pad(first, (1, 0), value=float(k)))
            for view, at in ((0, first), (1, anchors.follow(first, maps[k], step))):
                close = anchors.neighbours(at, shape, self.loss.place_neighbours, generator)
                features = output[view * pairs + k].float()
                here[view].append(normalize(interpolate_at(features, at), dim=-1))
                near[view].append(normalize(interpolate_at(features, close), dim=-1))
                gaps[view].append((close - at[:, None]).norm(dim=2))
        at, first, second = torch.cat(place), torch.cat(here[0]), torch.cat(here[1])
        radius, temperature = self.loss.place_radius, self.loss.place_temperature
        there = place_contrast(first, second, at, torch.cat(near[1]), torch.cat(gaps[1]), radius, temperature)
        back = place_contrast(second, first, at, torch.cat(near[0]), torch.cat(gaps[0]), radius, temperature)
        return (there + back) / 2


def _channels(layer: nn.Module) -> int:
    """Output channels of a convolution of the network."""
    assert isinstance(layer, nn.Conv3d)
    return layer.out_channels


def _shape(features: Tensor) -> Shape:
    return features.shape[2], features.shape[3], features.shape[4]
