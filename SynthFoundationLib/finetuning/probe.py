"""A linear classifier on what the trunk already gives, fitted before anything else is trained."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network import SegmentationNet
from .patches import Case, draw

PATCHES = 12
VOXELS = 2_000  # of each patch
STEPS, RATE, DECAY = 150, 0.05, 1e-3


@torch.no_grad()
def fit_probe(
    network: SegmentationNet, cases: Sequence[Case], patch: tuple[int, int, int], rng: random.Random
) -> None:
    """Fit the `probe` of a network to patches of the cases; pretrained features give it a head start."""
    rows, classes = zip(*(_rows(network, *draw(cases, patch, rng), rng) for _ in range(PATCHES)), strict=True)
    features, labels = torch.cat(rows), torch.cat(classes)
    shift, scale = features.mean(0), features.std(0).clamp_min(1e-3)
    weight, bias = _logistic((features - shift) / scale, labels, network.classes)
    weight = weight / scale
    start, layers = 0, cast("list[nn.Conv3d]", list(network.probe))
    for layer in layers:
        width = layer.weight.shape[1]
        layer.weight.copy_(weight[:, start : start + width, None, None, None])
        start += width
    bias_of_all = layers[0].bias
    assert bias_of_all is not None
    bias_of_all.copy_(bias - weight @ shift)


def _rows(
    network: SegmentationNet, volume: Tensor, classes: Tensor, rng: random.Random
) -> tuple[Tensor, Tensor]:
    """Features (N, F) of all levels and classes (N,) of random voxels of a patch."""
    device = next(network.parameters()).device
    levels = network.levels(volume[None].to(device))
    shape = levels[-1].shape[2:]
    maps = torch.cat([F.interpolate(level, size=shape, mode="trilinear") for level in levels], 1)
    truth = F.interpolate(classes[None].float(), size=shape, mode="nearest-exact").long().flatten()
    chosen = torch.tensor(rng.choices(range(len(truth)), k=VOXELS))
    return maps[0].flatten(1).T.cpu()[chosen], truth[chosen]


@torch.enable_grad()
def _logistic(rows: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Weights (classes, F) and biases of a logistic regression; rare labels count more than they come."""
    weight = torch.zeros(classes, rows.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    counts = torch.bincount(labels, minlength=classes).float().clamp_min(1)
    balance = (len(labels) / counts).sqrt()
    optimiser = torch.optim.Adam([weight, bias], lr=RATE)
    for _ in range(STEPS):
        loss = F.cross_entropy(rows @ weight.T + bias, labels, balance) + DECAY * weight.square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weight.detach(), bias.detach()
