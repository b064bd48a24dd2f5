"""How well a segmentation agrees with a reference, label by label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, find_objects

from ..images import LabelsLike, as_labels, warp_labels


@dataclass(frozen=True)
class LabelScore:
    """Agreement on one label; NaN where a measure has no meaning.

    Attributes:
        label: the label.
        dice: overlap, 1 where both are empty.
        surface_dice: share of both surfaces within the tolerance of the other (Nikolov et al., JMIR 2021).
        hd95_mm: 95th percentile of the distances from each surface to the other, the larger of both ways.
        volume_ml: of the segmentation.
        reference_ml: of the reference.
        volume_error_percent: signed, of the reference.
    """

    label: int
    dice: float
    surface_dice: float
    hd95_mm: float
    volume_ml: float
    reference_ml: float
    volume_error_percent: float

    def as_row(self) -> dict[str, float]:
        """The fields by name, for tables."""
        return asdict(self)


def evaluate_segmentation(
    segmentation: LabelsLike,
    reference: LabelsLike,
    labels: Sequence[int] | None = None,
    tolerance_mm: float = 1.0,
) -> list[LabelScore]:
    """Score each label of a segmentation; one on another grid is resampled to the reference's.

    Args:
        segmentation: what to score.
        reference: what it should be.
        labels: which ones; by default all that either has.
        tolerance_mm: how far apart surfaces may be for the surface Dice.

    Raises:
        InputError: label maps that cannot be read.
    """
    given, truth = as_labels(segmentation, "the segmentation"), as_labels(reference, "the reference")
    if not given.grid.same_space(truth.grid):
        given = warp_labels(given, None, truth.grid, "nearest")
    ours, theirs = given.data.numpy(), truth.data.numpy()
    wanted = sorted(set(given.values) | set(truth.values)) if labels is None else labels
    spacing = truth.grid.spacing[::-1]
    boxes = _boxes(ours, theirs)
    return [_score(int(label), ours, theirs, boxes, spacing, tolerance_mm) for label in wanted]


def _boxes(ours: np.ndarray, theirs: np.ndarray) -> dict[int, tuple[slice, ...]]:
    """The box that holds each label in both maps, with one voxel around it."""
    boxes: dict[int, tuple[slice, ...]] = {}
    for labels in (ours, theirs):
        for label, box in enumerate(find_objects(labels), 1):
            if box is not None:
                grown = [slice(max(0, s.start - 1), s.stop + 1) for s in box]
                known = boxes.get(label, grown)
                pairs = zip(grown, known, strict=True)
                boxes[label] = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in pairs)
    return boxes


def _score(
    label: int,
    ours: np.ndarray,
    theirs: np.ndarray,
    boxes: dict[int, tuple[slice, ...]],
    spacing: tuple[float, ...],
    tolerance: float,
) -> LabelScore:
    box = boxes.get(label)
    if box is None:
        return LabelScore(label, 1.0, math.nan, math.nan, 0.0, 0.0, math.nan)
    a, b = ours[box] == label, theirs[box] == label
    millilitres = math.prod(spacing) / 1000
    volume, reference = int(a.sum()), int(b.sum())
    dice = 2 * int((a & b).sum()) / (volume + reference)
    surface, hd95 = (0.0, math.nan) if not (volume and reference) else _surfaces(a, b, spacing, tolerance)
    error = 100 * (volume - reference) / reference if reference else math.nan
    return LabelScore(label, dice, surface, hd95, volume * millilitres, reference * millilitres, error)


def _surfaces(
    a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...], tolerance: float
) -> tuple[float, float]:
    """Surface Dice and HD95 of two masks, surfaces being the voxels that touch the outside by a face."""
    borders = [mask & ~binary_erosion(np.pad(mask, 1))[1:-1, 1:-1, 1:-1] for mask in (a, b)]
    to_b = distance_transform_edt(~borders[1], spacing)[borders[0]]
    to_a = distance_transform_edt(~borders[0], spacing)[borders[1]]
    near = (to_b <= tolerance).sum() + (to_a <= tolerance).sum()
    return float(near / (len(to_a) + len(to_b))), float(max(np.percentile(to_a, 95), np.percentile(to_b, 95)))
