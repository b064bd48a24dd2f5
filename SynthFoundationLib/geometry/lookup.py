"""Linear interpolation of many channels on a CPU as sums of table rows: faster than `grid_sample`.

A voxel's channels lie side by side as one row of a table; a point's value is the sum of the eight rows around
it, each times its weight, which is what an embedding bag computes.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F

# Points at a time: what is computed for them stays in the cache.
CHUNK = 32_768
# Below so many channels, or points for a voxel of the volume, `grid_sample` is as fast.
LEAST_CHANNELS = 8
LEAST_SHARE = 0.25
CORNERS = [corner[::-1] for corner in itertools.product((0, 1), repeat=3)]  # (i, j, k)


def pays(volume: torch.Tensor, points: int) -> bool:
    """Whether reading so many points of a (C, D, H, W) volume is faster by a `Lookup`."""
    return (
        volume.device.type == "cpu"
        and volume.dtype == torch.float32
        and not volume.requires_grad
        and len(volume) >= LEAST_CHANNELS
        and points >= LEAST_SHARE * volume[0].numel()
    )


class Lookup:
    """A (C, D, H, W) float32 volume on the CPU, laid out to be read at many places."""

    def __init__(self, volume: torch.Tensor) -> None:
        """Lay the volume out as a table."""
        self.channels, self._size = len(volume), volume.shape[:0:-1]
        # One more voxel at the far ends: points there have eight corners as well.
        padded = F.pad(volume[None], (0, 1) * 3, mode="replicate")[0]
        height, width = padded.shape[2:]
        self._strides = (1, width, height * width)
        self._table = padded.flatten(1).T.contiguous()
        offsets = [sum(c * s for c, s in zip(corner, self._strides, strict=True)) for corner in CORNERS]
        self._offsets = torch.tensor(offsets, dtype=torch.int32)
        self._expansion = torch.tensor([[_coefficient(m, c) for c in CORNERS] for m in CORNERS])

    def __call__(self, index: torch.Tensor) -> torch.Tensor:
        """Values (C, ...) at continuous indices (..., 3) in (i, j, k) order; borders are repeated."""
        points = index.reshape(-1, 3)
        values = torch.empty(self.channels, len(points))
        for start in range(0, len(points), CHUNK):
            part = slice(start, start + CHUNK)
            values[:, part] = self._rows(points[part].T.contiguous()).T
        return values.reshape(self.channels, *index.shape[:-1])

    def displaced(self, displacement: torch.Tensor) -> torch.Tensor:
        """Values (C, D, H, W) at the voxels moved by (3, D, H, W) in voxels; borders are repeated."""
        _, depth, height, width = displacement.shape
        i, j = torch.arange(width).float(), torch.arange(height).float()[:, None]
        values = torch.empty(self.channels, depth, height, width)
        rows = max(1, CHUNK // (height * width))
        for start in range(0, depth, rows):
            stop = min(start + rows, depth)
            k = torch.arange(start, stop).float()[:, None, None]
            part = displacement[:, start:stop]
            points = torch.empty(part.shape)
            for axis, lattice in enumerate((i, j, k)):
                torch.add(part[axis], lattice, out=points[axis])
            values[:, start:stop].flatten(1).copy_(self._rows(points.flatten(1)).T)
        return values

    def _rows(self, points: torch.Tensor) -> torch.Tensor:
        """Values (N, C) at points (3, N), which are overwritten."""
        count = points.shape[1]
        monomials, first = points.new_empty(8, count), torch.zeros(count, dtype=torch.int32)
        for axis, (place, size) in enumerate(zip(points, self._size, strict=True)):
            low = place.clamp_(0, size - 1).to(torch.int32)
            torch.sub(place, low, out=monomials[1 << axis])
            first.add_(low, alpha=self._strides[axis])
        monomials[0] = 1
        for product, one, other in ((3, 1, 2), (5, 1, 4), (6, 2, 4), (7, 3, 4)):
            torch.mul(monomials[one], monomials[other], out=monomials[product])
        near, weights = first[:, None] + self._offsets, monomials.T @ self._expansion
        return F.embedding_bag(near, self._table, mode="sum", per_sample_weights=weights)


def _coefficient(monomial: tuple[int, ...], corner: tuple[int, ...]) -> float:
    """Of xᵃyᵇzᶜ in the weight of a corner, the product of x or 1 − x, y or 1 − y, z or 1 − z."""
    result = 1.0
    for power, far in zip(monomial, corner, strict=True):
        result *= float(power) if far else (-1.0 if power else 1.0)
    return result
