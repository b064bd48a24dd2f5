"""Pairs of views: `sample(seed)` draws plain numbers, `render(parameters)` turns them into volumes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.synthesis.anatomy import sample_anatomy
from SynthFoundationLib.synthesis.appearance import (
    sample_contrast,
    sample_detail,
    sample_texture,
    show,
    texture_field,
)
from SynthFoundationLib.synthesis.artefacts import apply, sample_artefacts
from SynthFoundationLib.synthesis.draws import Parameters
from SynthFoundationLib.synthesis.fields import Shape
from SynthFoundationLib.synthesis.paint import paint, subdivide

VERSION = 2


class Pair(NamedTuple):
    """Two views of one anatomy in [0, 1] and its labels (0 is background), (D, H, W) each, or batched."""

    view1: Tensor
    view2: Tensor
    labels: Tensor


def sample(
    seed: int, shape: Sequence[int] = (128, 128, 128), templates: Parameters | None = None
) -> Parameters:
    """Draw the parameters of one pair: JSON-able, independent of any device, the same for the same seed.

    Args:
        seed: any integer.
        shape: voxels (D, H, W) of the pair, at least 16 each.
        templates: a template cache from `open_templates`, to build ensembles of real shapes.

    Raises:
        InputError: for a shape that is not three sizes of at least 16.
    """
    if len(shape) != 3 or min(shape) < 16:
        raise InputError(
            f"shape {tuple(shape)}: three sizes of at least 16 voxels are needed, such as (64, 64, 64)"
        )
    rng = random.Random(f"pair {VERSION} {seed}")
    if templates is None:
        anatomy = sample_anatomy(rng)
    else:
        from SynthFoundationLib.synthesis.templates import sample_templates

        anatomy = sample_templates(rng, templates)
    detail = sample_detail(rng, anatomy["tissue_of"])
    shared = sample_texture(rng)
    views = [
        {"contrast": sample_contrast(rng, detail, shared), "artefacts": sample_artefacts(rng)}
        for _ in range(2)
    ]
    return {
        "version": VERSION,
        "seed": seed,
        "shape": [int(n) for n in shape],
        "anatomy": anatomy,
        "detail": detail,
        "views": views,
    }


def render(parameters: Parameters, device: torch.device | str = "cpu") -> Pair:
    """Render one pair, float32 views in [0, 1] and uint8 labels, (D, H, W)."""
    device = torch.device(device)
    depth, height, width = parameters["shape"]
    shape: Shape = (depth, height, width)
    labels = subdivide(paint(parameters["anatomy"], shape, device), parameters["detail"])
    patterns: dict[int, Tensor] = {}
    views = []
    for view in parameters["views"]:
        pattern = view["contrast"]["pattern"]
        if pattern["seed"] not in patterns:
            patterns[pattern["seed"]] = texture_field(pattern, shape, device)
        clean = show(labels, view["contrast"], patterns[pattern["seed"]])
        views.append(apply(clean, view["artefacts"]))
    return Pair(views[0], views[1], labels)


def render_batch(batch: Sequence[Parameters], device: torch.device | str = "cpu") -> Pair:
    """Render several pairs of one shape: views (B, 1, D, H, W), labels (B, D, H, W)."""
    pairs = [render(parameters, device) for parameters in batch]
    return Pair(
        torch.stack([p.view1 for p in pairs])[:, None],
        torch.stack([p.view2 for p in pairs])[:, None],
        torch.stack([p.labels for p in pairs]),
    )
