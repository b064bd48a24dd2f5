"""Interpolation: the only place that knows `grid_sample` coordinates.

``align_corners=False`` throughout: voxel i of n sits at (2i + 1)/n − 1, which is defined for n = 1 and lets
the same numbers mean the same places at every resolution. The border rule is ITK's: the outermost voxel is
valid up to half a voxel beyond its centre, everything farther is `fill`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from . import lookup, separable
from .antialiasing import Blur

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .antialiasing import Cells
    from .grid import Grid
    from .transforms import Transform

Interpolation = Literal["linear", "nearest"]
Sizes = TypeVar("Sizes", float, torch.Tensor)
_MODES = {"linear": "bilinear", "nearest": "nearest"}
_SLAB_POINTS = 2_000_000
# Items of a batch for each thread, and the least number of points in one.
_HANDS = 4
_LEAST_POINTS = 1024
# Points of a displacement at a time, or as many slices as there are threads.
_SLICE_POINTS = 262_144


def normalised(index: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Continuous indices (..., 3) in (i, j, k) order → `grid_sample` coordinates for a (D, H, W) volume."""
    first, step = _first_and_step(torch.tensor(shape[::-1], dtype=index.dtype, device=index.device))
    return torch.addcmul(first, index, step)


def _first_and_step(size: Sizes) -> tuple[Sizes, Sizes]:
    """Where the first of so many voxels lies in `grid_sample` coordinates, and how far apart they are."""
    return 1 / size - 1, 2 / size


