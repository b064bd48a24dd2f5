"""How much each channel of the features counts: as much as it can be trusted between these two images.

Channels err by different amounts, and together: their patches overlap, and what one modality shows another
does not. Least squares that knows the covariance Σ of the errors minimises rᵀ Σ⁻¹ r (generalised least
squares; Aitken, Proc. R. Soc. Edinburgh 1935). Σ is read from what the images still differ by.
"""

from __future__ import annotations

import math

import torch

from ..geometry.sampling import inside, sample_at_index

# So many voxels, spread over the image, tell the covariance.
SAMPLES = 32_768
# Share of a channel's own variance that is added to it: no combination of channels is trusted without limit.
SHRINKAGE = 0.1
# The least variance of a channel, as a share of their mean.
LEAST = 1e-3


def channel_mix(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    weight: torch.Tensor,
    displacement: torch.Tensor | None = None,
) -> torch.Tensor:
    """W (C, C) with WᵀW ∝ Σ⁻¹ and the length of the identity, for features (C, D, H, W) on one grid.

    `weight` is (1, D, H, W), the displacement (3, D, H, W) in voxels. Images that do not differ, or nowhere
    count, give the identity.
    """
    channels, shape = len(fixed), fixed.shape[1:]
    depth, height, width = shape
    at = _spread_voxels(shape)
    index = torch.stack(torch.unravel_index(at, shape)[::-1], -1).to(fixed)
    at = at.to(fixed.device)
    counts = weight.flatten()[at]
    there = moving.flatten(1)[:, at]
    if displacement is not None:
        index = index + displacement.flatten(1)[:, at].T
        counts = counts * inside(index, (depth, height, width))
        there = sample_at_index(moving, index)
    residual = fixed.flatten(1)[:, at] - there
    covariance = ((residual * counts) @ residual.T).cpu().double() / max(float(counts.sum()), 1e-12)
    variance = covariance.diagonal().clone()
    if not float(variance.mean()) > 1e-12:
        return torch.eye(channels, dtype=fixed.dtype, device=fixed.device)
    trusted = variance.clamp_min(LEAST * float(variance.mean()))
    covariance += torch.diag(trusted * (1 + SHRINKAGE) - variance)
    scale = trusted.rsqrt()
    correlation = covariance * scale * scale[:, None]
    values, vectors = torch.linalg.eigh(correlation)
    mix = (vectors * values.rsqrt()) @ vectors.T * scale
    return (mix * (math.sqrt(channels) / mix.norm())).to(fixed)


def mixed(mix: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """The combinations of channels (C, …) in which all count alike."""
    return (mix @ features.flatten(1)).view(features.shape)


def _spread_voxels(shape: torch.Size) -> torch.Tensor:
    """Flat places of voxels all over a volume; the step shares no factor with its sides."""
    total = shape.numel()
    step = max(1, total // SAMPLES)
    while math.gcd(step, total) > 1:
        step += 1
    return torch.arange(0, total, step)
