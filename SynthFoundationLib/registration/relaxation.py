"""Fewer rounds of a fixed-point iteration whose steps fall short of what is left."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from scipy.linalg import logm

# Earlier rounds that tell how steps change from place to place.
REMEMBERED = 4
# A step may become so many times as long, and this many voxels; more would follow noise.
LARGEST_GAIN, LARGEST_MOVE = 6.0, 1.5
# How much farther a step goes where steps still grow from round to round.
GROWTH = 3.0
# Directions in which steps changed less than this share of the most are not extrapolated.
LEAST_CHANGE = 0.05


def _logarithm(step: np.ndarray) -> np.ndarray:
    """Of a 4×4 affine map; near the identity by its series, many times faster than in general."""
    change = step - np.eye(4)
    if np.linalg.norm(change[:3, :3]) > 0.3:
        return np.real(logm(step))
    power, logarithm = change, np.zeros((4, 4))
    for n in range(1, 31):  # the last term is below 1e-16
        logarithm += power * (-1) ** (n + 1) / n
        power = power @ change
    return logarithm


class Relaxation:
    """Foresees linear steps from how their predecessors changed (Anderson, J ACM 1965; depth 4).

    Features are taken anew from the moved image in each round. As they turn with it, a round finds only a
    part of the remaining step, in each direction its own part.
    """

    def __init__(self, size: tuple[int, int, int]) -> None:
        """`size` is that of the grid whose corners measure a step."""
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in size])).reshape(3, -1)
        self._corners = np.vstack((corners, np.ones(8)))
        self._found: list[np.ndarray] = []
        self._taken: list[np.ndarray] = []

    def move(self, step: np.ndarray) -> np.ndarray:
        """By how much a 4×4 index map moves the corners, (3, 8) in voxels."""
        return ((step - np.eye(4)) @ self._corners)[:3]

    def __call__(self, step: np.ndarray) -> np.ndarray:
        """The 4×4 index map to take for the one found; a rigid one stays rigid."""
        found = _logarithm(step)
        taken = self._foreseen(found)
        self._found = [*self._found, found][-REMEMBERED:]
        self._taken = [*self._taken, taken][-REMEMBERED:]
        # Not SciPy's: it wakes threads of its own, which then keep torch's from their core for .1 s.
        return torch.linalg.matrix_exp(torch.from_numpy(taken)).numpy()

    def _foreseen(self, found: np.ndarray) -> np.ndarray:
        if not self._found:
            return found
        steps = [*self._found, found]
        changes = [b - a for a, b in pairwise(steps)]
        table = np.stack([self._at_corners(change) for change in changes], 1)
        shares = np.linalg.lstsq(table, self._at_corners(found), rcond=LEAST_CHANGE)[0]
        both = [taken + change for taken, change in zip(self._taken[-len(changes) :], changes, strict=True)]
        taken = found - sum(share * one for share, one in zip(shares, both, strict=True))
        plain, ahead = self._at_corners(found), self._at_corners(taken)
        if plain @ ahead <= 0:  # the steps still grow: nothing to foresee
            taken, ahead = GROWTH * found, GROWTH * plain
        longest = min(LARGEST_GAIN * np.abs(plain).max(), max(LARGEST_MOVE, np.abs(plain).max()))
        return taken * min(1.0, longest / max(np.abs(ahead).max(), 1e-12))

    def _at_corners(self, twist: np.ndarray) -> np.ndarray:
        return (twist @ self._corners)[:3].ravel()
