"""A segmenter applied to scans of any size, orientation and spacing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..geometry import Grid, resample
from ..images import Image, ImageLike, LabelMap, as_image
from .grids import canonical
from .intensities import scaled
from .model import Segmenter
from .network import SegmentationNet, pad_to
from .plan import Plan

OVERLAP = 0.5  # of neighbouring windows
WINDOWS = 2  # at a time


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
    chances = probabilities(network, volume.to(device), plan.patch).cpu()
    labels = _decided(chances, grid, target.grid)
    values = torch.tensor(plan.values, dtype=torch.int32)
    return LabelMap(values[labels], target.grid, plan.names, plan.colors)


def prepared(image: Image, plan: Plan) -> tuple[Tensor, Grid]:
    """The scan as the network is shown it: (C, D, H, W) in 0…1, and its grid."""
    grid = canonical(image.grid, plan.spacing)
    return resample(scaled(image, plan.scales), image.grid, grid, fill=None, antialias=True), grid


def probabilities(network: SegmentationNet, volume: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """Class probabilities (n, D, H, W) of a volume (C, D, H, W), by overlapping windows."""
    from monai.inferers import sliding_window_inference

    padded = pad_to(volume, patch)
    scores: Any = sliding_window_inference(padded[None], patch, WINDOWS, network, OVERLAP, "gaussian")
    depth, height, width = volume.shape[-3:]
    return scores[0, :, :depth, :height, :width].softmax(0)


def _decided(chances: Tensor, grid: Grid, target: Grid) -> Tensor:
    """The likeliest class (D, H, W) at the voxels of `target`; background beyond the volume."""
    best, most = torch.zeros(target.shape, dtype=torch.int64), torch.full(target.shape, -1.0)
    for label, chance in enumerate(chances):
        here = resample(chance[None], grid, target, fill=float(label == 0))[0]
        best[here > most] = label
        most = torch.maximum(most, here)
    return best
