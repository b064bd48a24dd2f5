"""MRML geometry (RAS mm) ↔ grids and arrays of the library (LPS mm); nothing here enters the scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

GridDict: TypeAlias = "dict[str, Any]"  # size, spacing, origin, direction: as the worker takes and gives it

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # its own inverse
_ORTHONORMAL = 5e-4


def matrix_of(volume: Any, parent: np.ndarray | None = None) -> np.ndarray:
    """4×4: voxel index (i, j, k) → RAS mm, in the volume's own space or behind a linear `parent` (4×4)."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    own = array_of_matrix(matrix)
    return own if parent is None else parent @ own


def coarser(matrix: np.ndarray, step: int) -> np.ndarray:
    """The index matrix of every `step`-th voxel along each axis."""
    return matrix @ np.diag([step, step, step, 1.0])


def array_of_matrix(matrix: Any) -> np.ndarray:
    """The 4×4 array of a vtkMatrix4x4."""
    return np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


def vtk_matrix(array: np.ndarray) -> Any:
    """The vtkMatrix4x4 of a 4×4 array."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, float).ravel())
    return matrix


def is_orthonormal(matrix: np.ndarray) -> bool:
    """Whether the columns of an index matrix are perpendicular, as a grid of the library needs."""
    columns = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    return bool(np.abs(columns.T @ columns - np.eye(3)).max() < _ORTHONORMAL)


def grid_of(matrix: np.ndarray, size: Sequence[int]) -> GridDict:
    """The library's grid of `size` (i, j, k) voxels whose index matrix (→ RAS mm) is `matrix`."""
    lps = LPS_FROM_RAS @ matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return {
        "size": [int(n) for n in size],
        "spacing": spacing.tolist(),
        "origin": lps[:3, 3].tolist(),
        "direction": (lps[:3, :3] / spacing).ravel().tolist(),
    }


def matrix_of_grid(grid: GridDict) -> np.ndarray:
    """4×4: voxel index (i, j, k) → RAS mm of a grid of the library."""
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(grid["direction"], (3, 3)) * np.asarray(grid["spacing"])
    lps[:3, 3] = grid["origin"]
    return LPS_FROM_RAS @ lps


def ras_to_lps(matrix: np.ndarray) -> np.ndarray:
    """A 4×4 map of RAS points as a map of LPS points; the same function does the opposite."""
    return LPS_FROM_RAS @ matrix @ LPS_FROM_RAS


def flipped(points: np.ndarray) -> np.ndarray:
    """RAS points (N, 3) → LPS, and the other way round."""
    return np.asarray(points, float).reshape(-1, 3) * (-1, -1, 1)


def affine_transform(matrix: np.ndarray) -> Any:
    """The vtkTransform of a 4×4 map of LPS points."""
    transform = vtk.vtkTransform()
    transform.SetMatrix(vtk_matrix(ras_to_lps(matrix)))
    return transform


def displacement_transform(field: np.ndarray, grid: GridDict) -> Any:
    """The vtkOrientedGridTransform of a displacement field (3, k, j, i), LPS mm, linear between voxels.

    VTK goes on with the outermost displacement beyond the grid, the library with none: a border of zeros
    around the field makes both agree.
    """
    padded = np.pad(np.asarray(field, np.float64), ((0, 0), (1, 1), (1, 1), (1, 1)))
    vectors = np.ascontiguousarray(np.moveaxis(padded, 0, -1) * (-1, -1, 1))
    matrix = matrix_of_grid(grid)
    matrix[:3, 3] -= matrix[:3, :3].sum(1)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image = vtk.vtkImageData()
    image.SetDimensions(*vectors.shape[2::-1])
    image.SetSpacing(*spacing)
    image.SetOrigin(*matrix[:3, 3])
    image.GetPointData().SetScalars(numpy_to_vtk(vectors.reshape(-1, 3), deep=True))
    direction = np.eye(4)
    direction[:3, :3] = matrix[:3, :3] / spacing
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    transform.SetGridDirectionMatrix(vtk_matrix(direction))
    transform.SetInterpolationModeToLinear()
    return transform


def chain(transforms: Sequence[Any]) -> Any:
    """One vtkGeneralTransform that applies the transforms one after the other, the first one first."""
    general = vtk.vtkGeneralTransform()
    general.PostMultiply()
    for transform in transforms:
        general.Concatenate(transform)
    return general
