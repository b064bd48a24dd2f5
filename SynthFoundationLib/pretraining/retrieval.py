"""Does a feature find its place in the other volume? Nearest-neighbour retrieval between aligned volumes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from SynthFoundationLib.errors import InputError

REACH = 12.0


def unit_features(features: Tensor) -> Tensor:
    """Channels of each voxel scaled to unit length, (C, D, H, W)."""
    return normalize(features.float(), dim=0, eps=1e-6)


def retrieval(
    first: Tensor,
    second: Tensor,
    where: Tensor,
    spacing: tuple[float, float, float],
    tolerance: float = 5.0,
    queries: int = 4096,
    seed: int = 0,
) -> dict[str, float]:
    """Fraction of voxels whose nearest feature in the other aligned volume lies within `tolerance` mm.

    Args:
        first: features of the queries, (C, D, H, W); distances are Euclidean.
        second: features searched, of the same grid.
        where: voxels that take part, both as queries and as candidates, (D, H, W) bool.
        spacing: mm along (z, y, x).
        tolerance: mm.
        queries: how many voxels are asked for, drawn with `seed`; all when there are fewer.
        seed: of that draw.

    Returns:
        `within` (fraction), `median_mm`, `local_mm` (mean error when only candidates within `REACH` mm are
        searched: how exactly a voxel is placed once it is roughly there), and `chance` (fraction within
        tolerance that a random answer would reach).

    Raises:
        InputError: when grids differ or no voxel takes part.
    """
    if first.shape[1:] != second.shape[1:] or first.shape[1:] != where.shape:
        raise InputError(
            f"features {tuple(first.shape)} and {tuple(second.shape)}, mask {tuple(where.shape)}: "
            "all three need one grid"
        )
    place = where.nonzero()
    if len(place) == 0:
        raise InputError("the mask is empty: nothing to retrieve")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(place), generator=generator)[:queries].to(place.device)
    flat = where.flatten().nonzero()[:, 0]
    keys = second.flatten(1)[:, flat].T.float().contiguous()
    asked = first.flatten(1)[:, flat[order]].T.float()
    mm = place.float() * torch.tensor(spacing, device=place.device)
    norms = keys.square().sum(1)
    error, near, local = [], [], []
    for chunk, rows in zip(asked.split(256), order.split(256), strict=True):
        distance = norms[None] - 2 * chunk @ keys.T
        error.append((mm[distance.argmin(1)] - mm[rows]).norm(dim=1))
    for chunk, rows in zip(asked[:512].split(64), order[:512].split(64), strict=True):
        gap = torch.cdist(mm[rows], mm)
        near.append((gap <= tolerance).float().mean(1))
        distance = (norms[None] - 2 * chunk @ keys.T).masked_fill_(gap > REACH, torch.inf)
        local.append(gap.gather(1, distance.argmin(1, keepdim=True))[:, 0])
    errors = torch.cat(error)
    return {
        "within": float((errors <= tolerance).float().mean()),
        "median_mm": float(errors.median()),
        "local_mm": float(torch.cat(local).mean()),
        "chance": float(torch.cat(near).mean()),
    }
