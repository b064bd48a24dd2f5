"""A T1- and a T2-weighted scan of the made-up head, and the deformation between them."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from ..geometry import Affine, Composite, DisplacementField, Grid, Transform, resample
from ..images import Image
from .head import make_head
from .shapes import noise

_FIXED = Grid((112, 128, 112), (1.5, 1.5, 1.5), (-83.25, -101.0, -84.0))
_FIELD_MM = 4.0
_BEND_MM = 5.0
_BEND_SCALE = 7.0  # voxels of the field


def make_pair(seed: int = 0) -> tuple[Image, Image, Transform]:
    """Scan one head twice: T1-weighted, and T2-weighted after it turned, shifted and deformed.

    Args:
        seed: another seed is another head, pose and deformation.

    Returns:
        The fixed scan (112×128×112 voxels of 1.5 mm), the moving scan (oblique, 1.2×1.2×2.4 mm, with another
        field of view), and the true transform from fixed to moving points.
    """
    rng = np.random.default_rng(seed)
    head = make_head(rng)
    transform = Composite([_deformation(rng, _FIXED, _BEND_MM), _pose(rng, 20.0)])
    fixed = _scan(head.data[:1], head.grid, _FIXED, None, rng)
    moving = _scan(head.data[1:], head.grid, _moving_grid(rng), transform.inverse(), rng)
    return fixed, moving, transform


def make_small_pair(seed: int = 0) -> tuple[Image, Image, Transform]:
    """A pair like that of `make_pair`, but of a small marbled ball: made and registered in seconds."""
    rng = np.random.default_rng(seed)
    grid = Grid((48, 48, 48), (2.0, 2.0, 2.0), (-47.0, -47.0, -47.0))
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in grid.shape], indexing="ij")
    kinds = 1 + np.digitize(noise(grid.shape, 2.5, rng), (-0.6, 0.0, 0.6))
    kinds[(x / 0.75) ** 2 + (y / 0.6) ** 2 + (z / 0.68) ** 2 > 1] = 0
    tissues = np.array([(3, 3), (60, 200), (180, 50), (110, 120), (230, 160)]).T[:, kinds]
    anatomy = torch.from_numpy(ndimage.gaussian_filter(tissues.astype(np.float32), (0, 0.6, 0.6, 0.6)))
    transform = Composite([_deformation(rng, grid, 3.0), _pose(rng, 6.0)])
    fixed = _scan(anatomy[:1], grid, grid, None, rng)
    return fixed, _scan(anatomy[1:], grid, grid.padded(2), transform.inverse(), rng), transform


def _deformation(rng: np.random.Generator, region: Grid, bend_mm: float) -> DisplacementField:
    """A smooth field of a few mm that fades out at the border of its grid."""
    grid = region.padded(16).with_spacing(_FIELD_MM)
    field = np.stack([noise(grid.shape, _BEND_SCALE, rng) for _ in range(3)])
    fade = np.ones(grid.shape, np.float32)
    for axis, n in enumerate(grid.shape):
        ramp = np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / 6, 0, 1)
        fade *= ramp.reshape([-1 if a == axis else 1 for a in range(3)])
    return DisplacementField(torch.from_numpy((bend_mm / 2 * field * fade).astype(np.float32)), grid)


def _pose(rng: np.random.Generator, shift_mm: float) -> Affine:
    matrix = np.eye(4)
    matrix[:3, :3] = _rotation(rng.uniform(8, 14, 3) * rng.choice((-1, 1), 3))
    matrix[:3, 3] = rng.uniform(-shift_mm, shift_mm, 3)
    return Affine(matrix)


def _rotation(degrees: np.ndarray) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[a, b, a, b], [a, b, b, a]] = (np.cos(angle), np.cos(angle), -np.sin(angle), np.sin(angle))
        matrix = turn @ matrix
    return matrix


def _moving_grid(rng: np.random.Generator) -> Grid:
    """An oblique grid with its index axes running right to left and top to bottom."""
    axes = _rotation(rng.uniform(-6, 6, 3)) @ np.diag((-1.0, 1.0, -1.0))
    size, spacing = np.array((150, 170, 70)), np.array((1.2, 1.2, 2.4))
    origin = rng.uniform(-6, 6, 3) - axes @ ((size - 1) / 2 * spacing)
    return Grid(tuple(size), tuple(spacing), tuple(origin), tuple(axes.ravel()))


def _scan(
    anatomy: torch.Tensor, source: Grid, target: Grid, transform: Transform | None, rng: np.random.Generator
) -> Image:
    """Sample the anatomy as a scanner would: partial volumes, uneven coil sensitivity, Rician noise."""
    clean = resample(anatomy, source, target, transform, fill=3.0, antialias=True)[0].numpy()
    shading = ndimage.zoom(rng.normal(0, 0.14, (4, 4, 4)), [n / 4 for n in target.shape], order=3)
    signal = clean * np.exp(shading)
    real, imaginary = rng.normal(0, 3.5, (2, *target.shape))
    magnitude = np.hypot(signal + real, imaginary)
    return Image(torch.from_numpy(np.rint(magnitude * 4).astype(np.float32)), target)
