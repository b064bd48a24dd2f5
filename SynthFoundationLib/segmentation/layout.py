"""How a scan is worked on: in voxels of which size, and where besides in the body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .boxes import around
from .drawn import Drawn

if TYPE_CHECKING:
    from ..geometry import Grid

Box: TypeAlias = tuple[tuple[int, int], ...]  # from and to, per array axis (D, H, W)

MARGIN = 2  # voxels around the body in which labels may still lie
SPARE = 8  # voxels around what is drawn outside of it: more will be drawn there
STRAY = 0.1  # share of a label that may lie outside because a brush slipped
# Around structures, in mm and in shares of their longest side, that is worked on where all would be too much.
AROUND_MM, AROUND_SHARE = 30.0, 0.75
MOVES_AT = 0.33  # share of that below which something drawn makes it move


def merged(
    shape: tuple[int, ...], spacing: tuple[float, ...], most: int, factors: tuple[int, ...] = (1, 1, 1)
) -> tuple[int, ...]:
    """How many voxels become one along each axis of (D, H, W), the finest first, until `most` are left."""
    wanted = np.array(factors)
    while np.prod(-(-np.array(shape) // wanted)) > most:
        wanted[np.argmin(spacing * wanted)] += 1
    return tuple(wanted.tolist())


def mean_edge(spacing: tuple[float, ...]) -> float:
    """The edge of a cube as large as a voxel, mm."""
    return float(np.prod(spacing) ** (1 / 3))


@dataclass(frozen=True)
class Layout:
    """Where to work.

    Attributes:
        factors: image voxels to one work voxel, per array axis.
        beyond: boxes that count as body whatever they show.
        within: the box that is worked on, or None for all.
    """

    factors: tuple[int, ...] = (1, 1, 1)
    beyond: tuple[Box, ...] = ()
    within: Box | None = None


def focused(layout: Layout, drawn: Drawn, grid: Grid, body: Box, most: int, background: int | None) -> Layout:
    """The layout, looking closely at what is drawn if the whole body has too many voxels for that.

    Who draws a nodule in a scan of the chest wants its outline, not another nodule.

    Args:
        layout: the one before.
        drawn: what is labelled.
        grid: of the image.
        body: where the patient is.
        most: how many work voxels there may be.
        background: the label that stands for it; it may lie anywhere.
    """
    structures = drawn.where[drawn.labels != background] if background else drawn.where
    spacing = grid.spacing[::-1]
    if not len(structures):
        return layout
    box = _around(structures, grid.shape)
    longest = max(length * s for length, s in zip(_lengths(box), spacing, strict=True))
    margin = max(AROUND_MM * grid.millimetre, AROUND_SHARE * longest)
    near, least = (
        _grown(box, [int(np.ceil(share * margin / s)) for s in spacing], grid.shape)
        for share in (1.0, MOVES_AT)
    )
    if layout.within is not None and _holds(layout.within, least):
        return layout
    fine, coarse = (merged(_lengths(one), spacing, most) for one in (near, body))
    within = near if np.prod(fine) < np.prod(coarse) else None
    return layout if within == layout.within else Layout(beyond=layout.beyond, within=within)


def box_of(mask: np.ndarray) -> Box:
    """The smallest box (D, H, W) that holds a mask which is not empty."""
    return tuple((side.start, side.stop) for side in around(mask))


def _holds(outer: Box, inner: Box) -> bool:
    return all(a <= c and d <= b for (a, b), (c, d) in zip(outer, inner, strict=True))


def _lengths(box: Box) -> tuple[int, ...]:
    return tuple(b - a for a, b in box)


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
    boxes = (_around(where[outside == label], shape) for label in lost if label != background)
    return tuple(_grown(box, (SPARE,) * 3, shape) for box in boxes)


def _around(where: np.ndarray, shape: tuple[int, ...]) -> Box:
    return tuple((int(w.min()), int(w.max()) + 1) for w in np.unravel_index(where, shape))


def _grown(box: Box, voxels: Sequence[int], shape: tuple[int, ...]) -> Box:
    ends = zip(box, voxels, shape, strict=True)
    return tuple((max(0, a - more), min(n, b + more)) for (a, b), more, n in ends)
