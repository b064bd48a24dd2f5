"""Right-angle turns of cubes of voxels: nothing is interpolated, voxels change places."""

from __future__ import annotations

import numpy as np
import torch


def turned(volume: torch.Tensor, turn: np.ndarray) -> torch.Tensor:
    """A (C, N, N, N) volume read where `turn` sends its voxels, about its centre → a copy.

    `turn` is a signed permutation of the index axes (i, j, k), 3×3.
    """
    # Column a of the turn says along which axis, and which way, one goes when index a grows.
    sources = [int(np.abs(turn[:, a]).argmax()) for a in range(3)]
    order = [0, *(3 - sources[a] for a in (2, 1, 0))]
    backwards = [3 - a for a in range(3) if turn[sources[a], a] < 0]
    return volume.permute(order).flip(backwards).contiguous()
