"""Where a segmentation and its reference differ most, as a picture of three planes."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion, uniform_filter
from torch import Tensor

from ..geometry import Grid, resample
from ..images import Image, LabelMap, normalise
from ..report.jpeg import jpeg
from ..report.planes import three_planes

PIXELS = 320
OURS, THEIRS = np.array((1.0, 0.55, 0.1)), np.array((0.2, 0.85, 0.35))
AROUND = 7  # voxels over which differing ones are counted


def draw(given: LabelMap, truth: LabelMap, image: Image | None = None) -> bytes:
    """JPEG of three planes through the place where most voxels differ: reference green, given orange.

    Both label maps lie on one grid; the image may lie on another.
    """
    planes = three_planes(truth.grid, _worst_place(given, truth), PIXELS)
    grey = None if image is None else normalise(image)[:1]
    cuts = []
    for plane in planes:
        back = np.zeros(plane.grid.shape[1:])
        if grey is not None and image is not None:
            back = resample(grey, image.grid, plane.grid)[0, 0].numpy()
        picture = np.repeat(back[..., None], 3, axis=2)
        for labels, color in ((truth, THEIRS), (given, OURS)):
            picture[_outlines(labels.data, labels.grid, plane.grid)] = color
        cuts.append(picture)
    height = max(len(cut) for cut in cuts)
    padded = [np.pad(cut, ((0, height - len(cut)), (0, 4), (0, 0))) for cut in cuts]
    return jpeg(np.rint(255 * np.concatenate(padded, axis=1)).clip(0, 255).astype(np.uint8))


def _worst_place(given: LabelMap, truth: LabelMap) -> np.ndarray:
    """LPS mm."""
    differing = uniform_filter((given.data != truth.data).float().numpy(), AROUND)
    if not differing.any():
        differing = uniform_filter((truth.data > 0).float().numpy(), AROUND)
    k, j, i = map(float, np.unravel_index(int(differing.argmax()), differing.shape))
    return truth.grid.to_physical([i, j, k])


def _outlines(labels: Tensor, grid: Grid, plane: Grid) -> np.ndarray:
    """Pixels (H, W) of labels that touch another label."""
    cut = resample(labels[None].float(), grid, plane, mode="nearest")[0, 0].round().int().numpy()
    result = np.zeros(cut.shape, bool)
    for label in np.unique(cut[cut > 0]):
        inside = cut == label
        result |= inside & ~binary_erosion(inside, iterations=1)
    return result
