"""Some of the voxels of a volume, where all would be too many."""

from __future__ import annotations

import torch

_SAMPLES = 1_000_000


def thinned(values: torch.Tensor) -> torch.Tensor:
    """At most about a million of the values, evenly taken."""
    return values[:: max(1, len(values) // _SAMPLES)]


def faces() -> list[tuple[slice | int, ...]]:
    """What picks the six faces of a (D, H, W) volume."""
    whole: list[slice | int] = [slice(None)] * 3
    return [(*whole[:axis], end, *whole[axis + 1 :]) for axis in range(3) for end in (0, -1)]
