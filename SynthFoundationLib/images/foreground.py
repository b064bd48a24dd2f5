"""Where the patient is: body or head, as against air, padding and what was stripped away."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from ..geometry.separable import magnified
from .image import Image
from .padding import padded
from .samples import faces, thinned

_COARSE_MM = 4.0
_COARSE_MIN_SIZE = 24
_BINS = 256
_AIR_SPREAD = 0.12  # air is flat: its spread, against the step from air to tissue
_AIR_FLOOR = 0.15  # and nothing lies far below it
_AIR_BORDER = 0.05  # and it touches the border of the image
_LEAST_BODY = 0.03  # of the image; what is bright and smaller is bone or metal in a crop
_DIM_TISSUE = 0.3  # of the way from air to Otsu's threshold: scalp and lungs are darker than the mean tissue
_SMALL_PART = 0.1  # parts smaller than this share of the largest are noise


def foreground(image: Image, padding: torch.Tensor | None = None) -> torch.Tensor:
    """Bool (D, H, W): the body or head with its inside; everywhere true where the image has no background.

    Padding is a flat value at the border; air is a flat class at the bottom of the histogram that Otsu's
    threshold (IEEE Trans. SMC 9:62, 1979) sets apart. What neither explains, such as the dark tissue of a
    crop, is kept.

    Args:
        image: the scan.
        padding: bool (C, D, H, W), its `padded` voxels, where they are known already.
    """
    padding = padded(image) if padding is None else padding
    mask = torch.zeros(image.grid.shape, dtype=torch.bool)
    for channel, outside in zip(image.data.cpu(), padding.cpu(), strict=True):
        mask |= _channel_foreground(channel, ~outside, image.grid.spacing)
    return mask.to(image.data.device)


def _channel_foreground(
    volume: torch.Tensor, held: torch.Tensor, spacing: tuple[float, float, float]
) -> torch.Tensor:
    if not held.any():
        return torch.ones_like(held)
    border = torch.cat([volume[face][held[face]] for face in faces()]).numpy()
    threshold = _air_threshold(thinned(volume[held]).numpy(), border)
    tissue = held if threshold is None else held & (volume > threshold)
    if tissue.all():
        return tissue
    body = _whole_body(_coarsened(tissue, spacing))
    return magnified(body[None].float(), volume.shape)[0] > 0.25


def _air_threshold(values: np.ndarray, border: np.ndarray) -> float | None:
    """What lies above air: between the two classes of Otsu if the lower looks like air; else None."""
    floor, ceiling = np.percentile(values, (0.1, 99.0))
    if not ceiling > floor:
        return None
    otsu = _otsu(np.clip(values, floor, ceiling))
    dark, bright = values[values <= otsu], values[values > otsu]
    if not len(dark) or not len(border) or len(bright) < _LEAST_BODY * len(values):
        return None
    air = np.median(dark)
    step = np.median(bright) - air
    spread = 1.4826 * np.median(np.abs(dark - air))
    flat = spread < _AIR_SPREAD * step
    lowest = air - floor < _AIR_FLOOR * step
    outside = (border <= otsu).mean() > _AIR_BORDER
    if not (flat and lowest and outside):
        return None
    return float(min(otsu, air + max(6 * spread, _DIM_TISSUE * (otsu - air))))


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
    depth, height, width = (
        min(n, max(_COARSE_MIN_SIZE, round(n * mm / _COARSE_MM)))
        for n, mm in zip(tissue.shape, spacing[::-1], strict=True)
    )
    return F.adaptive_avg_pool3d(tissue[None, None].float(), (depth, height, width))[0, 0] > 0.5


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
