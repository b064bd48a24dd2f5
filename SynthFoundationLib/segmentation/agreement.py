"""Neighbours agree: an unsure voxel becomes a little of what lies beside it, unless an edge lies between."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

ROUNDS = 2
UNSURE = 0.9  # probability below which a voxel listens
REACH = 0.7  # finest voxels: how near a neighbour must be to count
EDGE = 0.1  # difference of intensity, of the range, that is an edge


@dataclass(frozen=True, eq=False)
class Neighbours:
    """A voxel itself and its six neighbours: rows (N, 7) int32 and weights (N, 7) float16 of sum 1."""

    rows: Tensor
    weights: Tensor

    @classmethod
    def of(cls, where: Tensor, intensity: Tensor, spacing: tuple[float, ...]) -> Neighbours:
        """Find them among the voxels at sorted flat indices `where` (N,); who has none is its own.

        Args:
            where: flat indices into the intensity.
            intensity: (D, H, W) in 0…1; it tells edges.
            spacing: mm along (D, H, W).
        """
        shape, values = intensity.shape, intensity.flatten()
        row = torch.full((len(values),), -1, dtype=torch.int32)
        row[where] = torch.arange(len(where), dtype=torch.int32)
        rows = row[where][:, None].repeat(1, 7)
        weights = torch.ones(len(where), 7)
        step, column, here = len(values), 1, values[where]
        for length, size in zip(shape, spacing, strict=True):
            step //= length
            place = where // step % length
            near = math.exp(-((size / min(spacing) / REACH) ** 2) / 2)
            for sign, inner in ((step, place < length - 1), (-step, place > 0)):
                there = where + sign * inner
                found = row[there]
                rows[:, column] = torch.where(found < 0, rows[:, 0], found)
                weights[:, column] = near * torch.exp(((values[there] - here) / EDGE).square_().div_(-2))
                column += 1
        return cls(rows, (weights / weights.sum(1, keepdim=True)).half())


def agree(probabilities: Tensor, unsure: Tensor, neighbours: Neighbours) -> None:
    """Average the probabilities (N, n) float16 of the rows `unsure` (U,) with their neighbours', in place."""
    if len(unsure):
        rows, weights = neighbours.rows[unsure], neighbours.weights[unsure]
        for _ in range(ROUNDS):
            mean = F.embedding_bag(rows, probabilities, per_sample_weights=weights, mode="sum")
            probabilities.index_copy_(0, unsure, mean)
