"""Intensities of any modality on one scale."""

from __future__ import annotations

import torch

from .foreground import foreground, is_padding, thinned
from .image import Image

_LOW, _HIGH = 0.005, 0.995
_FENCE = 5.0  # interquartile ranges from the median: keeps CT's soft tissue apart, whatever bone and metal do


def normalise(image: Image, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Scale each channel to 0…1 over the range that the foreground fills → (C, D, H, W).

    The range ends at the 0.5th and 99.5th percentile, and at most 5 interquartile ranges from the median.
    Air, padding and metal lie beyond and are clipped, so that the unit, the offset and the size of the
    background make no difference.

    Args:
        image: the scan.
        mask: bool (D, H, W), the voxels that set the scale; by default `foreground(image)`.
    """
    mask = foreground(image) if mask is None else mask
    return torch.stack([_scaled(channel, mask) for channel in image.data])


def _scaled(volume: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    values = volume[mask & ~is_padding(volume)]
    sample = thinned(values if len(values) else volume.flatten()).sort().values
    low, quarter, median, three_quarters, high = (
        sample[round(q * (len(sample) - 1))] for q in (_LOW, 0.25, 0.5, 0.75, _HIGH)
    )
    reach = _FENCE * (three_quarters - quarter)
    if reach > 0:
        low, high = torch.maximum(low, median - reach), torch.minimum(high, median + reach)
    if not high > low:
        low, high = volume.aminmax()
    return (volume - low).div_((high - low).clamp_min(torch.finfo(volume.dtype).tiny)).clamp_(0, 1)
