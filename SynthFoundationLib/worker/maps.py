"""Volumes that tell how a registration went: local change of volume, and how sure it is."""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import smooth
from ..geometry.fields import jacobian_determinant
from ..images import Image
from ..registration import Registration
from .transforms import affine_and_field

# Voxels over which features are compared.
_NEIGHBOURHOOD = 2.0


@torch.no_grad()
def jacobian(registration: Registration) -> Image:
    """Determinant of the Jacobian of the whole transform, on the grid of the field without its border.

    1 keeps the volume; 2 is tissue twice as large in the moving scan. A linear transform has one value, given
    on the grid of the fixed scan.
    """
    matrix, field = affine_and_field(registration.transform)
    overall = float(torch.linalg.det(torch.from_numpy(matrix[:3, :3])))
    if field is None:
        grid = registration.fixed.grid
        return Image(torch.full(grid.shape, overall), grid)
    local = jacobian_determinant(field.data, field.grid)
    size = field.grid.size
    return Image(overall * local, field.grid.cropped((1, 1, 1), [n - 1 for n in size]))


@torch.no_grad()
def confidence(registration: Registration) -> Image:
    """0…1: how much alike the fixed and the moved scan look around each place, by their features.

    The correlation of the features, each without its mean, over some voxels around; negative ones are 0, and
    so are places without structure. Coarse: it is computed on the grid that the numbers are measured on.
    """
    fixed, moved = registration.feature_maps
    a, b = (x.data - x.data.mean((1, 2, 3), keepdim=True) for x in (fixed, moved))
    product, first, second = (_around((x * y).sum(0)) for x, y in ((a, b), (a, a), (b, b)))
    alike = product / (first * second).sqrt().clamp_min(1e-12)
    return Image(alike.clamp(0, 1), fixed.grid)


def _around(volume: Tensor) -> Tensor:
    return smooth(volume[None], _NEIGHBOURHOOD)[0]
