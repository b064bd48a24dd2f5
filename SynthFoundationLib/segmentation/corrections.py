"""What somebody corrected in a copy of a segmentation: the voxels that differ, and the slices they lie in."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

from .boxes import around, held
from .complete import Slice, thickness

SAME = 0.5  # share of a segmentation that is found again in a corrected copy of it
SOLID = 0.5  # share of voxels in rows of three or more along all axes from which on something is solid
FLAT = 2  # how many times fewer the slices are in which somebody corrected, than those across them


def is_copy(labels: np.ndarray, draft: np.ndarray) -> bool:
    """Whether a label map (D, H, W) is a draft that somebody corrected, not the corrections alone."""
    again = np.count_nonzero((labels == draft) & (draft > 0))
    return bool(again > SAME * np.count_nonzero(draft))


def corrected_slices(changed: np.ndarray) -> tuple[Slice, ...]:
    """The slices of one axis that a mask (D, H, W) of what was changed lies in, but for what is solid in it.

    What is drawn or erased in three dimensions says nothing of the rest of the slices that it touches.
    """
    box = around(changed)
    inner = changed[box]
    if not inner.size:
        return ()
    parts, count = label(inner, np.ones((3, 3, 3)))
    thick = np.min([thickness(inner, axis) for axis in range(3)], 0) > 2
    solid = np.bincount(parts[thick], minlength=count + 1) >= SOLID * np.bincount(parts.ravel())
    slices = held(inner & ~solid[parts])
    few, more = sorted(range(3), key=lambda axis: len(slices[axis]))[:2]
    if FLAT * len(slices[few]) > len(slices[more]):
        return ()
    return tuple((few, int(index) + box[few].start) for index in slices[few])
