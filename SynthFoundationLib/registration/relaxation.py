"""Fewer rounds of a fixed-point iteration whose steps fall short of what is left."""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm, logm

# A step may be stretched so many times; more would follow noise.
LARGEST_GAIN = 2.5


class Relaxation:
    """Stretches linear steps by what their predecessors turned out to lack (Aitken's relaxation).

    Features are taken anew from the moved image in each round. As they turn with it, a round finds only a
    part of the remaining step, and about the same part each time (Irons & Tuck, IJNME 1969).
    """

    def __init__(self, size: tuple[int, int, int]) -> None:
        """`size` is that of the grid whose corners measure a step."""
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in size])).reshape(3, -1)
        self._corners = np.vstack((corners, np.ones(8)))
        self._gain = 1.0
        self._last: np.ndarray | None = None

    def move(self, step: np.ndarray) -> np.ndarray:
        """By how much a 4×4 index map moves the corners, (3, 8) in voxels."""
        return ((step - np.eye(4)) @ self._corners)[:3]

    def __call__(self, step: np.ndarray) -> np.ndarray:
        """The 4×4 index map, stretched; a rigid one stays rigid."""
        move = self.move(step)
        if self._last is not None:
            change = self._last - move
            gain = self._gain * float((self._last * change).sum() / max(float((change**2).sum()), 1e-12))
            self._gain = float(np.clip(gain, 1.0, LARGEST_GAIN))
        self._last = move
        return step if self._gain == 1.0 else np.real(expm(self._gain * logm(step)))
