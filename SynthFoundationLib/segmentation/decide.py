"""From evidence to labels: neighbours agree, and each label is as large as makes its expected Dice best."""

from __future__ import annotations

import torch
from torch import Tensor

SAMPLES = 100_000
CHUNK = 16_384
LEAST = 0.02  # probability below which a voxel never gets a label


def thresholds(probabilities: Tensor) -> Tensor:
    """Per label, the probability from which on labelling voxels raises the expected Dice → (n,), 0.02 … 0.5.

    With voxels sorted by probability p, labelling the first k gives about 2·Σ_{i≤k} p / (k + Σ p); at
    its best the last one has half of that Dice (Lipton et al., ECML 2014). Label 0 is the background.
    """
    result = torch.full((probabilities.shape[1],), 0.5)
    rows = probabilities[:: max(1, len(probabilities) // SAMPLES)]
    for label in range(1, probabilities.shape[1]):
        column = rows[:, label].float()
        ranked = column[column > LEAST].sort(descending=True).values
        if len(ranked):
            labelled = torch.arange(1, len(ranked) + 1)
            best = (2 * ranked.cumsum(0) / (labelled + column.sum())).argmax()
            result[label] = ranked[best].clamp(LEAST, 0.5)
    return result


def decided(probabilities: Tensor, limits: Tensor | None = None) -> Tensor:
    """Labels (N,) of voxels with probabilities (N, n): furthest above its threshold (n,), or background."""
    limits = thresholds(probabilities) if limits is None else limits
    result = torch.empty(len(probabilities), dtype=torch.int64)
    for part, out in zip(probabilities.split(CHUNK), result.split(CHUNK), strict=True):
        ratio = part.float() / limits
        ratio[:, 0] = 1.0
        torch.argmax(ratio, 1, out=out)
    return result


def confidences(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Probability (N,) float32 of the labels (N,) given to voxels with probabilities (N, n)."""
    return probabilities.gather(1, labels[:, None])[:, 0].float()