def sample_at_index(
    volume: torch.Tensor,
    index: torch.Tensor,
    mode: Interpolation = "linear",
    fill: float | None = None,
) -> torch.Tensor:
    """Values of a (C, D, H, W) volume at continuous indices (..., 3) in (i, j, k) order → (C, ...).

    `fill` is the value farther than half a voxel outside; None repeats the border voxel instead.
    """
    depth, height, width = volume.shape[1:]
    shape = (depth, height, width)
    if mode == "linear" and lookup.pays(volume, index.numel() // 3):
        values = lookup.Lookup(volume)(index)
    else:
        values = _dealt_out(volume, normalised(index, shape), mode)
    return _filled(values, index, shape, fill)


def _dealt_out(volume: torch.Tensor, places: torch.Tensor, mode: Interpolation) -> torch.Tensor:
    """`grid_sample` at places (..., 3) → (C, ...); on a CPU, dealt out as a batch.

    There each item of a batch is one thread's work: one volume at many places would be that of a single one.
    """
    points = places.reshape(-1, 3)
    hands = 1
    if volume.device.type == "cpu":
        hands = max(1, min(_HANDS * torch.get_num_threads(), len(points) // _LEAST_POINTS))
    each = math.ceil(len(points) / hands)
    dealt = F.pad(points, (0, 0, 0, hands * each - len(points))).view(hands, 1, 1, each, 3)
    values = _batch(volume, dealt, mode).reshape(len(volume), hands * each)[:, : len(points)]
    return values.reshape(len(volume), *places.shape[:-1])


def _batch(volume: torch.Tensor, places: torch.Tensor, mode: Interpolation) -> torch.Tensor:
    """`grid_sample` of one volume at a batch of places (N, D, H, W, 3) → (C, N, D, H, W)."""
    volumes = volume.expand(len(places), *volume.shape)
    return F.grid_sample(volumes, places, _MODES[mode], "border", align_corners=False).movedim(1, 0)


def displaced(volume: torch.Tensor, displacement: torch.Tensor) -> torch.Tensor:
    """Volume (C, D, H, W) read at i + d(i), d (3, D, H, W) in voxels; borders are repeated.

    What `sample_at_index` makes of these places, without forming all of them; each slice is dealt out.
    """
    depth, height, width = displacement.shape[1:]
    lattice, steps = [], []
    for axis, size in enumerate(volume.shape[:0:-1]):
        across = [1, 1, 1]
        across[2 - axis] = displacement.shape[3 - axis]
        index = torch.arange(across[2 - axis], dtype=displacement.dtype, device=displacement.device)
        first, step = _first_and_step(float(size))
        lattice.append((first + step * index).view(across))
        steps.append(step)
    values = volume.new_empty((len(volume), depth, height, width))
    rows = min(depth, max(torch.get_num_threads(), _SLICE_POINTS // (height * width)))
    places = displacement.new_empty((rows, 1, height, width, 3))
    for start in range(0, depth, rows):
        slab = slice(start, min(start + rows, depth))
        here = places[: slab.stop - slab.start]
        for axis, (own, step) in enumerate(zip(lattice, steps, strict=True)):
            along = own if axis < 2 else own[slab]
            torch.add(along, displacement[axis, slab], alpha=step, out=here[:, 0, ..., axis])
        values[:, slab] = _batch(volume, here, "linear")[:, :, 0]
    return values


def _filled(
    values: torch.Tensor, index: torch.Tensor, shape: tuple[int, int, int], fill: float | None
) -> torch.Tensor:
    """Values (C, ...) with `fill` where the indices lie outside a volume of that shape; None leaves them."""
    if fill is None:
        return values
    return torch.where(inside(index, shape), values, values.new_tensor(fill))


def inside(index: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Whether continuous indices (..., 3) lie in the box that the voxels fill → bool (...)."""
    x, y, z = _within(index.unbind(-1), shape)
    return x.logical_and_(y).logical_and_(z)


def _within(places: Sequence[torch.Tensor], shape: tuple[int, int, int]) -> list[torch.Tensor]:
    """The same along x, y and z, each by itself."""
    return [(place >= -0.5) & (place <= n - 0.5) for place, n in zip(places, shape[::-1], strict=True)]


def sample(
    volume: torch.Tensor,
    grid: Grid,
    points: torch.Tensor,
    mode: Interpolation = "linear",
    fill: float | None = 0.0,
) -> torch.Tensor:
    """Values of a (C, D, H, W) volume on `grid` at LPS mm `points` (..., 3) → (C, ...)."""
    return sample_at_index(volume, _affine(grid.inverse_matrix, points), mode, fill)


def grid_points(grid: Grid, slab: slice | None = None, device: torch.device | None = None) -> torch.Tensor:
    """LPS mm of the voxel centres of `grid` (of its k-slices in `slab`) → (D, H, W, 3) float32."""
    return _lattice(grid.matrix, grid, slab, device)


def resample(
    volume: torch.Tensor,
    source: Grid,
    target: Grid,
    transform: Transform | None = None,
    mode: Interpolation = "linear",
    fill: float | None = 0.0,
    antialias: bool = False,
) -> torch.Tensor:
    """A (C, D, H, W) volume on `source` read where `transform` sends the voxels of `target`.

    With `antialias` the volume is first smoothed along the axes that `target` samples more coarsely. Bool
    volumes are read as shares, 0…1.
    """
    blur = Blur.between(source, target) if antialias else None
    matrix = _index_map(source, target, transform)
    if mode == "linear" and matrix is not None and separable.parallel(matrix, target):
        return _read_along_axes(volume, source.shape, matrix, target, blur, fill)
    if volume.dtype == torch.bool:
        volume = volume.float()
    if blur is not None:
        volume = blur.of(volume)
    output = volume.new_empty((volume.shape[0], *target.shape))
    for slab, index in indices(source, target, transform, volume.device):
        output[:, slab] = _read(volume, index, source.shape, None if blur is None else blur.cells, mode, fill)
    return output


def _read_along_axes(
    volume: torch.Tensor,
    shape: tuple[int, int, int],
    matrix: np.ndarray,
    target: Grid,
    blur: Blur | None,
    fill: float | None,
) -> torch.Tensor:
    """`resample` of a volume of that shape by a matrix that is `separable.parallel`."""
    lattice, offset = _along(matrix, target, None, None), matrix[:3, 3].astype(np.float32)
    x, y, z = (part[axis] for axis, part in enumerate(lattice))
    positions = [x, y + float(offset[1]), z + float(offset[2])]
    values = separable.read(volume, positions, blur)
    if fill is None:
        return values
    x, y, z = _within(positions, shape)
    held = z[:, None, None] & y[:, None] & x
    return values if held.all() else torch.where(held.to(values.device), values, values.new_tensor(fill))


def covered(source: Grid, target: Grid, transform: Transform | None, device: torch.device) -> torch.Tensor:
    """(1, D, H, W): 1 where `transform` sends voxels of `target` into `source`, else 0.

    What `resample` makes of a volume of ones with 0 around it, at half the time.
    """
    output = torch.empty((1, *target.shape), device=device)
    for slab, index in indices(source, target, transform, device):
        output[0, slab] = inside(index, source.shape)
    return output


def _index_map(source: Grid, target: Grid, transform: Transform | None) -> np.ndarray | None:
    """Where voxels of `target` lie, as indices of `source`: a matrix (4, 4), or None where it bends."""
    matrix = np.eye(4) if transform is None else getattr(transform, "matrix", None)
    return None if matrix is None else source.inverse_matrix @ matrix @ target.matrix


def indices(
    source: Grid, target: Grid, transform: Transform | None, device: torch.device
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Some k-slices of `target` after the other, and where their voxels lie, as indices (D, H, W, 3)."""
    matrix = _index_map(source, target, transform)
    rows = max(1, _SLAB_POINTS // (target.shape[1] * target.shape[2]))
    for start in range(0, target.shape[0], rows):
        slab = slice(start, min(start + rows, target.shape[0]))
        if matrix is not None:
            yield slab, _lattice(matrix, target, slab, device)
        else:
            assert transform is not None
            yield slab, _affine(source.inverse_matrix, transform.of_voxels(target, slab, device))


def _read(
    volume: torch.Tensor,
    index: torch.Tensor,
    shape: tuple[int, int, int],
    cells: Cells | None,
    mode: Interpolation,
    fill: float | None,
) -> torch.Tensor:
    """Like `sample_at_index`, where the volume holds the means of cells of voxels of the indexed `shape`."""
    if cells is None:
        return sample_at_index(volume, index, mode, fill)
    values = sample_at_index(volume, cells.of_voxels(index), mode)
    return _filled(values, index, shape, fill)


def _lattice(matrix: np.ndarray, grid: Grid, slab: slice | None, device: torch.device | None) -> torch.Tensor:
    """`matrix` applied to the voxel indices of `grid` → (D, H, W, 3), without forming the indices."""
    parts = _along(matrix, grid, slab, device)
    x, y, z = (
        part.T.reshape(-1) if a == 0 else part.T.repeat(1, grid.size[0]) for a, part in enumerate(parts)
    )
    # In long rows: adding three numbers at a time is slow.
    return (z[:, None] + (y + x)).unflatten(-1, (grid.size[0], 3))


def _along(
    matrix: np.ndarray, grid: Grid, slab: slice | None, device: torch.device | None
) -> list[torch.Tensor]:
    """What each index axis of `grid` adds to the three results of `matrix`, (3, n) each."""
    slab = slab or slice(0, grid.shape[0])
    starts, stops = (0, 0, slab.start), (*grid.size[:2], slab.stop)
    columns = torch.as_tensor(matrix[:3], dtype=torch.float32, device=device)
    parts = [
        columns[:, a, None] * torch.arange(start, stop, dtype=torch.float32, device=device)
        for a, (start, stop) in enumerate(zip(starts, stops, strict=True))
    ]
    parts[0] += columns[:, 3:]
    return parts


def _affine(matrix: np.ndarray, points: torch.Tensor) -> torch.Tensor:
    m = torch.as_tensor(matrix, dtype=points.dtype, device=points.device)
    return points @ m[:3, :3].T + m[:3, 3]
