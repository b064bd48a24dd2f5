"""How a patch might look in another scan: artefacts, at times other tones, from the synthesis engine."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from ..synthesis.appearance import sample_contrast, sample_texture, show, texture_field
from ..synthesis.artefacts.chain import ARTEFACTS
from ..synthesis.draws import chance

# Artefacts that leave what the intensities mean roughly as it is, and how often each is met.
KEPT = {
    "bias": 0.3,
    "blur": 0.15,
    "ghost": 0.03,
    "coarse": 0.15,
    "gibbs": 0.05,
    "slices": 0.05,
    "noise": 0.4,
    "sharpen": 0.1,
    "gamma": 0.3,
}
PAINTED = 0.1  # patches whose tissues get random intensities
BANDS = 4  # intensities that a label is split into before it is painted
TONE = 0.1  # by how much brightness and contrast vary


def vary(volume: Tensor, labels: Tensor, rng: random.Random) -> Tensor:
    """Another appearance of a patch (C, D, H, W) in 0…1 with class labels (D, H, W)."""
    if chance(rng, PAINTED):
        volume = torch.stack([_painted(channel, labels, rng) for channel in volume])
    return torch.stack([_worn(channel, rng) for channel in volume])


def _worn(channel: Tensor, rng: random.Random) -> Tensor:
    for name, often in KEPT.items():
        if chance(rng, often):
            artefact = ARTEFACTS[name]
            channel = artefact.apply(channel, artefact.sample(rng)).nan_to_num_().clamp_(0, 1)
    middle = channel.mean()
    spread, shift = rng.uniform(1 - TONE, 1 + TONE), rng.uniform(-TONE, TONE) / 2
    return ((channel - middle) * spread + middle + shift).clamp_(0, 1)


def _painted(channel: Tensor, labels: Tensor, rng: random.Random) -> Tensor:
    """Each label in a few bands of intensity, each band a tissue of a random tone."""
    cuts = sorted(rng.uniform(0.05, 0.95) for _ in range(BANDS - 1))
    band = torch.bucketize(channel, torch.tensor(cuts))
    _, fine = torch.unique(labels * BANDS + band, return_inverse=True)
    count = int(fine.max()) + 1
    tissues = {"parent": list(range(count)), "tissue_of": list(range(count))}
    contrast = sample_contrast(rng, tissues, sample_texture(rng))
    depth, height, width = channel.shape
    pattern = texture_field(contrast["pattern"], (depth, height, width), channel.device)
    return show(fine, contrast, pattern).clamp_(0, 1)
