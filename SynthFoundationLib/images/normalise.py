"""Intensities of any modality on one scale."""

from __future__ import annotations

import torch

from .foreground import foreground, padding_values
from .image import Image

_SAMPLES = 1_000_000
_LOW, _HIGH = 0.005, 0.995


def normalise(image: Image, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Scale each channel to 0…1 between the 0.5th and 99.5th percentile of the foreground → (C, D, H, W).

    Air, padding and metal lie beyond these and are clipped, so that the unit, the offset and the size of the
    background make no difference.

    Args:
        image: the scan.
        mask: bool (D, H, W), the voxels that set the scale; by default `foreground(image)`.
    """
    mask = foreground(image) if mask is None else mask
    return torch.stack([_scaled(channel, mask) for channel in image.data])


def _scaled(volume: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    padding = torch.tensor(padding_values(volume.cpu()), device=volume.device)
    values = volume[mask & ~torch.isin(volume, padding)]
    if not len(values):
        values = volume.flatten()
    sample = values[:: max(1, len(values) // _SAMPLES)].double().sort().values
    low, high = (sample[round(q * (len(sample) - 1))] for q in (_LOW, _HIGH))
    if not high > low:
        low, high = (v.double() for v in values.aminmax())
    if not high > low:
        low, high = (v.double() for v in volume.aminmax())
    return ((volume.double() - low) / (high - low)).clamp_(0, 1).float()
