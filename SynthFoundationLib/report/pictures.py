"""What a registration looks like in three planes: blend, checkerboard, features, local change of volume."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..features.pca import features_to_rgb
from ..geometry import Affine, Composite, DisplacementField, Grid, Transform, grid_points, resample
from ..images import Image, foreground
from ..images.normalise import Range, ranges
from .planes import Plane, body_centre, three_planes

# Colours in 0…1.
MOVED = np.array((1.0, 0.5, 0.1))
SMALLER = np.array((0.13, 0.40, 0.85))
LARGER = np.array((0.85, 0.20, 0.15))
FOLDED = np.array((1.0, 0.9, 0.0))
NOTHING = np.array((0.10, 0.10, 0.13))
# Voxels along a scan's longest side that tell where the patient is and how bright.
_GLANCE = 128
# Squares of a checkerboard along its longest edge.
_SQUARES = 9
# Changes of volume at which a colour scale may end.
_SCALE_ENDS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
_Slice: TypeAlias = "Callable[[Plane], np.ndarray]"


@dataclass(frozen=True)
class Scale:
    """A colour bar: colours in 0…1 from left to right, and the labels of its ends and middle."""

    colors: tuple[np.ndarray, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Picture:
    """One way of looking.

    Attributes:
        title, explanation: what is seen, in plain words.
        planes: where it was cut.
        rows: what a row of cuts shows, such as "before", and its cuts (H, W, 3) uint8, one per plane.
        scale: what the colours mean, if they mean a number.
    """

    title: str
    explanation: str
    planes: tuple[Plane, ...]
    rows: tuple[tuple[str, tuple[np.ndarray, ...]], ...]
    scale: Scale | None = None


@torch.no_grad()
def draw(
    fixed: Image, moving: Image, transform: Transform, feature_maps: tuple[Image, Image] | None = None
) -> list[Picture]:
    """Draw a registration through the centre of the body; of several contrasts, the first.

    "Before" is the moving image where the headers alone put it.
    """
    near = fixed.glanced_at(_GLANCE)
    body = foreground(near)
    planes = three_planes(fixed.grid, body_centre(body, near.grid, transform, moving.grid))
    still = _cutter(fixed, None, ranges(near, body)[0])
    inside = _cutter(Image(body.float(), near.grid), None, None)
    scale = ranges(moving.glanced_at(_GLANCE))[0]
    before, after = (_cutter(moving, through, scale) for through in (None, transform))
    pictures = [
        Picture(
            "Blend",
            "The fixed scan in grey, the moving scan over it in orange. Outlines that lie on each other "
            "match; a doubled outline does not.",
            planes,
            _before_and_after(planes, still, before, after, blend),
        ),
        Picture(
            "Checkerboard",
            "Squares of both scans by turns. Follow a contour from square to square: where it is "
            "aligned, it does not jump. Squares without a picture lie outside the moving scan.",
            planes,
            _before_and_after(planes, still, before, after, checkerboard),
        ),
    ]
    if feature_maps is not None:
        pictures.append(_features(planes, inside, *feature_maps))
    if (bending := _bending(transform)) is not None:
        pictures.append(_volume_change(planes, still, inside, transform, bending))
    return pictures


def blend(fixed: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Grey (H, W) under orange (H, W), both in 0…1 → (H, W, 3) in 0…1; NaN in `moved` leaves grey alone."""
    cover = np.nan_to_num(moved)[..., None]
    grey = fixed[..., None] * np.ones(3)
    return np.where(np.isnan(moved)[..., None], 0.8 * grey, 0.55 * grey + 0.6 * cover * MOVED)


