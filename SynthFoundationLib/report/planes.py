"""Where to cut: three planes through the body as a radiologist looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor

from ..geometry import Grid, Transform
from ..geometry.sampling import inside

# Pixels along the longest edge of a body; pixels are square in mm.
PIXELS = 400
# Voxels along the longest axis that the centre is estimated from.
_CENTRE_VOXELS = 24


@dataclass(frozen=True)
class Plane:
    """A cut.

    Attributes:
        name: axial, coronal or sagittal.
        grid: its pixels: x to the right, y down, one slice, LPS mm.
        edges: the patient's side at the left, right, top and bottom edge, such as "R", "L", "A", "P".
    """

    name: str
    grid: Grid
    edges: str

    @property
    def width_mm(self) -> float:
        """Physical width."""
        return float(self.grid.extent[0])


def three_planes(grid: Grid, centre: np.ndarray, pixels: int = PIXELS) -> tuple[Plane, ...]:
    """Axial, coronal and sagittal planes along the image axes, through `centre` (LPS mm).

    Right is on the left, as in radiology; the planes follow an oblique scan's own axes.
    """
    turned = grid.anatomical()
    (left, back, up), extents = turned.axes.T, turned.extent
    pixel = max(extents) / pixels
    views = (
        ("axial", (left, extents[0]), (back, extents[1]), "RLAP"),
        ("coronal", (left, extents[0]), (-up, extents[2]), "RLSI"),
        ("sagittal", (back, extents[1]), (-up, extents[2]), "APSI"),
    )
    return tuple(Plane(name, _cut(grid, centre, u, v, pixel), edges) for name, u, v, edges in views)


def body_centre(mask: Tensor, grid: Grid, transform: Transform, moving: Grid) -> np.ndarray:
    """The voxel of the body, as far as the moving scan covers it, nearest to its centre of mass (LPS mm).

    Args:
        mask: (D, H, W) bool, the body in the fixed scan.
        grid: of the mask.
        transform: fixed points → moving points.
        moving: the grid of the moving scan.
    """
    step = max(1, max(grid.size) // _CENTRE_VOXELS)
    index = mask[::step, ::step, ::step].nonzero().flip(1).numpy() * step
    if not len(index):
        return grid.center
    points = grid.to_physical(index)
    there = torch.from_numpy(moving.to_index(transform.apply(points)))
    covered = inside(there, moving.shape).numpy()
    points = points[covered] if covered.any() else points
    return points[np.linalg.norm(points - points.mean(0), axis=1).argmin()]


def _cut(
    grid: Grid,
    centre: np.ndarray,
    right: tuple[np.ndarray, float],
    down: tuple[np.ndarray, float],
    pixel: float,
) -> Grid:
    (u, width), (v, height) = right, down
    normal = np.cross(u, v)
    size = (ceil(width / pixel - 1e-3), ceil(height / pixel - 1e-3), 1)
    middle = grid.center + normal * ((centre - grid.center) @ normal)
    origin = middle - u * (size[0] - 1) / 2 * pixel - v * (size[1] - 1) / 2 * pixel
    return Grid(size, (pixel,) * 3, tuple(origin), tuple(np.stack((u, v, normal), 1).ravel()))
