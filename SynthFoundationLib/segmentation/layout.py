"""How a scan is worked on: in voxels of which size, and where besides in the body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .drawn import Drawn

Box: TypeAlias = tuple[tuple[int, int], ...]  # from and to, per array axis (D, H, W)

MARGIN = 2  # voxels around the body in which labels may still lie
SPARE = 8  # voxels around what is drawn outside of it: more will be drawn there
STRAY = 0.1  # share of a label that may lie outside because a brush slipped


def merged(
    shape: tuple[int, ...], spacing: tuple[float, ...], most: int, factors: tuple[int, ...] = (1, 1, 1)
) -> tuple[int, ...]:
    """How many voxels become one along each axis of (D, H, W), the finest first, until `most` are left."""
    wanted = np.array(factors)
    while np.prod(-(-np.array(shape) // wanted)) > most:
        wanted[np.argmin(spacing * wanted)] += 1
    return tuple(wanted.tolist())


@dataclass(frozen=True)
class Layout:
    """Image voxels to one work voxel, per array axis, and boxes that count as body whatever they show."""

    factors: tuple[int, ...] = (1, 1, 1)
    beyond: tuple[Box, ...] = ()


def boxes_beyond(
    drawn: Drawn, held: np.ndarray, shape: tuple[int, ...], background: int | None
) -> tuple[Box, ...]:
    """Boxes around what lies outside of structures drawn there by more than a slip of the brush.

    Args:
        drawn: what is labelled in a volume of that shape (D, H, W).
        held: (N,) bool, which of these voxels are worked on already.
        shape: of the volume.
        background: the label that stands for it; it may lie anywhere.
    """
    outside, total = drawn.labels[~held], np.bincount(drawn.labels)
    lost = np.flatnonzero(np.bincount(outside, minlength=len(total)) > STRAY * total)
    where = drawn.where[~held]
    return tuple(_around(where[outside == label], shape) for label in lost if label != background)


def _around(where: np.ndarray, shape: tuple[int, ...]) -> Box:
    ends = zip(np.unravel_index(where, shape), shape, strict=True)
    return tuple((max(0, int(w.min()) - SPARE), min(n, int(w.max()) + 1 + SPARE)) for w, n in ends)
