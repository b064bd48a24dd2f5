"""Intensities of a view: mean and grain per label, shared or private texture, partial volume at borders.

Both views see one anatomy. What a tissue looks like is drawn for each view; sub-structure of the anatomy
(fine labels, shared texture) shows in both, with a contrast of its own in each, as the inside of an organ
does in two modalities.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor

from SynthFoundationLib.synthesis.draws import Parameters, chance, log_uniform, seed_of
from SynthFoundationLib.synthesis.fields import Shape, smooth_noise, white_noise


def sample_detail(rng: random.Random, tissue_of: list[int]) -> Parameters:
    """Which labels are cut into finer ones, by which fields; the tissue of every resulting label."""
    fraction = rng.choice([0.0, 0.3, 0.6, 1.0])
    table, parent, room = [], [0], 255 - len(tissue_of)
    parent = list(range(len(tissue_of)))
    for label in range(len(tissue_of)):
        pieces = [label]
        if label and room >= 3 and chance(rng, fraction):
            for _ in range(rng.choice([1, 2, 3])):
                parent.append(label)
                pieces.append(len(parent) - 1)
                room -= 1
        table += [pieces[k % len(pieces)] for k in range(4)]
    return {
        "seed": seed_of(rng),
        "cells": [log_uniform(rng, 3, 12)] * 3,
        "cuts": [rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4)],
        "table": table,
        "parent": parent,
        "tissue_of": [tissue_of[p] for p in parent],
    }


def sample_texture(rng: random.Random) -> Parameters:
    """A multi-scale texture: smooth fields of several spacings and a grain of one or two voxels."""
    scales = [
        {"cells": [log_uniform(rng, *b)] * 3, "weight": rng.uniform(0, 1)}
        for b in ((4, 9), (9, 20), (20, 42))
    ]
    return {"seed": seed_of(rng), "scales": scales, "grain": rng.uniform(0, 1), "passes": rng.choice([1, 2])}


def sample_contrast(rng: random.Random, detail: Parameters, shared: Parameters) -> Parameters:
    """How one view shows the labels: tables of mean, grain and texture strength, one entry per fine label."""
    tissues = max(detail["tissue_of"]) + 1
    # One view in ten hardly tells its tissues apart, as vertebral parts in some MR contrasts.
    span = log_uniform(rng, 0.02, 0.4) if chance(rng, 0.1) else 0.95
    base = rng.uniform(0.05, 1.0 - span)
    tones = [base + span * rng.random() for _ in range(tissues)]
    if chance(rng, 0.3):
        tones[rng.randrange(tissues)] = tones[rng.randrange(tissues)]
    own, fine = rng.uniform(0.0, 0.2) * span, rng.uniform(0.02, 0.15) * span
    offset = [rng.gauss(0, own) for _ in detail["parent"]]
    mean = [
        tones[t] + offset[p] + (rng.gauss(0, fine) if k != p else 0.0)
        for k, (p, t) in enumerate(zip(detail["parent"], detail["tissue_of"], strict=True))
    ]
    dark = chance(rng, 0.6)
    if dark:
        mean[0] = 0.0
    top = rng.uniform(0.0, 0.06)
    strength = log_uniform(rng, 0.01, 0.12)
    texture = [rng.uniform(-strength, strength) for _ in range(tissues)]
    return {
        "mean": mean,
        "grain": [0.0 if dark and k == 0 else rng.uniform(0, top) for k in range(len(mean))],
        "texture": [0.0 if dark and k == 0 else texture[t] for k, t in enumerate(detail["tissue_of"])],
        "pattern": shared if chance(rng, 0.75) else sample_texture(rng),
        "seed": seed_of(rng),
        "partial_volume": rng.choice([1, 1, 2]),
    }


def smooth3(volume: Tensor, center: float = 0.5) -> Tensor:
    """Three-tap smoothing along each axis, edges repeated, (D, H, W)."""
    side = (1 - center) / 2
    for axis in range(3):
        n = volume.shape[axis]
        out = volume * center
        out.narrow(axis, 1, n - 1).add_(volume.narrow(axis, 0, n - 1), alpha=side)
        out.narrow(axis, 0, n - 1).add_(volume.narrow(axis, 1, n - 1), alpha=side)
        out.narrow(axis, 0, 1).add_(volume.narrow(axis, 0, 1), alpha=side)
        out.narrow(axis, n - 1, 1).add_(volume.narrow(axis, n - 1, 1), alpha=side)
        volume = out
    return volume


def texture_field(texture: Parameters, shape: Shape, device: torch.device) -> Tensor:
    """The texture as a field of unit standard deviation, (D, H, W)."""
    field = white_noise(texture["seed"], shape, device)
    for _ in range(texture["passes"]):
        field = smooth3(field)
    field.mul_(texture["grain"] / field.std())
    for k, scale in enumerate(texture["scales"]):
        field.add_(
            smooth_noise(texture["seed"] + 1 + k, scale["cells"], shape, device)[0], alpha=scale["weight"]
        )
    return field.div_(field.std() + 1e-6)


def lookup(table: list[float], labels: Tensor) -> Tensor:
    """Replace each label by its entry, (D, H, W) float32."""
    entries = torch.tensor(table, dtype=torch.float32, device=labels.device)
    return entries.index_select(0, labels.int().flatten()).reshape(labels.shape)


def show(labels: Tensor, contrast: Parameters, pattern: Tensor) -> Tensor:
    """The view before any artefact: clean intensities with texture and grain, (D, H, W)."""
    image = lookup(contrast["mean"], labels).addcmul_(lookup(contrast["texture"], labels), pattern)
    for _ in range(contrast["partial_volume"]):
        image = smooth3(image)
    noise = white_noise(contrast["seed"], labels.shape, labels.device)
    return image.addcmul_(lookup(contrast["grain"], labels), noise)
