"""What a user drew, kept in little memory: a session remembers every edit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from ..geometry import Grid
from ..images import LabelMap


@dataclass(frozen=True, eq=False)
class Drawn:
    """The labelled voxels of a label map: flat indices `where` (N,) and their `labels` (N,) uint16."""

    where: np.ndarray
    labels: np.ndarray
    names: dict[int, str] = field(default_factory=dict)
    colors: dict[int, tuple[float, float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, labels: LabelMap) -> Drawn:
        """Keep the labelled voxels of a label map."""
        flat = labels.data.numpy().ravel()
        where = np.flatnonzero(flat)
        return cls(where, flat[where].astype(np.uint16), labels.names, labels.colors)

    def label_map(self, grid: Grid) -> LabelMap:
        """The label map again."""
        flat = np.zeros(grid.voxels, np.int32)
        flat[self.where] = self.labels
        return LabelMap(torch.from_numpy(flat.reshape(grid.shape)), grid, self.names, self.colors)
