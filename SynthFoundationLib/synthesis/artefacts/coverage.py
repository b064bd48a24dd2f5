"""Artefacts of coverage and of foreign bodies: cropped field of view and metal-like streaks."""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor

from SynthFoundationLib.synthesis.draws import Parameters, chance, log_uniform


def sample_crop(rng: random.Random) -> Parameters:
    """A box or a cylinder outside of which nothing was measured."""
    margins = [[rng.uniform(0, 0.15) if chance(rng, 0.5) else 0.0 for _ in range(2)] for _ in range(3)]
    return {"margins": margins, "cylinder": rng.randrange(3) if chance(rng, 0.3) else None, "value": 0.0}


def crop(volume: Tensor, p: Parameters) -> Tensor:
    """Set what lies outside of the field of view to a constant."""
    out = torch.full_like(volume, p["value"])
    box = tuple(
        slice(int(a * n), max(int(a * n) + 1, n - int(b * n)))
        for (a, b), n in zip(p["margins"], volume.shape, strict=True)
    )
    out[box] = volume[box]
    if p["cylinder"] is not None:
        axes = [torch.linspace(-1, 1, n, device=volume.device) for n in volume.shape]
        axes[p["cylinder"]] = torch.zeros_like(axes[p["cylinder"]])
        radius = axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2
        out = torch.where(radius < 1.0, out, p["value"])
    return out


def sample_metal(rng: random.Random) -> Parameters:
    """Place, size, plane and strength of a metal-like object and of its streaks."""
    rays = [[rng.randint(2, 14), rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 1.0)] for _ in range(3)]
    return {
        "center": [rng.uniform(0.25, 0.75) for _ in range(3)],
        "axis": rng.randrange(3),
        "radius": log_uniform(rng, 0.01, 0.03),
        "thickness": rng.uniform(0.01, 0.05),
        "reach": rng.uniform(0.1, 0.5),
        "size": rng.uniform(0.1, 0.5),
        "rays": rays,
    }


def metal(volume: Tensor, p: Parameters) -> Tensor:
    """A bright disc and rays that fade with distance, in a few neighbouring planes."""
    axis = p["axis"]
    places = [
        torch.linspace(0, 1, n, device=volume.device) - c
        for n, c in zip(volume.shape, p["center"], strict=True)
    ]
    profile = torch.exp(-0.5 * (places.pop(axis) / p["thickness"]) ** 2)
    radius = (places[0][:, None] ** 2 + places[1][None, :] ** 2).sqrt()
    angle = torch.atan2(places[0][:, None].expand_as(radius), places[1][None, :].expand_as(radius))
    waves = sum(w * torch.cos(n * angle + phase) for n, phase, w in p["rays"])
    streaks = p["size"] * waves * torch.exp(-radius / p["reach"]) + 1.0 * (radius < p["radius"])
    view = [1, 1, 1]
    view[axis] = -1
    return volume + streaks.unsqueeze(axis) * profile.reshape(view)
