"""A regular voxel grid in physical space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import SimpleITK as sitk

Number = TypeVar("Number", int, float)
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_ORTHONORMAL_TOLERANCE = 1e-3
_PERSON_MM = 50.0  # what is shorter is no part of a person


@dataclass(frozen=True)
class Grid:
    """Voxel centres of an image in LPS millimetres.

    Attributes:
        size: voxels along the (x, y, z) index axes, as SimpleITK orders them.
        spacing: mm between voxel centres along the same axes.
        origin: LPS mm of the centre of voxel (0, 0, 0).
        direction: row-major 3×3; column a is the physical direction of index axis a.

    Raises:
        InputError: sizes below 1, spacing not positive, numbers not finite, or axes not orthonormal.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = _IDENTITY

    def __post_init__(self) -> None:
        """Normalise the fields to plain tuples and refuse impossible geometry."""
        object.__setattr__(self, "size", tuple(int(n) for n in self.size))
        for name in ("spacing", "origin", "direction"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        _check(self)

    @classmethod
    def from_sitk(cls, image: sitk.Image) -> Grid:
        """The grid of a 3-D SimpleITK image."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Tensor shape (D, H, W), the reverse of `size`."""
        return self.size[::-1]

    @property
    def axes(self) -> np.ndarray:
        """3×3 matrix whose columns are the unit index axes in LPS."""
        return np.array(self.direction).reshape(3, 3)

    @property
    def matrix(self) -> np.ndarray:
        """4×4 float64: homogeneous index (i, j, k) → LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.axes * self.spacing
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def inverse_matrix(self) -> np.ndarray:
        """4×4 float64: LPS mm → homogeneous index (i, j, k)."""
        return np.linalg.inv(self.matrix)

    @property
    def extent(self) -> np.ndarray:
        """Edge lengths of the box that the voxels fill, in mm."""
        return np.array(self.size) * np.array(self.spacing)

    @property
    def center(self) -> np.ndarray:
        """LPS mm of the middle of that box."""
        return self.to_physical((np.array(self.size) - 1) / 2)

    @property
    def corners(self) -> np.ndarray:
        """LPS mm of the middles of the voxels at the corners of that box (8, 3)."""
        return self.to_physical(np.array(np.meshgrid(*[(0, n - 1) for n in self.size])).reshape(3, -1).T)

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.size)

    @property
    def negligible(self) -> float:
        """A length, mm, below which places count as one; voxels of micro-CT may have 0.001 mm."""
        return min(1e-3, *(0.01 * s for s in self.spacing))

    @property
    def millimetre(self) -> float:
        """What a millimetre of a person is in this scan, mm: less in what is small, such as a mouse."""
        return min(1.0, float(self.extent.max()) / _PERSON_MM)

    def to_physical(self, index: np.ndarray | Sequence[float]) -> np.ndarray:
        """Continuous indices (..., 3) in (i, j, k) order → LPS mm."""
        return np.asarray(index, float) @ self.matrix[:3, :3].T + self.origin

    def to_index(self, points: np.ndarray | Sequence[float]) -> np.ndarray:
        """LPS mm (..., 3) → continuous indices in (i, j, k) order."""
        return (np.asarray(points, float) - self.origin) @ self.inverse_matrix[:3, :3].T

    def with_spacing(self, spacing: float | Sequence[float]) -> Grid:
        """The same box in voxels of another spacing; kept centred where it does not divide evenly."""
        wanted = np.broadcast_to(np.asarray(spacing, float), 3)
        size = np.maximum(1, np.ceil(self.extent / wanted - 1e-3)).astype(int)
        return self._centred(size, wanted)

    def no_finer_than(self, spacing: float) -> Grid:
        """The same box in voxels of at least `spacing` mm along each axis; itself where they are so."""
        coarser = self.with_spacing([max(spacing, own) for own in self.spacing])
        return self if coarser.size == self.size else coarser

    def anatomical(self) -> Grid:
        """The same voxels with index axes nearest to left, back and up; oblique ones stay oblique."""
        from scipy.optimize import linear_sum_assignment

        columns = linear_sum_assignment(-np.abs(self.axes))[1]
        axes, size = self.axes[:, columns], np.array(self.size)[columns]
        ahead = np.diag(axes) >= 0
        first = np.zeros(3)
        first[columns] = np.where(ahead, 0, size - 1)
        return Grid(
            tuple(size),
            tuple(np.array(self.spacing)[columns]),
            tuple(self.to_physical(first)),
            tuple((axes * np.where(ahead, 1.0, -1.0)).ravel()),
        )

    def padded(self, voxels: int | Sequence[int]) -> Grid:
        """The grid with that many more voxels on both sides of each axis."""
        margin = np.broadcast_to(np.asarray(voxels, int), 3)
        return self._centred(np.array(self.size) + 2 * margin, np.array(self.spacing))

    def coarsened(self, factor: int) -> Grid:
        """Voxels that are `factor`³ voxels of this grid, the last ones reaching beyond it."""
        if factor == 1:
            return self
        size = [-(-n // factor) for n in self.size]
        origin = self.to_physical([(factor - 1) / 2] * 3)
        return Grid(_three(size), _three(s * factor for s in self.spacing), tuple(origin), self.direction)

    def refined(self, factor: int) -> Grid:
        """Voxels of which `factor`³ fill one of this grid: what `coarsened` makes this grid of."""
        if factor == 1:
            return self
        origin = self.to_physical([(1 / factor - 1) / 2] * 3)
        size, spacing = (n * factor for n in self.size), (s / factor for s in self.spacing)
        return Grid(_three(size), _three(spacing), tuple(origin), self.direction)

    def cropped(self, start: Sequence[int], stop: Sequence[int]) -> Grid:
        """The voxels from index `start` up to, but not including, `stop`."""
        size = _three(b - a for a, b in zip(start, stop, strict=True))
        return Grid(size, self.spacing, tuple(self.to_physical(start)), self.direction)

    def padded_to_multiple(self, multiple: int) -> Grid:
        """The grid grown alike at both ends until each size divides by `multiple`."""
        size = -(-np.array(self.size) // multiple) * multiple
        return self._centred(size, np.array(self.spacing))

    def _centred(self, size: np.ndarray, spacing: np.ndarray) -> Grid:
        origin = self.center - self.axes @ ((size - 1) / 2 * spacing)
        return Grid(tuple(size), tuple(spacing), tuple(origin), self.direction)

    def same_space(self, other: Grid, tolerance: float | None = None) -> bool:
        """Whether both grids have the same voxels, to `tolerance` mm (`negligible` by default)."""
        tolerance = self.negligible if tolerance is None else tolerance
        if self.size != other.size:
            return False
        return bool(np.abs(self.corners - other.corners).max() <= tolerance)


def _three(values: Iterable[Number]) -> tuple[Number, Number, Number]:
    first, second, third = values
    return first, second, third


def _check(grid: Grid) -> None:
    if len(grid.size) != 3 or len(grid.spacing) != 3 or len(grid.origin) != 3 or len(grid.direction) != 9:
        raise InputError(
            f"a grid needs 3 sizes, 3 spacings, 3 origins and 9 direction cosines; "
            f"got {len(grid.size)}, {len(grid.spacing)}, {len(grid.origin)} and {len(grid.direction)}"
        )
    if min(grid.size) < 1:
        raise InputError(f"grid size {grid.size} is not possible; every axis needs at least one voxel")
    if not all(math.isfinite(v) for v in (*grid.spacing, *grid.origin, *grid.direction)):
        raise InputError("spacing, origin and direction must be finite numbers; repair the image header")
    if min(grid.spacing) <= 0:
        raise InputError(f"voxel spacing {grid.spacing} mm must be positive; repair the image header")
    error = np.abs(grid.axes.T @ grid.axes - np.eye(3)).max()
    if error > _ORTHONORMAL_TOLERANCE:
        raise InputError(
            f"the image axes are not perpendicular unit vectors (off by {error:.3g}); "
            "sheared or singular headers are not supported: resample the image to a regular grid first"
        )
