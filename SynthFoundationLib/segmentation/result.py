"""The answer to an edit, on the grid of the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..images import Image, LabelMap
from .boxes import across, around
from .decide import confidences, decided, thresholds
from .filters import enlarged
from .refine import refined
from .seeds import Seeds, Slice
from .tilted import Plane
from .workspace import Frame

SEEN = 0.05  # difference of confidence that is worth showing
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
        planes: planes across the voxels that were taken as labelled completely instead.
        detected: whether these were found rather than given.
        values: the label of each channel of `probabilities`; the first is background.
        changed: box of array slices, outside of which a session's answer before had the same labels and,
            but for 0.05, the same confidence; empty slices where nothing changed.
        limits: (n,) probability from which on a voxel got each of `values`.
        near: whether, in a scan of many voxels, only the surroundings of what is drawn were looked at.
    """

    labels: LabelMap
    confidence: Image
    next_slice: Slice | None
    complete_slices: tuple[Slice, ...]
    planes: tuple[Plane, ...]
    detected: bool
    values: tuple[int, ...]
    limits: Tensor = field(repr=False)
    scored: Callable[[], Scores] = field(repr=False)
    near: bool = False
    changed: tuple[slice, slice, slice] | None = None

    @property
    def scores(self) -> Scores:
        """Probabilities on the work voxels, made again where they were let go."""
        return self.scored()

    @property
    def probabilities(self) -> Image:
        """Probability of each of `values` → (n, D, H, W), made when asked for: large."""
        scores = self.scores
        frame = scores.frame
        result = torch.zeros(len(self.values), *frame.grid.shape)
        result[0] = 1.0
        work = scores.dense(scores.probabilities, 0.0).movedim(-1, 0).float()
        work[0] += work.sum(0) == 0
        every = (slice(None), *frame.box)
        inside = result[every]
        for rows, part in enlarged(work, frame.factors, tuple(inside.shape[1:])):
            inside[:, rows] = part
        return Image(result, frame.grid)


def make_result(scores: Scores, drawn: LabelMap, seeds: Seeds) -> Result:
    """Decide, bring to the image's voxels, and put back what the user drew."""
    frame = scores.frame
    values = torch.tensor(seeds.values, dtype=torch.int32)
    limits = thresholds(scores.probabilities)
    chosen = decided(scores.probabilities, limits)
    sure = confidences(scores.probabilities, chosen)
    labels, confidence = torch.zeros(frame.grid.shape, dtype=torch.int32), torch.ones(frame.grid.shape)
    if frame.factors == (1, 1, 1):
        labels[frame.box] = scores.dense(values[chosen], 0)
        confidence[frame.box] = scores.dense(sure, 1.0)
    else:
        fine, shown = refined(scores.probabilities, scores.where, chosen, sure, frame, limits)
        labels[frame.box] = values.index_select(0, fine.flatten()).reshape(fine.shape)
        confidence[frame.box] = shown
    if seeds.draft is not None:
        theirs = values.index_select(0, torch.from_numpy(seeds.draft).int().flatten()).view_as(labels)
        labels = torch.where(_as_drafted(seeds.draft, scores, chosen), theirs, labels)
    known = torch.from_numpy(np.flatnonzero(seeds.classes >= 0))
    labels.view(-1)[known] = values[torch.from_numpy(seeds.classes).view(-1)[known].long()]
    confidence.view(-1)[known] = 1.0
    return Result(
        LabelMap(labels, frame.grid, drawn.names, drawn.colors),
        Image(confidence, frame.grid),
        _next_slice(scores, sure, seeds),
        seeds.complete,
        seeds.planes,
        seeds.detected,
        seeds.values,
        limits,
        lambda: scores,
        frame.near,
    )


def _as_drafted(draft: np.ndarray, scores: Scores, chosen: Tensor) -> Tensor:
    """Where a draft (D, H, W) was not asked, or the work voxel around agrees with it → bool (D, H, W)."""
    frame = scores.frame
    work = frame.sampled(draft)
    answer = work.copy()
    answer.ravel()[scores.where.numpy()] = chosen.numpy()
    kept = torch.ones(draft.shape, dtype=torch.bool)
    kept[frame.box] = frame.spread(torch.from_numpy(answer == work))
    return kept


def changed_box(before: Result | None, after: Result) -> tuple[slice, slice, slice]:
    """The smallest box outside of which two answers agree; all where there is none before."""
    shape = after.labels.grid.shape
    if before is None:
        return tuple(slice(0, n) for n in shape)  # type: ignore[return-value]
    differs = before.labels.data.numpy() != after.labels.data.numpy()
    for one, two, out in zip(before.confidence.data[0], after.confidence.data[0], differs, strict=True):
        out |= ((one - two).abs_() > SEEN).numpy()
    return around(differs)


def _next_slice(scores: Scores, sure: Tensor, seeds: Seeds) -> Slice | None:
    """The unlabelled slice with most doubt around it, along the axes that have labelled slices."""
    frame = scores.frame
    doubt = scores.dense(1 - sure, 0.0)
    structure = (1 - scores.probabilities[:, 0].float()).sum()
    if doubt.sum() <= SURE * structure:
        return None
    best: tuple[float, Slice | None] = (0.0, None)
    for axis in sorted({axis for axis, _ in seeds.complete}) or [0]:
        totals = doubt.sum(across(axis)).numpy()
        totals = np.convolve(np.pad(totals, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
        totals[frame.among(axis, seeds.complete)] = 0
        if totals.max() > best[0]:
            best = float(totals.max()), (axis, frame.image_index(axis, int(totals.argmax())))
    return best[1]
