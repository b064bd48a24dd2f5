"""An image seen by features, on the voxels of every level of the deformable stage."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..geometry import Grid, resample
from .deformable import pooled

# Learned features lie on voxels so many times as wide as the finest: coarse levels are what they serve, and
# they are computed in a tenth of the time.
LEARNED_COARSENING = 2


class Described(NamedTuple):
    """Features (C, D, H, W) of an image; one of both kinds may be missing.

    Attributes:
        learned: on voxels `LEARNED_COARSENING` times as wide as those of `grid`.
        mind: on `grid`.
        grid: the finest voxels.
    """

    learned: torch.Tensor | None
    mind: torch.Tensor | None
    grid: Grid

    def at(self, factor: int, learned: float) -> torch.Tensor:
        """On voxels of `factor`³; learned features count `learned` times beside MIND, 0 leaves them out."""
        if self.mind is None:
            return self._learned_at(factor)
        edges = pooled(self.mind, factor)
        if self.learned is None or learned == 0:
            return edges
        return torch.cat((self._learned_at(factor) * learned**0.5, edges))

    def _learned_at(self, factor: int) -> torch.Tensor:
        assert self.learned is not None
        if factor % LEARNED_COARSENING == 0:
            return pooled(self.learned, factor // LEARNED_COARSENING)
        own, wanted = self.grid.coarsened(LEARNED_COARSENING), self.grid.coarsened(factor)
        return resample(self.learned, own, wanted, fill=None, antialias=True)
