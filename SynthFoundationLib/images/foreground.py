"""Where the patient is: body or head, as against air, padding and what was stripped away."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from .image import Image

_COARSE_MM = 4.0
_COARSE_MIN_SIZE = 24
_BINS = 256
_PADDING_SHARE = 0.05  # of the border, for a value to count as padding
_PADDING_RANK = 0.02  # at most this share of voxels may be darker than padding
_AIR_SPREAD = 0.12  # air is flat: its spread, against the step from air to tissue
_AIR_FLOOR = 0.15  # and nothing lies far below it
_AIR_BORDER = 0.05  # and it touches the border of the image
_SMALL_PART = 0.1  # parts smaller than this share of the largest are noise


def foreground(image: Image) -> torch.Tensor:
    """Bool (D, H, W): the body or head with its inside; everywhere true where the image has no background.

    Padding is a flat value at the border; air is a flat class at the bottom of the histogram that Otsu's
    threshold (IEEE Trans. SMC 9:62, 1979) sets apart. What neither explains, such as the dark tissue of a
    crop, is kept.
    """
    mask = torch.zeros(image.grid.shape, dtype=torch.bool)
    for channel in image.data.cpu():
        mask |= _channel_foreground(channel, image.grid.spacing)
    return mask.to(image.data.device)


def padding_values(volume: torch.Tensor) -> list[float]:
    """Flat values that fill much of the border with hardly anything below them, such as 0 or −3024."""
    array = volume.numpy()
    border = np.concatenate([array[s].ravel() for a in range(3) for s in _faces(a)])
    found: list[float] = []
    for _ in range(2):
        rest = border[~np.isin(border, found)]
        if len(rest) < _PADDING_SHARE * len(border):
            break
        values, counts = np.unique(rest, return_counts=True)
        value = values[counts.argmax()]
        inner = array[~np.isin(array, found)] if found else array
        if counts.max() < _PADDING_SHARE * len(border) or (inner < value).mean() > _PADDING_RANK:
            break
        found.append(float(value))
    return found


def _faces(axis: int) -> list[tuple[slice | int, ...]]:
    whole: list[slice | int] = [slice(None)] * 3
    return [(*whole[:axis], end, *whole[axis + 1 :]) for end in (0, -1)]


def _channel_foreground(volume: torch.Tensor, spacing: tuple[float, float, float]) -> torch.Tensor:
    held = ~torch.isin(volume, torch.tensor(padding_values(volume)))
    if not held.any():
        return torch.ones_like(held)
    threshold = _air_threshold(volume[held].numpy(), _border_values(volume, held))
    tissue = held if threshold is None else held & (volume > threshold)
    if tissue.all():
        return tissue
    coarse = _coarsened(tissue, spacing)
    body = _whole_body(coarse)
    return F.interpolate(body[None, None].float(), volume.shape, mode="trilinear")[0, 0] > 0.25


def _border_values(volume: torch.Tensor, held: torch.Tensor) -> np.ndarray:
    array, kept = volume.numpy(), held.numpy()
    return np.concatenate([array[s][kept[s]] for a in range(3) for s in _faces(a)])


def _air_threshold(values: np.ndarray, border: np.ndarray) -> float | None:
    """Otsu's threshold, if what lies below it looks like air; else None."""
    sample = values[:: max(1, len(values) // 500_000)]
    floor, ceiling = np.percentile(sample, (0.1, 99.0))
    if not ceiling > floor:
        return None
    threshold = _otsu(np.clip(sample, floor, ceiling))
    dark, bright = sample[sample <= threshold], sample[sample > threshold]
    if not len(dark) or not len(bright):
        return None
    step = np.median(bright) - np.median(dark)
    spread = 1.4826 * np.median(np.abs(dark - np.median(dark)))
    is_air = (
        spread < _AIR_SPREAD * step
        and np.median(dark) - floor < _AIR_FLOOR * step
        and len(border) > 0
        and (border <= threshold).mean() > _AIR_BORDER
    )
    return float(threshold) if is_air else None


def _otsu(values: np.ndarray) -> float:
    counts, edges = np.histogram(values, _BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    mass = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return float(edges[1:][np.nanargmax(between[:-1])])


def _coarsened(tissue: torch.Tensor, spacing: tuple[float, float, float]) -> torch.Tensor:
    """Share of tissue above one half, on voxels of about 4 mm."""
    size = [
        min(n, max(_COARSE_MIN_SIZE, round(n * mm / _COARSE_MM)))
        for n, mm in zip(tissue.shape, spacing[::-1], strict=True)
    ]
    return F.adaptive_avg_pool3d(tissue[None, None].float(), size)[0, 0] > 0.5


def _whole_body(tissue: torch.Tensor) -> torch.Tensor:
    """The large parts, with lungs, airways and other holes filled slice by slice."""
    opened = ndimage.binary_opening(np.pad(tissue.numpy(), 1, mode="edge"))[1:-1, 1:-1, 1:-1]
    parts, count = ndimage.label(opened)
    if not count:
        return tissue if tissue.any() else torch.ones_like(tissue)
    sizes = np.bincount(parts.ravel())[1:]
    large = np.isin(parts, 1 + np.flatnonzero(sizes >= _SMALL_PART * sizes.max()))
    closed = ndimage.binary_closing(np.pad(large, 2, mode="edge"), iterations=2)[2:-2, 2:-2, 2:-2] | large
    for axis in range(3):
        for slices in np.moveaxis(closed, axis, 0):
            slices |= ndimage.binary_fill_holes(slices)
    return torch.from_numpy(closed)
