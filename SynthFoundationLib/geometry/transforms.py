"""Spatial transforms: fixed physical points (LPS mm) → moving physical points (LPS mm)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import InputError
from .fields import inversion_error, invert, jacobian_determinant
from .sampling import grid_points, resample, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .grid import Grid


_MISSED_SHARE = 0.01  # of the voxels may fold, or come back farther than half a voxel from their place


class Transform(ABC):
    """A map of physical points."""

    @abstractmethod
    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        """Fixed points (..., 3) in LPS mm → moving points (..., 3) in LPS mm."""

    @abstractmethod
    def inverse(self) -> Transform:
        """The transform from moving points to fixed points.

        Raises:
            InputError: the transform cannot be inverted.
        """

    def of_voxels(
        self, grid: Grid, slab: slice | None = None, device: torch.device | None = None
    ) -> torch.Tensor:
        """Moving points (D, H, W, 3) of the voxels of `grid`, or of its k-slices in `slab`."""
        return self(grid_points(grid, slab, device))

    def apply(self, points: np.ndarray) -> np.ndarray:
        """The map of an (N, 3) float64 array."""
        return self(torch.as_tensor(np.asarray(points), dtype=torch.float64)).numpy()


class Affine(Transform):
    """y = M·x + t, kept as a 4×4 float64 matrix."""

    def __init__(self, matrix: np.ndarray | None = None) -> None:
        """Take a 4×4 matrix; the identity where none is given."""
        self.matrix = np.eye(4) if matrix is None else np.array(matrix, dtype=float)
        if self.matrix.shape != (4, 4) or not np.isfinite(self.matrix).all():
            raise InputError(f"an affine transform needs a finite 4×4 matrix; got shape {self.matrix.shape}")

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        """Fixed points (..., 3) in LPS mm → moving points."""
        matrix = torch.as_tensor(self.matrix, dtype=points.dtype, device=points.device)
        return points @ matrix[:3, :3].T + matrix[:3, 3]

    def inverse(self) -> Affine:
        """The inverse matrix."""
        if abs(np.linalg.det(self.matrix[:3, :3])) < 1e-9:
            raise InputError("the affine transform has no inverse: its matrix is singular")
        return Affine(np.linalg.inv(self.matrix))

    def __repr__(self) -> str:
        """The matrix, rounded."""
        return f"Affine({np.round(self.matrix[:3], 4).tolist()})"


class DisplacementField(Transform):
    """y = x + u(x), u linear between the voxels of `grid` and zero outside them, as in ITK.

    A field that comes with its own `inverse_data` on the same grid inverts exactly as it was solved; any
    other is inverted by fixed-point iteration, once.
    """

    def __init__(self, data: torch.Tensor, grid: Grid, inverse_data: torch.Tensor | None = None) -> None:
        """Take `data` (3, D, H, W): components (x, y, z) in LPS mm."""
        if tuple(data.shape) != (3, *grid.shape):
            raise InputError(
                f"a displacement field on a grid of shape {grid.shape} needs shape "
                f"{(3, *grid.shape)}; got {tuple(data.shape)}"
            )
        self.data, self.grid, self.inverse_data = data, grid, inverse_data

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        """Fixed points (..., 3) in LPS mm → moving points."""
        data = self.data.to(points.device, points.dtype)
        return points + sample(data, self.grid, points, fill=0.0).movedim(0, -1)

    def of_voxels(
        self, grid: Grid, slab: slice | None = None, device: torch.device | None = None
    ) -> torch.Tensor:
        """Moving points (D, H, W, 3) of voxels of `grid`: fast where its axes are parallel to the field's."""
        points = grid_points(grid, slab, device)
        if slab is not None:
            grid = grid.cropped((0, 0, slab.start), (*grid.size[:2], slab.stop))
        return points + resample(self.data.to(points), self.grid, grid, fill=0.0).movedim(0, -1)

    def inverse(self) -> DisplacementField:
        """The inverse displacement field on the same grid.

        Raises:
            InputError: there is none, because the field folds.
        """
        if self.inverse_data is not None:
            return DisplacementField(self.inverse_data, self.grid, self.data)
        inverse = invert(self.data, self.grid)
        missed = inversion_error(self.data, inverse, self.grid) > max(self.grid.spacing) / 2
        folded = jacobian_determinant(self.data, self.grid) <= 0
        share = max(float(places.double().mean()) for places in (missed, folded) if places.numel())
        if share > _MISSED_SHARE:
            raise InputError(
                f"the displacement field has no inverse: {100 * share:.0f} % of its voxels fold or tear; "
                "give the file of the inverse transform instead"
            )
        self.inverse_data = inverse
        return DisplacementField(inverse, self.grid, self.data)

    def __repr__(self) -> str:
        """Size, spacing and largest displacement."""
        largest = float(self.data.norm(dim=0).max())
        return f"DisplacementField(size={self.grid.size}, spacing={self.grid.spacing}, max={largest:.2f} mm)"


class Composite(Transform):
    """Transforms applied one after the other, the first in the list first."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        """Take the transforms in the order in which they are applied to a point."""
        self.transforms: list[Transform] = [
            part for t in transforms for part in (t.transforms if isinstance(t, Composite) else [t])
        ]

    @property
    def matrix(self) -> np.ndarray | None:
        """The whole as one 4×4 matrix, where all parts are affine."""
        matrix = np.eye(4)
        for transform in self.transforms:
            if not isinstance(transform, Affine):
                return None
            matrix = transform.matrix @ matrix
        return matrix

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        """Fixed points (..., 3) in LPS mm → moving points."""
        for transform in self.transforms:
            points = transform(points)
        return points

    def of_voxels(
        self, grid: Grid, slab: slice | None = None, device: torch.device | None = None
    ) -> torch.Tensor:
        """Moving points (D, H, W, 3) of the voxels of `grid`, or of its k-slices in `slab`."""
        first, *others = self.transforms or [Affine()]
        return Composite(others)(first.of_voxels(grid, slab, device))

    def inverse(self) -> Composite:
        """The inverses in reverse order."""
        return Composite([t.inverse() for t in reversed(self.transforms)])

    def __repr__(self) -> str:
        """The parts in order."""
        return f"Composite({self.transforms})"
