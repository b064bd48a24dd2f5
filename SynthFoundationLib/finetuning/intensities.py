"""Intensities as the network is shown them: on the scan's own scale, or on one that all scans share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ..errors import InputError
from ..images import Image, foreground, normalise
from ..images.padding import is_padding
from ..images.samples import thinned

Modality: TypeAlias = Literal["auto", "ct", "mr"]
MODALITIES = ("auto", "ct", "mr")
SHARED_SPREAD = 0.1  # of the range of tissue: scans whose quartiles agree to this have one scale
LEAST_CASES = 2  # from which on it can be seen whether scans share a scale


@dataclass(frozen=True)
class Scale:
    """How one contrast is brought to 0…1.

    Attributes:
        low, high: the values that become 0 and 1 in every scan, as in CT; None where each scan has its own
            scale, as in MR (`images.normalise`).
    """

    low: float | None = None
    high: float | None = None


def find_scales(images: Sequence[Image], labelled: Sequence[Tensor], modality: Modality) -> list[Scale]:
    """The scale of each contrast, from scans and the masks (D, H, W) of what is labelled in them.

    "ct" is a scale that all scans share: the range of what is labelled, with a margin for its
    surroundings. "mr" is each scan's own. "auto" takes the first where the scans' quartiles agree.

    Raises:
        InputError: another modality, or scans with different numbers of contrasts.
    """
    if modality not in MODALITIES:
        raise InputError(f"modality is {modality!r}; allowed are {', '.join(MODALITIES)}")
    counts = {image.channels for image in images}
    if len(counts) > 1:
        raise InputError(
            f"the images have {min(counts)} to {max(counts)} contrasts; give the same for each case"
        )
    bodies = [foreground(image) for image in images]
    return [_scale(images, bodies, labelled, c, modality) for c in range(counts.pop())]


def _scale(
    images: Sequence[Image], bodies: Sequence[Tensor], labelled: Sequence[Tensor], c: int, modality: str
) -> Scale:
    tissue = [_tissue(image, c, body) for image, body in zip(images, bodies, strict=True)]
    if modality == "mr" or (modality == "auto" and not _shared(tissue)):
        return Scale()
    near = torch.cat([_sample(image, c, mask) for image, mask in zip(images, labelled, strict=True)])
    near = near if len(near) else torch.cat(tissue)
    low, high = (float(near.sort().values[round(q * (len(near) - 1))]) for q in (0.005, 0.995))
    margin = 0.5 * (high - low)
    low, high = low - margin, high + margin
    return Scale(low, high) if high > low else Scale()


def _tissue(image: Image, channel: int, body: Tensor) -> Tensor:
    found = _sample(image, channel, body)
    return found if len(found) else thinned(image.data[channel].flatten())


def _sample(image: Image, channel: int, mask: Tensor) -> Tensor:
    volume = image.data[channel]
    return thinned(volume[mask & ~is_padding(volume, image.grid.spacing)])


def _shared(tissue: Sequence[Tensor]) -> bool:
    """Whether the quartiles of several scans agree, against the range that tissue fills."""
    if len(tissue) < LEAST_CASES:
        return False
    ranks = [values.sort().values for values in tissue]
    quartiles = torch.tensor([[float(r[round(q * (len(r) - 1))]) for q in (0.25, 0.5, 0.75)] for r in ranks])
    width = float(
        torch.stack([r[round(0.95 * (len(r) - 1))] - r[round(0.05 * (len(r) - 1))] for r in ranks]).mean()
    )
    return width > 0 and float(quartiles.std(0).mean()) < SHARED_SPREAD * width


def scaled(image: Image, scales: Sequence[Scale]) -> Tensor:
    """The image in 0…1 → (C, D, H, W).

    Raises:
        InputError: it has another number of contrasts than there are scales.
    """
    if image.channels != len(scales):
        raise InputError(
            f"the image has {image.channels} contrasts, the model was made for {len(scales)}; "
            "give the same contrasts in the same order"
        )
    own = normalise(image) if any(s.low is None for s in scales) else image.data
    channels = [
        own[c]
        if s.low is None or s.high is None
        else ((image.data[c] - s.low) / (s.high - s.low)).clamp(0, 1)
        for c, s in enumerate(scales)
    ]
    return torch.stack(channels)
