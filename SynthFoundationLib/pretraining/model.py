"""Network, projection heads and losses as one module: what a step differentiates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.pretraining import anchors
from SynthFoundationLib.pretraining.config import LossConfig
from SynthFoundationLib.pretraining.losses import label_contrast, place_contrast

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

    def forward(self, views: Tensor, labels: Tensor, seed: int) -> dict[str, Tensor]:
        """Losses of B pairs: views (2 B, 1, D, H, W), first views first; labels (B, D, H, W)."""
        generator = torch.Generator(device=views.device).manual_seed(seed)
        output, maps = self.net(views, layers=self.levels)
        losses = {}
        if self.loss.label_weight > 0:
            for index, head, features in zip(self.levels, self.heads, maps, strict=True):
                losses[f"label_{index}"] = self._label_loss(features, labels, head, generator)
        if self.loss.place_weight > 0:
            with torch.autocast(views.device.type, enabled=False):
                losses["place"] = self._place_loss(output, labels, generator)
        levels = [value for name, value in losses.items() if name != "place"]
        total = self.loss.place_weight * losses["place"] if "place" in losses else output.new_zeros(())
        if levels:
            total = total + self.loss.label_weight * torch.stack(levels).mean()
        return {"total": total, **losses}

    def _draw(
        self, labels: Tensor, count: int, generator: torch.Generator, background: float
    ) -> list[Tensor]:
        """Anchors of each pair on this grid."""
        rows = [anchors.anchor_weights(one, self.loss.border, background) for one in labels]
        return [anchors.draw(weights, count, generator) for weights in rows]

    def _label_loss(
        self, features: Tensor, labels: Tensor, head: nn.Module, generator: torch.Generator
    ) -> Tensor:
        shape = _shape(features)
        labels = anchors.labels_at(labels, shape)
        chosen = self._draw(labels, self.loss.anchors, generator, self.loss.background)
        flat = features.flatten(2)
        pairs = len(labels)
        rows = [flat[view * pairs + k][:, index].T for view in (0, 1) for k, index in enumerate(chosen)]
        # Labels of different pairs are different classes: 256 numbers for each.
        classes = torch.cat([labels[k].flatten()[index].long() + 256 * k for k, index in enumerate(chosen)])
        projected = head(torch.cat(rows))
        with torch.autocast(features.device.type, enabled=False):
            z = normalize(projected.float(), dim=1)
            return label_contrast(z, classes.repeat(2), self.loss.temperature)

    def _place_loss(self, output: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        shape = _shape(output)
        labels = anchors.labels_at(labels, shape)
        flat = normalize(output.float(), dim=1).flatten(2)
        pairs = len(labels)
        # Nothing tells one empty voxel from another: background hardly takes part.
        chosen = self._draw(labels, self.loss.place_anchors, generator, 0.02)
        place: list[Tensor] = []
        near_place: list[Tensor] = []
        here: tuple[list[Tensor], list[Tensor]] = ([], [])
        near: tuple[list[Tensor], list[Tensor]] = ([], [])
        for k, index in enumerate(chosen):
            position = anchors.unravel(index, shape)
            close = anchors.neighbours(position, shape, self.loss.place_neighbours, generator)
            close_index = anchors.ravel(close, shape)
            place.append(torch.nn.functional.pad(position, (1, 0), value=k))
            near_place.append(torch.nn.functional.pad(close, (1, 0), value=k))
            for view in (0, 1):
                vectors = flat[view * pairs + k]
                here[view].append(vectors[:, index].T)
                near[view].append(vectors[:, close_index.flatten()].T.reshape(*close_index.shape, -1))
        at, near_at = torch.cat(place), torch.cat(near_place)
        first, second = torch.cat(here[0]), torch.cat(here[1])
        options = {"radius": self.loss.place_radius, "temperature": self.loss.place_temperature}
        there = place_contrast(first, second, at, torch.cat(near[1]), near_at, **options)
        back = place_contrast(second, first, at, torch.cat(near[0]), near_at, **options)
        return (there + back) / 2


def _channels(layer: nn.Module) -> int:
    """Output channels of a convolution of the network."""
    assert isinstance(layer, nn.Conv3d)
    return layer.out_channels


def _shape(features: Tensor) -> Shape:
    return features.shape[2], features.shape[3], features.shape[4]
