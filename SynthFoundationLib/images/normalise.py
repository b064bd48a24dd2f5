"""Intensities of any modality on one scale."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .foreground import foreground
from .image import Image
from .padding import padded
from .samples import thinned

_LOW, _HIGH = 0.005, 0.995
_FENCE = 5.0  # interquartile ranges from the median: keeps CT's soft tissue apart, whatever bone and metal do


class Range(NamedTuple):
    """The intensities that become 0 and 1."""

    low: torch.Tensor
    high: torch.Tensor

    def of(self, volume: torch.Tensor) -> torch.Tensor:
        """A volume on that scale, clipped to 0…1."""
        width = (self.high - self.low).clamp_min(torch.finfo(volume.dtype).tiny)
        return (volume - self.low).div_(width).clamp_(0, 1)


def normalise(
    image: Image, mask: torch.Tensor | None = None, padding: torch.Tensor | None = None
) -> torch.Tensor:
    """Scale each channel to 0…1 over the range that the foreground fills → (C, D, H, W).

    The range ends at the 0.5th and 99.5th percentile, and at most 5 interquartile ranges from the median.
    Air, padding and metal lie beyond and are clipped, so that the unit, the offset and the size of the
    background make no difference.

    Args:
        image: the scan.
        mask: bool (D, H, W), the voxels that set the scale; by default `foreground(image)`.
        padding: bool (C, D, H, W), its `padded` voxels, where they are known already.
    """
    scales = ranges(image, mask, padding)
    return torch.stack([scale.of(channel) for scale, channel in zip(scales, image.data, strict=True)])


def ranges(
    image: Image, mask: torch.Tensor | None = None, padding: torch.Tensor | None = None
) -> list[Range]:
    """What `normalise` scales each channel by; its arguments."""
    padding = padded(image) if padding is None else padding
    mask = foreground(image, padding) if mask is None else mask
    return [_range(one, mask & ~out) for one, out in zip(image.data, padding, strict=True)]


def _range(volume: torch.Tensor, counts: torch.Tensor) -> Range:
    values = volume[counts]
    sample = thinned(values if len(values) else volume.flatten()).sort().values
    low, quarter, median, three_quarters, high = (
        sample[round(q * (len(sample) - 1))] for q in (_LOW, 0.25, 0.5, 0.75, _HIGH)
    )
    reach = _FENCE * (three_quarters - quarter)
    if reach > 0:
        low, high = torch.maximum(low, median - reach), torch.minimum(high, median + reach)
    return Range(low, high) if high > low else Range(*volume.aminmax())
