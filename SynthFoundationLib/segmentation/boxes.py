"""Where along each axis a mask holds something."""

from __future__ import annotations

import numpy as np


def across(axis: int) -> tuple[int, int]:
    """The other two axes of (D, H, W)."""
    one, other = (a for a in range(3) if a != axis)
    return one, other


def held(mask: np.ndarray) -> list[np.ndarray]:
    """The slices of each axis in which something of a mask (D, H, W) is true."""
    return [np.flatnonzero(mask.any(axis=across(axis))) for axis in range(3)]


def around(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest box that holds a mask (D, H, W), empty where nothing is true."""
    k, j, i = (slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0) for at in held(mask))
    return k, j, i
