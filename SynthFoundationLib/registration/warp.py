"""Features read under one displacement after the other."""

from __future__ import annotations

import torch

from ..geometry.fields import warp_by_voxels
from ..geometry.lookup import Lookup, pays


class Warp:
    """Moving features (C, D, H, W), laid out for the first displacement and kept so for the next."""

    def __init__(self, volume: torch.Tensor) -> None:
        """Keep the volume."""
        self.volume = volume
        self._lookup: Lookup | None = None

    def __call__(self, displacement: torch.Tensor) -> torch.Tensor:
        """The features at the voxels moved by (3, D, H, W) in voxels, borders repeated."""
        if self._lookup is None and pays(self.volume, displacement[0].numel()):
            self._lookup = Lookup(self.volume)
        if self._lookup is None:
            return warp_by_voxels(self.volume, displacement)
        return self._lookup.displaced(displacement)

    def seen(self, displacement: torch.Tensor) -> torch.Tensor:
        """Whether the moved voxels lie inside the volume, bool (D, H, W)."""
        inside = torch.ones(displacement.shape[1:], dtype=torch.bool, device=displacement.device)
        for axis, part in enumerate(displacement):
            size, across = displacement.shape[3 - axis], [1, 1, 1]
            across[2 - axis] = size
            index = part + torch.arange(size, dtype=part.dtype, device=part.device).view(across)
            inside &= (index >= -0.5) & (index <= size - 0.5)
        return inside
