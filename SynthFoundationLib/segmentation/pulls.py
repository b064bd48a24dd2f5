"""What a scribble says of its surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .filters import smoothed
from .layout import mean_edge

STRENGTH, REACH = 10.0, 1.0  # log-odds that a scribble adds to its surroundings, and how many voxels far
LEAST = 0.05  # log-odds below which it says nothing


@dataclass(frozen=True, eq=False)
class Pull:
    """Log-odds `strength` (M,) added to a label at sorted flat indices `where` (M,) of the work voxels."""

    label: int
    where: Tensor
    strength: Tensor

    def among(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Which of the sorted flat indices `places` (N,) it reaches (K,), and how strongly (K,)."""
        if not len(places):
            return places, self.strength[:0]
        ends = torch.searchsorted(self.where, places[[0, -1]])
        found = slice(int(ends[0]), int(ends[1]) + 1)
        spots = torch.searchsorted(places, self.where[found]).clamp_max_(len(places) - 1)
        met = places[spots] == self.where[found]
        return spots[met], self.strength[found][met]

    def parts(self, places: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
        """The same, `size` of the places at a time: which of these it reaches, and how strongly."""
        spots, strength = self.among(places)
        counts = torch.bincount(spots // size, minlength=-(-len(places) // size)).tolist()
        return list(zip((spots % size).split(counts), strength.split(counts), strict=True))


def pulls_of(
    classes: np.ndarray, planes: dict[int, list[int]], spacing: tuple[float, ...]
) -> tuple[Pull, ...]:
    """The pulls of what is drawn outside the complete slices.

    Args:
        classes: (D, H, W) work voxels, −1 not labelled.
        planes: axis → its complete slices.
        spacing: mm along (D, H, W).
    """
    loose = classes >= 0
    for axis, indices in planes.items():
        np.moveaxis(loose, axis, 0)[indices] = False
    spots = np.argwhere(loose)
    labels = classes[tuple(spots.T)]
    return tuple(_pull(int(n), spots[labels == n], classes.shape, spacing) for n in np.unique(labels))


def _pull(label: int, spots: np.ndarray, shape: tuple[int, ...], spacing: tuple[float, ...]) -> Pull:
    reach = REACH * mean_edge(spacing)
    sigma = tuple(float(reach / s) for s in spacing)
    margin = np.ceil(3 * np.array(sigma)).astype(int)
    low, high = np.maximum(spots.min(0) - margin, 0), np.minimum(spots.max(0) + margin + 1, shape)
    box = np.zeros(high - low, np.float32)
    box[tuple((spots - low).T)] = 1.0
    near = smoothed(torch.from_numpy(box), sigma)
    line = 1 / (2 * np.pi * max(sigma) ** 2)  # what smoothing leaves of a line one voxel wide
    strength = STRENGTH * near / (near + line)
    inside = (strength > LEAST).nonzero()
    where = ((inside[:, 0] + low[0]) * shape[1] + inside[:, 1] + low[1]) * shape[2] + inside[:, 2] + low[2]
    return Pull(label, where, strength[tuple(inside.T)])
