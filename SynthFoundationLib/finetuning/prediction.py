"""A segmenter applied to scans of any size, orientation and spacing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..geometry import Grid, resample
from ..images import Image, ImageLike, LabelMap, as_image
from .grids import canonical, largest
from .intensities import scaled
from .model import Segmenter
from .network import SegmentationNet, pad_to
from .plan import Plan

OVERLAP = 0.5  # of neighbouring windows
WINDOWS = 2  # at a time
MOST_SCORES = 250_000_000  # that are put together where the network runs: 1 GB
SLAB = 8  # slices whose scores are made probabilities at a time


@torch.no_grad()
def predict(
    segmenter: Segmenter, image: ImageLike | Sequence[ImageLike], device: str | torch.device = "cpu"
) -> LabelMap:
    """Segment a scan, on its own grid, with the names and colours of the labels.

    Raises:
        InputError: the image cannot be used, or has another number of contrasts than the model was made for.
    """
    target = as_image(image)
    plan = segmenter.plan
    volume, grid = prepared(target, plan)
    network = segmenter.network.to(device).eval()
    scores = class_scores(network, volume, plan.patch, device).cpu()
    labels = _decided(_chances(scores), grid, target.grid)
    values = torch.tensor(plan.values, dtype=torch.int32)
    return LabelMap(values[labels], target.grid, plan.names, plan.colors)


def prepared(image: Image, plan: Plan) -> tuple[Tensor, Grid]:
    """The scan as the network is shown it: (C, D, H, W) in 0…1, and its grid."""
    grid = canonical(image.grid, plan.spacing)
    return resample(scaled(image, plan.scales), image.grid, grid, fill=None, antialias=True), grid


def class_scores(
    network: SegmentationNet, volume: Tensor, patch: tuple[int, int, int], device: str | torch.device
) -> Tensor:
    """Class scores (n, D, H, W) of a volume (C, D, H, W), by overlapping windows that run on `device`.

    They are put together there as well, but in this machine's memory where they are many.
    """
    from monai.inferers import sliding_window_inference

    padded = pad_to(volume, patch)[None]
    few = network.classes * padded[0, 0].numel() <= MOST_SCORES
    scores: Any = sliding_window_inference(
        padded,
        patch,
        WINDOWS,
        network,
        OVERLAP,
        "gaussian",
        sw_device=device,
        device=device if few else "cpu",
    )
    depth, height, width = volume.shape[-3:]
    return scores[0, :, :depth, :height, :width]


def _chances(scores: Tensor) -> Tensor:
    """Probabilities in place of class scores (n, D, H, W)."""
    for first in range(0, scores.shape[1], SLAB):
        part = scores[:, first : first + SLAB]
        part.copy_(part.softmax(0))
    return scores


def _decided(chances: Tensor, grid: Grid, target: Grid) -> Tensor:
    """The likeliest class (D, H, W) at the voxels of `target`; background beyond the volume, or in doubt."""
    maps = (
        (label, resample(chances[label, None], grid, target, fill=float(label == 0))[0])
        for label in reversed(range(len(chances)))
    )
    return largest(maps, target.shape)
