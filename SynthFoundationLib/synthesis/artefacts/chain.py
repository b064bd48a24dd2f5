"""The order of the artefacts, how often each is met, and the rescaling to [0, 1] around them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from SynthFoundationLib.synthesis.artefacts import coverage, intensity, kspace, resolution
from SynthFoundationLib.synthesis.draws import Parameters, chance


class Artefact(NamedTuple):
    """How often an artefact is met, how its parameters are drawn and what it does."""

    probability: float
    sample: Callable[[random.Random], Parameters]
    apply: Callable[[Tensor, Parameters], Tensor]


ARTEFACTS: dict[str, Artefact] = {
    "curve": Artefact(0.2, intensity.sample_curve, intensity.curve),
    "bias": Artefact(0.6, intensity.sample_bias, intensity.bias),
    "metal": Artefact(0.03, coverage.sample_metal, coverage.metal),
    "blur": Artefact(0.35, resolution.sample_blur, resolution.blur),
    "motion": Artefact(0.08, kspace.sample_motion, kspace.motion),
    "ghost": Artefact(0.06, kspace.sample_ghost, kspace.ghost),
    "coarse": Artefact(0.2, resolution.sample_coarse, resolution.coarse),
    "gibbs": Artefact(0.12, kspace.sample_gibbs, kspace.gibbs),
    "spike": Artefact(0.05, kspace.sample_spike, kspace.spike),
    "slices": Artefact(0.08, resolution.sample_slices, resolution.slices),
    "noise": Artefact(0.8, intensity.sample_noise, intensity.noise),
    "sharpen": Artefact(0.12, resolution.sample_sharpen, resolution.sharpen),
    "gamma": Artefact(0.4, intensity.sample_gamma, intensity.gamma),
    "window": Artefact(0.15, intensity.sample_window, intensity.window),
    "crop": Artefact(0.06, coverage.sample_crop, coverage.crop),
}


def sample_artefacts(rng: random.Random) -> list[Parameters]:
    """The artefacts of one view, in the order in which they happen."""
    return [
        {"name": name, **artefact.sample(rng)}
        for name, artefact in ARTEFACTS.items()
        if chance(rng, artefact.probability)
    ]


def unit_range(volume: Tensor) -> Tensor:
    """Shift and scale to [0, 1]: the 0.1 and 99.9 percentiles of a subsample, clipped beyond them."""
    stride = max(1, volume.numel() // 65536)
    part = volume.flatten()[::stride].sort().values
    edge = part.numel() // 1000
    low, high = part[edge], part[-1 - edge]
    return volume.sub(low).div_((high - low).clamp(min=1e-6)).clamp_(0, 1)


def apply(volume: Tensor, artefacts: list[Parameters]) -> Tensor:
    """Apply a list of sampled artefacts to a (D, H, W) volume; the result lies in [0, 1]."""
    volume = unit_range(volume)
    for p in artefacts:
        volume = ARTEFACTS[p["name"]].apply(volume, p)
    return torch.nan_to_num(unit_range(volume))
