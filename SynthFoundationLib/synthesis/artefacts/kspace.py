"""Artefacts of acquisition in k-space, in closed form along the axes: no transform of the volume."""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor

from SynthFoundationLib.synthesis.artefacts.resolution import along
from SynthFoundationLib.synthesis.draws import Parameters, chance


def band_matrix(n: int, low: float, high: float, device: torch.device) -> Tensor:
    """Projection onto frequencies low <= |f| < high, in cycles per voxel: circulant, (n, n)."""
    k = torch.arange(n, dtype=torch.float64)
    frequency = torch.minimum(k, n - k) / n
    passed = ((frequency >= low) & (frequency < high)).double()
    kernel = torch.fft.ifft(passed).real
    index = (torch.arange(n)[:, None] - torch.arange(n)[None, :]) % n
    return kernel[index].float().to(device)


def sample_gibbs(rng: random.Random) -> Parameters:
    """Cut-off as a fraction of the Nyquist frequency, in 3-D or along one or two axes."""
    cut = rng.uniform(0.45, 0.85)
    axes = [0, 1, 2] if chance(rng, 0.5) else rng.sample([0, 1, 2], rng.choice([1, 2]))
    return {"cut": cut, "axes": sorted(axes)}


def gibbs(volume: Tensor, p: Parameters) -> Tensor:
    """Truncation of k-space: ringing at borders."""
    for axis in p["axes"]:
        matrix = band_matrix(volume.shape[axis], 0.0, 0.5 * p["cut"] + 1e-9, volume.device)
        volume = along(volume, matrix, axis)
    return volume


def sample_spike(rng: random.Random) -> Parameters:
    """A few bright points in k-space: frequency in cycles per volume, phase and strength."""
    waves = []
    for _ in range(rng.choice([1, 1, 2])):
        waves.append(
            [rng.uniform(-20, 20) for _ in range(3)] + [rng.uniform(0, 2 * math.pi), rng.uniform(0.01, 0.08)]
        )
    return {"waves": waves}


def spike(volume: Tensor, p: Parameters) -> Tensor:
    """Stripes: the real wave that belongs to a spike."""
    for fz, fy, fx, phase, size in p["waves"]:
        turns = [
            2 * math.pi * f * torch.arange(n, device=volume.device) / n
            for f, n in zip((fz, fy, fx), volume.shape, strict=True)
        ]
        plane = turns[0][:, None] + turns[1][None, :] + phase
        wave = plane.cos()[:, :, None] * turns[2].cos() - plane.sin()[:, :, None] * turns[2].sin()
        volume = volume.add(wave, alpha=size)
    return volume


def sample_ghost(rng: random.Random) -> Parameters:
    """Phase-encoding axis, number of ghosts and their strength."""
    return {"axis": rng.randrange(3), "count": rng.choice([2, 3, 4]), "size": rng.uniform(0.03, 0.2)}


def ghost(volume: Tensor, p: Parameters) -> Tensor:
    """Periodic motion: faint copies displaced along the phase-encoding axis."""
    n = volume.shape[p["axis"]]
    copies = sum(volume.roll(k * n // p["count"], p["axis"]) for k in range(1, p["count"]))
    return volume * (1 - p["size"]) + copies * (p["size"] / (p["count"] - 1))


def sample_motion(rng: random.Random) -> Parameters:
    """The head moves while k-space is filled: bands along one axis come from shifted volumes."""
    count = rng.choice([1, 2, 3])
    edges = sorted(rng.uniform(0.03, 0.4) for _ in range(count))
    shifts = [[rng.uniform(-2.5, 2.5) for _ in range(3)] for _ in range(count)]
    return {"axis": rng.randrange(3), "edges": edges, "shifts": shifts}


def shift_matrix(n: int, shift: float, device: torch.device) -> Tensor:
    """Linear interpolation at x + shift with repeated edges, (n, n)."""
    x = (torch.arange(n, dtype=torch.float32) + shift).clamp(0, n - 1)
    low = x.floor().clamp(max=n - 2)
    matrix = torch.zeros(n, n)
    rows = torch.arange(n)
    matrix[rows, low.long()] = 1 - (x - low)
    matrix[rows, low.long() + 1] = x - low
    return matrix.to(device)


def motion(volume: Tensor, p: Parameters) -> Tensor:
    """Sum over bands of the volume where it was when each was read; the lowest band stays in place."""
    axis, n, device = p["axis"], volume.shape[p["axis"]], volume.device
    bounds = [*p["edges"], 1.0]
    out = along(volume, band_matrix(n, 0.0, bounds[0], device), axis)
    for k, shift in enumerate(p["shifts"]):
        moved = volume
        for other in range(3):
            matrix = shift_matrix(volume.shape[other], shift[other], device)
            if other == axis:
                matrix = band_matrix(n, bounds[k], bounds[k + 1], device) @ matrix
            moved = along(moved, matrix, other)
        out += moved
    return out
