"""Artefacts that act on resolution: blur, sharpening, coarse voxels, thick slices, slice-wise changes."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from SynthFoundationLib.synthesis.draws import Parameters, chance, log_uniform, seed_of


def along(volume: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Apply a (m, n) matrix to one axis of a (D, H, W) volume: a dense product is the cheapest filter."""
    if axis == 2:
        return torch.matmul(volume, matrix.T)
    if axis == 1:
        return torch.matmul(matrix, volume)
    d, h, w = volume.shape
    return torch.matmul(matrix, volume.reshape(d, h * w)).reshape(-1, h, w)


def gaussian_matrix(n: int, sigma: float, device: torch.device) -> Tensor:
    """Rows are normalised Gaussians, so that edges keep their brightness."""
    x = torch.arange(n, device=device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * ((x[:, None] - x[None, :]) / max(sigma, 1e-3)) ** 2)
    return kernel / kernel.sum(1, keepdim=True)


def gaussian(volume: Tensor, sigmas: list[float]) -> Tensor:
    """Gaussian smoothing with one width per axis, in voxels."""
    for axis, sigma in enumerate(sigmas):
        if sigma > 0.15:
            volume = along(volume, gaussian_matrix(volume.shape[axis], sigma, volume.device), axis)
    return volume


def sample_blur(rng: random.Random) -> Parameters:
    """One width per axis, mostly below a voxel."""
    size = log_uniform(rng, 0.25, 1.3)
    return {"sigmas": [size * rng.uniform(0.5, 1.3) for _ in range(3)]}


def blur(volume: Tensor, p: Parameters) -> Tensor:
    """Point-spread function."""
    return gaussian(volume, p["sigmas"])


def sample_sharpen(rng: random.Random) -> Parameters:
    """Width and strength of an unsharp mask."""
    return {"sigma": rng.uniform(0.5, 1.2), "amount": rng.uniform(0.3, 1.5)}


def sharpen(volume: Tensor, p: Parameters) -> Tensor:
    """Unsharp mask, as console filters apply."""
    return torch.lerp(gaussian(volume, [p["sigma"]] * 3), volume, 1 + p["amount"])


def sample_coarse(rng: random.Random) -> Parameters:
    """Voxel size relative to the grid: isotropic, or thick slices along one axis."""
    if chance(rng, 0.4):
        return {"factors": [rng.uniform(1.2, 2.2)] * 3, "gap": 1.0, "blocky": False}
    factors = [1.0, 1.0, 1.0]
    factors[rng.randrange(3)] = rng.uniform(1.5, 5.0)
    return {"factors": factors, "gap": rng.uniform(0.6, 1.1), "blocky": chance(rng, 0.25)}


def coarse_matrix(n: int, factor: float, gap: float, blocky: bool, device: torch.device) -> Tensor:
    """Average over slices `factor` voxels apart and `gap` times as thick, then go back to the n voxels."""
    m = max(2, round(n / factor))
    step = n / m
    x = torch.arange(n, device=device, dtype=torch.float32) + 0.5
    centers = (torch.arange(m, device=device, dtype=torch.float32) + 0.5) * step
    profile = torch.exp(-0.5 * ((x[None, :] - centers[:, None]) / (0.425 * max(1.0, step * gap))) ** 2)
    down = profile / profile.sum(1, keepdim=True)
    distance = (x[:, None] - centers[None, :]).abs() / step
    up = (distance <= 0.5).float() if blocky else (1 - distance).clamp(min=0)
    return (up / up.sum(1, keepdim=True).clamp(min=1e-6)) @ down


def coarse(volume: Tensor, p: Parameters) -> Tensor:
    """Acquisition on larger voxels than the grid's."""
    for axis, factor in enumerate(p["factors"]):
        if factor > 1.05:
            matrix = coarse_matrix(volume.shape[axis], factor, p["gap"], p["blocky"], volume.device)
            volume = along(volume, matrix, axis)
    return volume


def sample_slices(rng: random.Random) -> Parameters:
    """Axis, interleave and size of changes from slice to slice."""
    return {
        "axis": rng.randrange(3),
        "interleave": rng.choice([1, 2, 3]),
        "gain": rng.uniform(0.0, 0.12),
        "jitter": rng.choice([0.0, rng.uniform(0.0, 0.8)]),
        "seed": seed_of(rng),
    }


def slices(volume: Tensor, p: Parameters) -> Tensor:
    """Slice-wise interleaved gain and small in-plane shifts: a two-dimensional acquisition."""
    axis, n = p["axis"], volume.shape[p["axis"]]
    generator = torch.Generator().manual_seed(p["seed"])
    packets = torch.randn(p["interleave"], generator=generator)[torch.arange(n) % p["interleave"]]
    gain = torch.exp(p["gain"] * (packets + 0.3 * torch.randn(n, generator=generator)))
    view = [1, 1, 1]
    view[axis] = n
    volume = volume * gain.to(volume.device).reshape(view)
    if p["jitter"] > 0:
        other = (axis + 1) % 3
        step = (
            (p["jitter"] * torch.randn(n, generator=generator)).clamp(-1, 1).to(volume.device).reshape(view)
        )
        ahead = torch.cat(
            (volume.narrow(other, 1, volume.shape[other] - 1), volume.narrow(other, -1, 1)), other
        )
        behind = torch.cat(
            (volume.narrow(other, 0, 1), volume.narrow(other, 0, volume.shape[other] - 1)), other
        )
        volume = volume * (1 - step.abs()) + ahead * step.clamp(min=0) - behind * step.clamp(max=0)
    return volume
