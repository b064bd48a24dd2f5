"""Smooth random fields as tensor-product B-splines: three small matrix products per field."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

Shape = tuple[int, int, int]


@lru_cache(maxsize=512)
def _basis(size: int, cells: int, device: str) -> Tensor:
    """Uniform cubic B-spline basis, (size, cells + 3), on voxel centres of an interval of `cells`."""
    x = (torch.arange(size, dtype=torch.float64) + 0.5) / size * cells
    cell = x.floor().clamp_(max=cells - 1)
    t = x - cell
    pieces = torch.stack(((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)) / 6
    basis = torch.zeros(size, cells + 3, dtype=torch.float64)
    for k in range(4):
        basis.scatter_(1, (cell.long() + k)[:, None], pieces[k][:, None])
    return basis.float().to(device)


def spline(coefficients: Tensor, shape: Shape) -> Tensor:
    """Evaluate cubic splines, coefficients (..., d + 3, h + 3, w + 3), on the voxel centres of `shape`."""
    device = str(coefficients.device)
    bases = [_basis(n, c - 3, device) for n, c in zip(shape, coefficients.shape[-3:], strict=True)]
    out = torch.matmul(coefficients, bases[2].T)
    out = torch.matmul(bases[1], out)
    lead, (d, h, w) = out.shape[:-3], out.shape[-3:]
    return torch.matmul(bases[0], out.reshape(*lead, d, h * w)).reshape(*lead, shape[0], h, w)


def smooth_noise(
    seed: int, cells: Sequence[int], shape: Shape, device: torch.device, count: int = 1
) -> Tensor:
    """`count` independent smooth fields of about unit variance, (count, D, H, W).

    The coefficients are drawn on the CPU: the same seed draws the same anatomy on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    size = [max(1, int(c)) + 3 for c in cells]
    coefficients = torch.randn((count, *size), generator=generator)
    # Four neighbouring coefficients are averaged along each axis: 0.4794 is the mean square of their weights.
    return spline(coefficients.to(device) / 0.4794**1.5, shape)


def white_noise(seed: int, shape: Sequence[int], device: torch.device) -> Tensor:
    """Standard normal noise drawn on the device itself: same seed and same kind of device, same noise."""
    generator = torch.Generator(device=device).manual_seed(seed)
    return torch.randn(tuple(shape), generator=generator, device=device)
