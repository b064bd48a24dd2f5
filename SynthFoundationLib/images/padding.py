"""Voxels that hold no picture: one value, around a patient or around a field of view that lies otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from .field_of_view import is_field_of_view
from .image import Image
from .samples import faces, thinned

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARE = 0.05  # of the border, for a value to count as padding
_RANK = 0.02  # at most this share of voxels may be darker than padding around no field of view


def padded(image: Image) -> torch.Tensor:
    """Bool (C, D, H, W): the voxels that hold no picture."""
    return torch.stack([is_padding(channel, image.grid.spacing) for channel in image.data])


def is_padding(volume: torch.Tensor, spacing: Sequence[float]) -> torch.Tensor:
    """Bool mask of the padding of (D, H, W): what surrounds a field of view, else its `padding_values`.

    `spacing` is in mm, (i, j, k).
    """
    volume = volume.cpu()
    filled = _around_a_field_of_view(volume, spacing)
    if filled is not None:
        return filled
    mask = torch.zeros_like(volume, dtype=torch.bool)
    for value in padding_values(volume):
        mask |= volume == value
    return mask


def padding_values(volume: torch.Tensor) -> list[float]:
    """Flat values that fill much of the border with hardly anything below them, such as 0 or −3024."""
    border = _border(volume)
    inner = thinned(volume.flatten()).numpy()
    least = _SHARE * len(border)
    found: list[float] = []
    for _ in range(2):
        values, counts = np.unique(border, return_counts=True)
        if not len(values) or counts.max() < least:
            break
        value = values[counts.argmax()]
        if (inner < value).sum() > _RANK * len(inner):
            break
        found.append(float(value))
        border, inner = border[border != value], inner[inner != value]
    return found


def _around_a_field_of_view(volume: torch.Tensor, spacing: Sequence[float]) -> torch.Tensor | None:
    """What a turned, resampled or round scan was filled up with, be it as bright as 0 in a CT."""
    values, counts = np.unique(_border(volume), return_counts=True)
    for index in np.argsort(-counts)[:2]:
        if counts[index] < _SHARE * counts.sum():
            break
        filled = volume == float(values[index])
        if not is_field_of_view(~filled, spacing):
            continue
        parts, _ = ndimage.label(filled.numpy())  # a voxel inside that has the value by chance stays
        at_border = np.unique(np.concatenate([parts[face].ravel() for face in faces()]))
        return torch.from_numpy(np.isin(parts, at_border[at_border > 0]))
    return None


def _border(volume: torch.Tensor) -> np.ndarray:
    return np.concatenate([volume.numpy()[face].ravel() for face in faces()])
