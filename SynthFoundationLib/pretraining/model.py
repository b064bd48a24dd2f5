"""Network, projection heads and losses as one module: what a step differentiates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from SynthFoundationLib.features.inputs import network_input
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.pretraining import anchors
from SynthFoundationLib.pretraining.config import LossConfig
from SynthFoundationLib.pretraining.losses import label_contrast, place_contrast
from SynthFoundationLib.pretraining.windows import Windows, interpolate_at
from SynthFoundationLib.synthesis.fields import spline

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


class Unrounded:
    """Carries a batch into a module as it is: mixed precision would round every tensor argument."""

    def __init__(self, batch: Windows) -> None:
        self.batch = batch


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

    def forward(self, carried: Unrounded, seed: int) -> dict[str, Tensor]:
        """Losses of a batch of pairs; `seed` draws the anchors."""
        views, labels = carried.batch.views, carried.batch.labels
        generator = torch.Generator(device=views.device).manual_seed(seed)
        seen = network_input(views, self.net.config)
        output, levels = self.net(seen, layers=self.levels)
        losses = {}
        if self.loss.label_weight > 0:
            for index, head, features in zip(self.levels, self.heads, levels, strict=True):
                losses[f"label_{index}"] = self._label_loss(features, labels, head, generator)
        if self.loss.place_weight > 0:
            with torch.autocast(views.device.type, enabled=False):
                losses["place"] = self._place_loss(output, carried.batch, generator)
        found = [value for name, value in losses.items() if name != "place"]
        total = self.loss.place_weight * losses["place"] if "place" in losses else output.new_zeros(())
        if found:
            total = total + self.loss.label_weight * torch.stack(found).mean()
        return {"total": total, **losses}

    def _label_loss(
        self, features: Tensor, labels: Tensor, head: nn.Module, generator: torch.Generator
    ) -> Tensor:
        labels = anchors.labels_at(labels, _shape(features))
        index = anchors.draw(
            anchors.anchor_weights(labels, self.loss.border, self.loss.background),
            self.loss.anchors,
            generator,
        )
        vectors = features.flatten(2).transpose(1, 2)
        rows = vectors.gather(1, index[:, :, None].expand(-1, -1, vectors.shape[2])).flatten(0, 1)
        # Labels of different pairs are different classes: 256 numbers for each.
        pair = torch.arange(len(labels), device=labels.device) % (len(labels) // 2)
        classes = (labels.flatten(1).gather(1, index).long() + 256 * pair[:, None]).flatten()
        projected = head(rows)
        with torch.autocast(features.device.type, enabled=False):
            z = normalize(projected.float(), dim=1)
            return label_contrast(z, classes, self.loss.temperature)

    def _place_loss(self, output: Tensor, batch: Windows, generator: torch.Generator) -> Tensor:
        shape, pairs, side = _shape(output), len(batch.maps), batch.views.shape[-1]
        labels = anchors.labels_at(batch.labels[pairs:], shape)
        step = self.net.config.stem
        place: list[Tensor] = []
        here: tuple[list[Tensor], list[Tensor]] = ([], [])
        near: tuple[list[Tensor], list[Tensor]] = ([], [])
        gaps: tuple[list[Tensor], list[Tensor]] = ([], [])
        voxels = torch.arange(output[0, 0].numel(), device=output.device)
        everywhere = anchors.unravel(voxels, shape)
        # Nothing tells one empty voxel from another: background hardly takes part.
        weights = anchors.anchor_weights(labels, self.loss.border, 0.02)
        bends = spline(batch.bends, (side,) * 3)
        for k in range(pairs):
            there = anchors.follow(everywhere, batch.maps[k], bends[k], step)
            seen = anchors.inside(there, shape)
            index = anchors.draw((weights[k] * seen)[None], self.loss.place_anchors, generator)[0]
            index = index[seen[index]]
            second, first = everywhere[index].float(), there[index]
            place.append(torch.nn.functional.pad(second, (1, 0), value=float(k)))
            for view, at in ((0, first), (1, second)):
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
