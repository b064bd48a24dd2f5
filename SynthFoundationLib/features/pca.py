"""Features made visible: their first three principal components as red, green and blue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from SynthFoundationLib.errors import InputError

# Voxels of each volume that the components and their ranges are estimated from.
SAMPLE = 100_000
# Quantiles of a component that become 0 and 1.
RANGE = (0.01, 0.99)


@torch.no_grad()
def features_to_rgb(volumes: Sequence[Tensor], masks: Sequence[Tensor | None] | None = None) -> list[Tensor]:
    """Return colours (3, D, H, W) in [0, 1] for feature volumes (C, D, H, W), which may differ in size.

    Components and ranges are estimated from all volumes together, each with the same weight: equal features
    have equal colours. Each component is signed so that its largest loading is positive. With `masks`, bool
    (D, H, W) or None, only voxels inside are asked; the others are coloured all the same.
    Raises `InputError` when the volumes differ in channels or no voxel is left.
    """
    samples = [_sample(v, m) for v, m in zip(volumes, masks or [None] * len(volumes), strict=True)]
    if not samples or len({s.shape[1] for s in samples}) > 1 or any(len(s) == 0 for s in samples):
        shapes = [tuple(v.shape) for v in volumes]
        raise InputError(
            f"Colours need volumes of equally many channels and masks with voxels; given: {shapes}."
        )
    mean, axes = _principal_axes(samples)
    scores = [(sample - mean) @ axes for sample in samples]
    quantiles = torch.tensor(RANGE, dtype=torch.float64)
    bounds = torch.stack([score.quantile(quantiles, dim=0) for score in scores]).mean(0)
    return [_colour(volume, mean, axes, bounds) for volume in volumes]


def _sample(volume: Tensor, mask: Tensor | None) -> Tensor:
    """Return at most about `SAMPLE` evenly taken voxels (N, C) in float64, which not every device has."""
    flat = volume.flatten(1)
    if mask is None:
        return flat[:, :: max(1, flat.shape[1] // SAMPLE)].T.cpu().double()
    inside = mask.flatten().nonzero()[:, 0]
    return flat[:, inside[:: max(1, len(inside) // SAMPLE)]].T.cpu().double()


def _principal_axes(samples: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the mean (C,) and the three axes (C, 3) of largest variance; axes beyond C are zero."""
    mean = torch.stack([sample.mean(0) for sample in samples]).mean(0)
    covariance = torch.stack([(s - mean).T @ (s - mean) / len(s) for s in samples]).mean(0)
    vectors = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :3]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    axes = vectors.new_zeros(len(vectors), 3)
    axes[:, : vectors.shape[1]] = vectors * largest.sign()
    return mean, axes


def _colour(volume: Tensor, mean: Tensor, axes: Tensor, bounds: Tensor) -> Tensor:
    low, high = bounds
    # A component without variance is rounding noise, which must not be stretched to full colour.
    span = (high - low).clamp_min(1e-6 * (high - low).max().item() + torch.finfo(torch.float32).tiny)
    scale, offset = axes / span, -(mean @ axes + low) / span
    rgb = scale.T.to(volume) @ volume.flatten(1) + offset.to(volume)[:, None]
    return rgb.clamp_(0, 1).reshape(3, *volume.shape[1:])
