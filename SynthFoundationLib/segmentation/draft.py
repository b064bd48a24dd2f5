"""A segmentation that is there already, right in most places: what it says, and how far it can be trusted.

Its borders are taken to be as far off as in the slices that somebody corrected, and farther around what was
corrected by much. There the shapes that were drawn say more, elsewhere the draft does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from .boxes import around
from .filters import copied
from .layout import mean_edge, merged

if TYPE_CHECKING:
    from .workspace import Frame

# Lengths are in edges of a voxel of mean size.
OFF = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)  # how far off borders may be
USUAL = 2.0  # the same where no corrected slice tells
WORSE, BETTER = 2.0, 0.5  # what is missed by 1 is off by so much there, and by so much less 1 away
AKIN = 1.4  # errors are alike along a border, so that it counts as farther off by so many times
REACH = 24.0  # distances are measured no farther
BESIDE = 10.0  # how near a structure a voxel must be to tell how far off borders are
SAMPLES = 20_000
FEW = 200  # known voxels of a class below which all that the draft takes for it teaches
VOXELS = 400_000
MOST = 12.0  # log-odds


@dataclass(frozen=True, eq=False)
class Draft:
    """A draft on the D·H·W work voxels.

    Attributes:
        classes: (D, H, W) int16, 0 background.
        distances: (D, H, W, n) float16, signed distance to the border of each class, inside positive.
        has: (n,) bool, which classes it knows; of the others it says nothing.
        edges: (3,) of a work voxel.
    """

    classes: np.ndarray
    distances: Tensor
    has: Tensor
    edges: np.ndarray

    @classmethod
    def of(cls, classes: np.ndarray, frame: Frame, count: int) -> Draft:
        """Measure a draft (D, H, W) of the image, in classes 0 … count-1."""
        work = frame.sampled(classes)
        edges = np.array(frame.spacing) / mean_edge(frame.spacing)
        distances = torch.full((*work.shape, count), -REACH, dtype=torch.float16)
        for one in range(1, count):
            _measure(work == one, edges, distances[..., one])
        distances[..., 0] = REACH
        _measure(work > 0, -edges, distances[..., 0])
        has = torch.from_numpy(np.bincount(classes.ravel(), minlength=count) > 0)
        has[0] = True
        return cls(work, distances, has, edges)

    def off_by(self, known: np.ndarray) -> float:
        """How far off borders are, judged by what is known: classes (D, H, W), -1 where they are not."""
        where = torch.from_numpy(np.flatnonzero(known >= 0))
        truth = torch.from_numpy(known.ravel()).long()[where]
        distances = self.distances.flatten(0, 2)
        useful = ((truth > 0) | (distances[where, 0] < BESIDE)) & self.has[truth]
        where, truth = where[useful], truth[useful]
        if not len(where):
            return USUAL
        step = -(-len(where) // SAMPLES)
        rows = distances[where[::step]].float()[:, self.has]
        truth = (self.has.cumsum(0) - 1)[truth[::step]]
        losses = [F.cross_entropy((rows / off).clamp(-MOST, MOST), truth) for off in OFF]
        return OFF[int(torch.stack(losses).argmin())]

    def off_around(self, classes: np.ndarray, off: float) -> Tensor:
        """The same at each voxel (D, H, W), farther near what is known and contradicts it."""
        wrong = np.flatnonzero((classes >= 0) & (classes != self.classes))
        if not len(wrong):
            return torch.full(classes.shape, off)
        where, truth = torch.from_numpy(wrong), torch.from_numpy(classes.ravel()[wrong]).long()
        missed = torch.zeros(classes.shape)
        missed.view(-1)[where] = -self.distances.flatten(0, 2)[where, truth].float()
        factors = merged(classes.shape, tuple(self.edges), VOXELS)
        cells = F.max_pool3d(missed[None], factors, ceil_mode=True)[0].numpy()
        size = self.edges * np.array(factors)
        away, nearest = distance_transform_edt(cells == 0, size, return_indices=True)
        there = np.maximum(WORSE * cells[tuple(nearest)] - BETTER * away, off)
        return copied(torch.from_numpy(there).float(), factors, classes.shape)

    def taught(self, classes: np.ndarray, off: Tensor) -> Tensor:
        """What it teaches (D, H, W) int16, -1 for nothing: what lies deeper than its borders may be `off`.

        Of classes of which hardly anything is known, it teaches all. `classes` (D, H, W) is -1 where unknown.
        """
        own = torch.from_numpy(self.classes).long()
        depth = self.distances.gather(-1, own[..., None])[..., 0]
        rare = np.bincount(classes[classes >= 0], minlength=len(self.has)) < FEW
        return torch.where((depth > off) | torch.from_numpy(rare)[own], own, -1).short()

    def joined(self, odds: Tensor | None, weight: Tensor, off: Tensor) -> Tensor:
        """Log-odds (D, H, W, n) float16 of the draft and, by their weights, of what else is known.

        Args:
            odds: (D, H, W, n) by shapes, or None where there are none.
            weight: (D, H, W, 1), edges to the power of -2.
            off: (D, H, W), how far off the borders of the draft are.
        """
        result = torch.empty_like(self.distances)
        for z, own in enumerate(self.distances):  # what one slice needs stays in the cache
            drafted = (own / off[z][..., None]).clamp_(-MOST, MOST)
            if odds is not None:
                counts = (AKIN * off[z][..., None]).pow(-2)
                drafted = torch.lerp(odds[z].float(), drafted, counts / (counts + weight[z]) * self.has)
            result[z] = drafted
        return result


def _measure(inside: np.ndarray, edges: np.ndarray, target: Tensor) -> None:
    """Write signed distances of a mask where it is near; negative edges turn the sign."""
    if not inside.any():
        return
    size, sign = np.abs(edges), float(np.sign(edges[0]))
    more = np.ceil(REACH / size).astype(int)
    box = tuple(slice(max(0, s.start - m), s.stop + m) for s, m in zip(around(inside), more, strict=True))
    part = inside[box]
    signed = np.full(part.shape, REACH)
    if not part.all():
        signed = distance_transform_edt(part, size) - distance_transform_edt(~part, size)
    target[box] = torch.from_numpy(sign * signed.clip(-REACH, REACH)).half()
