"""Images and label maps brought through a transform, each resampled once."""

from __future__ import annotations

from typing import Literal

import torch

from ..geometry import Grid, Transform, resample, resample_labels
from .image import Image
from .labels import LabelMap

LabelInterpolation = Literal["linear", "nearest"]


def warp_image(
    image: Image,
    transform: Transform | None,
    grid: Grid,
    interpolation: Literal["linear", "nearest"] = "linear",
    fill: float | None = None,
) -> Image:
    """An image on `grid`, read where `transform` sends the points of `grid`.

    Args:
        image: the moving image.
        transform: maps points of `grid` to points of the image, LPS mm; None is the identity.
        grid: the fixed grid.
        interpolation: between voxels.
        fill: value outside the image; by default each channel's least value, such as air.
    """
    channels = [
        resample(channel[None], image.grid, grid, transform, interpolation, _least(channel, fill))
        for channel in image.data
    ]
    return Image(torch.cat(channels), grid)


def warp_labels(
    labels: LabelMap, transform: Transform | None, grid: Grid, interpolation: LabelInterpolation = "linear"
) -> LabelMap:
    """A label map on `grid`; no label appears that was not there.

    "linear" interpolates each label by itself and gives a voxel to the one that covers most of it: smoother
    borders than "nearest", which takes the label of the nearest voxel. Outside the label map is background.
    """
    if interpolation == "nearest":
        data = resample(labels.data[None].float(), labels.grid, grid, transform, "nearest", 0.0)[0]
        return LabelMap(data.round().int(), grid, labels.names, labels.colors)
    data = resample_labels(labels.data, labels.grid, grid, transform)
    return LabelMap(data, grid, labels.names, labels.colors)


def _least(channel: torch.Tensor, fill: float | None) -> float:
    return float(channel.min()) if fill is None else fill
