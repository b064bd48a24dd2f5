"""The answer to an edit, on the grid of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..images import Image, LabelMap
from .decide import decided, thresholds
from .filters import along, resizing
from .seeds import Seeds, Slice
from .workspace import Frame

SLAB = 8  # image slices brought to full resolution at a time
SURE = 0.01  # mean doubt per voxel of a structure below which no slice is worth labelling


@dataclass(frozen=True, eq=False)
class Scores:
    """Probabilities (M, n) of the work voxels at flat indices `where` (M,); all others are background."""

    probabilities: Tensor
    where: Tensor
    frame: Frame

    def dense(self, values: Tensor, outside: float) -> Tensor:
        """(M, …) values on the work voxels → (D, H, W, …), `outside` elsewhere."""
        rest = values.shape[1:]
        volume = torch.full((self.frame.voxels, *rest), outside, dtype=values.dtype)
        volume[self.where] = values
        return volume.reshape(*self.frame.shape, *rest)


@dataclass(frozen=True, eq=False)
class Result:
    """A segmentation.

    Attributes:
        labels: (D, H, W) on the grid of the image; what the user drew is kept.
        confidence: (D, H, W) float32, probability of the label given; 1 where the user labelled.
        next_slice: (array axis, index) of the slice whose labels would tell most, or None if all are sure.
        complete_slices: those taken as labelled completely, as (array axis, index).
        detected: whether these were found rather than given.
        values: the label of each channel of `probabilities`; the first is background.
    """

    labels: LabelMap
    confidence: Image
    next_slice: Slice | None
    complete_slices: tuple[Slice, ...]
    detected: bool
    values: tuple[int, ...]
    scores: Scores = field(repr=False)

    @property
    def probabilities(self) -> Image:
        """Probability of each of `values` → (n, D, H, W), made when asked for: large."""
        frame, scores = self.scores.frame, self.scores
        result = torch.zeros(len(self.values), *frame.grid.shape)
        result[0] = 1.0
        work = scores.dense(scores.probabilities, 0.0).movedim(-1, 0).float()
        work[0] += work.sum(0) == 0
        for box, part in full_resolution(work, frame):
            result[(slice(None), *box)] = part
        return Image(result, frame.grid)


def make_result(scores: Scores, drawn: LabelMap, seeds: Seeds) -> Result:
    """Decide, bring to the image's voxels, and put back what the user drew."""
    frame = scores.frame
    if frame.factors == (1, 1, 1):
        labels, confidence = _decide_fine(scores)
    else:
        labels, confidence = _decide_coarse(scores)
    known = torch.from_numpy(seeds.classes >= 0)
    labels[known] = torch.from_numpy(seeds.classes)[known].int()
    confidence[known] = 1.0
    values = torch.tensor(seeds.values, dtype=torch.int32)
    return Result(
        LabelMap(values[labels.long()], frame.grid, drawn.names, drawn.colors),
        Image(confidence, frame.grid),
        _next_slice(scores, seeds),
        seeds.complete,
        seeds.detected,
        seeds.values,
        scores,
    )


def _box(frame: Frame) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in zip(frame.start, frame.stop, strict=True))


def _decide_fine(scores: Scores) -> tuple[Tensor, Tensor]:
    """Classes and confidence (D, H, W) where work voxels are image voxels."""
    frame = scores.frame
    chosen = decided(scores.probabilities)
    sure = scores.probabilities.gather(1, chosen[:, None])[:, 0].float()
    labels, confidence = torch.zeros(frame.grid.shape, dtype=torch.int32), torch.ones(frame.grid.shape)
    labels[_box(frame)] = scores.dense(chosen.int(), 0)
    confidence[_box(frame)] = scores.dense(sure, 1.0)
    return labels, confidence


def _decide_coarse(scores: Scores) -> tuple[Tensor, Tensor]:
    """Classes and confidence (D, H, W) from probabilities interpolated between work voxels."""
    frame = scores.frame
    labels, confidence = torch.zeros(frame.grid.shape, dtype=torch.int32), torch.ones(frame.grid.shape)
    limit = thresholds(scores.probabilities)
    work = scores.dense(scores.probabilities, 0.0).movedim(-1, 0)
    for box, part in full_resolution(work[1:], frame):
        ratio, best = (part / limit[1:, None, None, None]).max(0)
        chosen = torch.where(ratio >= 1, best + 1, 0)
        every = torch.cat([1 - part.sum(0, keepdim=True), part])
        labels[box] = chosen.int()
        confidence[box] = every.gather(0, chosen[None])[0]
    return labels, confidence


def full_resolution(work: Tensor, frame: Frame) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
    """Work volumes (n, D, H, W) at the voxels of the image: yield boxes and what belongs there."""
    lengths = [b - a for a, b in zip(frame.start, frame.stop, strict=True)]
    grow = [resizing(n, n * f)[:m] for n, f, m in zip(frame.shape, frame.factors, lengths, strict=True)]
    for first in range(0, lengths[0], SLAB):
        rows = grow[0][first : first + SLAB]
        used = rows.any(0).nonzero().flatten()
        near = slice(int(used[0]), int(used[-1]) + 1)
        part = along(work[:, near].float().contiguous(), rows[:, near], -3)
        part = along(along(part, grow[1], -2), grow[2], -1)
        start = frame.start[0] + first
        yield (slice(start, start + len(rows)), *_box(frame)[1:]), part


def _next_slice(scores: Scores, seeds: Seeds) -> Slice | None:
    """The unlabelled slice with most doubt around it, along the axes that have labelled slices."""
    frame = scores.frame
    doubt = scores.dense(1 - scores.probabilities.amax(1).float(), 0.0)
    structure = (1 - scores.probabilities[:, 0].float()).sum()
    if doubt.sum() <= SURE * structure:
        return None
    best: tuple[float, Slice | None] = (0.0, None)
    for axis in sorted({axis for axis, _ in seeds.complete}) or [0]:
        totals = doubt.sum(tuple({0, 1, 2} - {axis})).numpy()
        totals = np.convolve(np.pad(totals, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
        totals[[frame.index(axis, index) for a, index in seeds.complete if a == axis]] = 0
        if totals.max() > best[0]:
            best = float(totals.max()), (axis, frame.image_index(axis, int(totals.argmax())))
    return best[1]