def checkerboard(fixed: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Squares of either (H, W) in 0…1 by turns → (H, W, 3); NaN in `moved` is drawn as nothing."""
    edge = math.ceil(max(fixed.shape) / _SQUARES)
    row, column = np.indices(fixed.shape) // edge
    theirs = (row + column) % 2 == 1
    grey = np.where(theirs, np.nan_to_num(moved), fixed)[..., None] * np.ones(3)
    return np.where((theirs & np.isnan(moved))[..., None], NOTHING, grey)


def log_jacobian(transform: Transform, points: Tensor, step_mm: float) -> Tensor:
    """Log-Jacobian of the transform at points (..., 3), from points `step_mm` away; NaN where it folds."""
    columns = []
    for axis in range(3):
        step = torch.zeros(3, dtype=points.dtype)
        step[axis] = step_mm
        columns.append((transform(points + step) - transform(points - step)) / (2 * step_mm))
    determinant = torch.linalg.det(torch.stack(columns, -1))
    return torch.where(determinant > 0, determinant.clamp_min(1e-9).log(), torch.nan)


def _before_and_after(
    planes: Sequence[Plane],
    still: _Slice,
    before: _Slice,
    after: _Slice,
    drawn: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> tuple[tuple[str, tuple[np.ndarray, ...]], ...]:
    rows = []
    for name, moving in (("before", before), ("after", after)):
        cuts = [moving(plane) for plane in planes]
        missing = all(np.isnan(cut).all() for cut in cuts)
        drawings = (_bytes(drawn(still(p), cut)) for p, cut in zip(planes, cuts, strict=True))
        rows.append((f"{name}: the moving scan lies elsewhere" if missing else name, tuple(drawings)))
    return tuple(rows)


def _features(planes: tuple[Plane, ...], inside: _Slice, fixed: Image, moved: Image) -> Picture:
    colors = features_to_rgb([fixed.data, moved.data])
    rows = []
    for name, color, image in zip(("fixed", "moved"), colors, (fixed, moved), strict=True):
        cuts = (_cut(color, image.grid, p, None, 0.0).numpy() * _lit(inside(p)) for p in planes)
        rows.append((name, tuple(_bytes(cut.transpose(1, 2, 0)) for cut in cuts)))
    return Picture(
        "Features",
        "What the scans were compared by, as colours (their first three principal components). The same "
        "anatomy should have the same colour in both rows, whatever the contrast.",
        planes,
        tuple(rows),
    )


def _volume_change(
    planes: tuple[Plane, ...],
    still: _Slice,
    inside: _Slice,
    transform: Transform,
    bending: DisplacementField,
) -> Picture:
    overall = _overall_log_volume(transform)
    step = min(bending.grid.spacing)
    maps = [log_jacobian(transform, grid_points(p.grid)[0], step).numpy() - overall for p in planes]
    end = _scale_end(np.concatenate([one.ravel() for one in maps]))
    tinted = (
        _tinted(still(p), one, end) * _lit(inside(p))[..., None] for p, one in zip(planes, maps, strict=True)
    )
    cuts = tuple(_bytes(one) for one in tinted)
    factor = f"{math.exp(end):.4g}"
    return Picture(
        "Local change of volume",
        "Red: tissue is larger in the moving scan and was shrunk to fit; blue: it is smaller and was grown "
        "(log-Jacobian of the deformation, without the overall size). It should be smooth; yellow would be "
        "a fold.",
        planes,
        (("over the fixed scan", cuts),),
        Scale((SMALLER, np.ones(3), LARGER), (f"{factor} × smaller", "same", f"{factor} × larger")),
    )


def _lit(inside: np.ndarray) -> np.ndarray:
    """Brightness (H, W): full in the body, little around it."""
    return 0.25 + 0.75 * np.nan_to_num(inside)


def _tinted(grey: np.ndarray, log_volume: np.ndarray, end: float) -> np.ndarray:
    """Grey (H, W) in 0…1 coloured by log volumes (H, W) up to ±`end`."""
    amount = np.clip(np.nan_to_num(log_volume) / end, -1, 1)[..., None]
    color = 1 - np.abs(amount) * (1 - np.where(amount < 0, SMALLER, LARGER))
    return np.where(np.isnan(log_volume)[..., None], FOLDED, color * (0.25 + 0.75 * grey[..., None]))


def _scale_end(log_volume: np.ndarray) -> float:
    """The log of the least round factor that holds nearly all changes."""
    known = np.abs(log_volume[np.isfinite(log_volume)])
    most = float(np.quantile(known, 0.99)) if len(known) else 0.0
    return next((math.log(f) for f in _SCALE_ENDS if math.log(f) >= most), math.log(_SCALE_ENDS[-1]))


def _parts(transform: Transform) -> list[Transform]:
    return transform.transforms if isinstance(transform, Composite) else [transform]


def _bending(transform: Transform) -> DisplacementField | None:
    return next((part for part in _parts(transform) if isinstance(part, DisplacementField)), None)


def _overall_log_volume(transform: Transform) -> float:
    affine = [part.matrix[:3, :3] for part in _parts(transform) if isinstance(part, Affine)]
    return sum(float(np.linalg.slogdet(matrix)[1]) for matrix in affine)


def _cutter(image: Image, transform: Transform | None, scale: Range | None) -> _Slice:
    """Cuts (H, W) of the first contrast, in 0…1 where a scale is given, NaN outside of it."""

    def cut(plane: Plane) -> np.ndarray:
        seen = _cut(image.data[:1], image.grid, plane, transform, math.nan)
        return (seen if scale is None else scale.of(seen))[0].numpy()

    return cut


def _cut(volume: Tensor, grid: Grid, plane: Plane, transform: Transform | None, fill: float) -> Tensor:
    return resample(volume, grid, plane.grid, transform, fill=fill)[:, 0]


def _bytes(rgb: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(np.nan_to_num(rgb), 0, 1)).astype(np.uint8)
