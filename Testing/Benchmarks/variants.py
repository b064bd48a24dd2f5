"""One pair in other clothes: how far from the unmodified result do variants of it end?

Usage: python Testing/Benchmarks/variants.py PAIRS [-c NAME …] [--only NAME …] [--seed N]
                                             [--transform KIND]

PAIRS holds folders with fixed.nii.gz and moving.nii.gz. The moving scan is stored in another order, given
wrong headers, cut, also to the size of an organ, or sampled otherwise, the fixed one sampled otherwise;
either is turned and filled up around with one value, as resampled scans are, or has a picture inside of a
circle only, as a CT of a patient who is too wide; and either is shown without its rim, as a brain without its
skull, or without its face, as for anonymity. Printed is the mean distance in mm between where both results
put a point of the patient, the wrong header undone; points that the unmodified result puts where a variant
has been cut off do not count.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from SynthFoundationLib.geometry import Affine, Composite, Grid, Transform, resample
from SynthFoundationLib.images import Image, as_image, foreground
from SynthFoundationLib.images.padding import padding_values
from SynthFoundationLib.registration import register
from SynthFoundationLib.registration.session import TransformKind

POINTS = 5_000
RIM = 0.06  # of the patient's length: what lies on a brain
FACE = 0.1  # of the patient: what lies foremost and lowest
TURNED = (15, -15, 15)
CIRCLE = 0.8
PLACES = ((0.0, 0.0, 0.0), (0.3, -0.3, 0.5), (-0.3, 0.3, -0.5))


class Variant(NamedTuple):
    """A pair that differs from another, the 4×4 map its moving header adds, and whether some was removed."""

    name: str
    fixed: Image
    moving: Image
    header: np.ndarray = np.eye(4)
    removed: bool = False


def on_matrix(data: torch.Tensor, matrix: np.ndarray) -> Image:
    """`data` as an image whose 4×4 index → mm matrix is this one."""
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    size = tuple(data.shape[:0:-1])
    return Image(data.contiguous(), Grid(size, spacing, matrix[:3, 3], (matrix[:3, :3] / spacing).ravel()))


def reordered(image: Image, order: Sequence[int], flipped: Sequence[bool]) -> Image:
    """The same voxels in the same places, stored in another order."""
    data = image.data.permute(0, *(3 - order[2 - n] for n in range(3)))
    into = np.zeros((4, 4))
    into[3, 3] = 1
    for new, old in enumerate(order):
        into[old, new] = -1 if flipped[new] else 1
        into[old, 3] = image.grid.size[old] - 1 if flipped[new] else 0
    data = data.flip([3 - n for n in range(3) if flipped[n]])
    return on_matrix(data, image.grid.matrix @ into)


def cropped(image: Image, start: Sequence[int], stop: Sequence[int]) -> Image:
    """The part of an image from voxel (i, j, k) to another."""
    (i, j, k), (x, y, z) = start, stop
    return Image(image.data[:, k:z, j:y, i:x].contiguous(), image.grid.cropped(start, stop))


def resampled(image: Image, spacing: float | Sequence[float]) -> Image:
    """The image on voxels of another size, mm."""
    grid = image.grid.with_spacing(spacing)
    return Image(resample(image.data, image.grid, grid, fill=None, antialias=True), grid)


def thickened(image: Image) -> Image:
    """The image on slices three times as thick, along its finest axis."""
    spacing = np.array(image.grid.spacing)
    spacing[spacing.argmin()] *= 3
    return resampled(image, tuple(spacing))


def turned(image: Image, degrees: Sequence[float], value: float = 0.0) -> Image:
    """The image on voxels that lie turned about x, y and z, with one value beyond where it ends.

    So are scans that were resampled into the voxels of another one.
    """
    grid = image.grid
    axes = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ grid.axes
    reach = np.abs((grid.corners - grid.center) @ axes).max(0)
    half = np.ceil(reach / grid.spacing)
    origin = grid.center - axes @ (half * grid.spacing)
    size = tuple(int(n) for n in 2 * half + 1)
    other = Grid(size, grid.spacing, tuple(origin), tuple(axes.ravel()))
    return Image(resample(image.data, grid, other, fill=value), other)


def encircled(image: Image, share: float) -> Image:
    """The image inside of the circle whose diameter is that share of its slices' longer side.

    Beyond is a value far below its darkest voxel, as CT scanners have it.
    """
    in_slice = zip(image.grid.size[:2], image.grid.spacing[:2], strict=True)
    i, j = ((np.arange(n) - (n - 1) / 2) * mm for n, mm in in_slice)
    radius = share * max(image.grid.extent[:2]) / 2
    outside = np.hypot(j[:, None], i) > radius
    beyond = float(image.data.amin()) - 1000
    return Image(torch.where(torch.from_numpy(outside), beyond, image.data), image.grid)


def lying_elsewhere(
    degrees: Sequence[float] = (0.0, 0.0, 0.0), shift: Sequence[float] = (0.0, 0.0, 0.0)
) -> np.ndarray:
    """4×4: turns about the origin around x, y and z, then a shift, as a wrong header would have it."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def apart(one: Transform, other: Transform, points: np.ndarray) -> np.ndarray:
    """Distances in mm between where two transforms put points (N, 3)."""
    return np.linalg.norm(one.apply(points) - other.apply(points), axis=1)


def organ(image: Image, share: float, where: Sequence[float]) -> Image:
    """A cube of that share of the patient's length, as if one organ had been scanned.

    `where`, from -1 to 1 along each axis, is how far from the middle of the patient it may lie.
    """
    held = foreground(image).nonzero().flip(1)
    first, behind = held.amin(0).numpy(), held.amax(0).numpy() + 1
    spacing = np.array(image.grid.spacing)
    size = np.minimum(np.rint(share * ((behind - first) * spacing).max() / spacing), behind - first)
    start = np.rint(first + (behind - first - size) * (1 + np.array(where)) / 2).astype(int)
    return cropped(image, start.tolist(), (start + size.astype(int)).tolist())


def peeled(image: Image, rim: float) -> Image:
    """The image without what lies so near the patient's surface, as a share of his length: a bare brain."""
    body = foreground(image)
    depth = distance_transform_edt(np.pad(body.numpy(), 1), image.grid.spacing[::-1])[1:-1, 1:-1, 1:-1]
    held = body.nonzero()
    length = ((held.amax(0) - held.amin(0) + 1).flip(0).numpy() * image.grid.spacing).max()
    return Image(image.data * torch.from_numpy(depth > rim * length), image.grid)


def defaced(image: Image, share: float) -> Image:
    """The image without that share of the patient, beyond a plane that faces forward and down."""
    every = np.indices(image.grid.shape)[::-1].reshape(3, -1).T
    height = (image.grid.to_physical(every) @ (0, -1, -1)).reshape(image.grid.shape)
    face = height > np.quantile(height[foreground(image).numpy()], 1 - share)
    air = next(iter(padding_values(image.data[0])), float(image.data.amin()))
    return Image(torch.where(torch.from_numpy(face), air, image.data), image.grid)


def variants(fixed: Image, moving: Image) -> Iterator[Variant]:
    """The pair in other clothes."""
    yield Variant("stored in another order", fixed, reordered(moving, (2, 0, 1), (False, True, True)))
    for degrees, shift in (
        ((0, 0, 180), (40, 0, -10)),
        ((90, 0, 0), (0, 50, 0)),
        ((20, -30, 25), (-20, 30, 0)),
    ):
        header = lying_elsewhere(degrees, shift)
        elsewhere = on_matrix(moving.data, header @ moving.grid.matrix)
        yield Variant(f"turned by {degrees} degrees, shifted by {shift} mm", fixed, elsewhere, header)
    for axis, name in enumerate("ijk"):
        start, stop = [0, 0, 0], list(moving.grid.size)
        start[axis] = stop[axis] // 5
        yield Variant(f"a fifth cut off along {name}", fixed, cropped(moving, start, stop))
    for share in (0.5, 0.33):
        for where in PLACES:
            piece = organ(moving, share, where)
            yield Variant(f"moving cut to {share} of its length, at {where}", fixed, piece)
    yield Variant("moving slices three times as thick", fixed, thickened(moving))
    yield Variant("fixed slices three times as thick", thickened(fixed), moving)
    yield Variant(
        "moving voxels half as large again", fixed, resampled(moving, 1.5 * min(moving.grid.spacing))
    )
    yield Variant(f"moving turned by {TURNED} degrees and filled up", fixed, turned(moving, TURNED))
    yield Variant(f"fixed turned by {TURNED} degrees and filled up", turned(fixed, TURNED), moving)
    circle = f"inside of a circle of {CIRCLE} of its width"
    yield Variant(f"moving {circle}", fixed, encircled(moving, CIRCLE), removed=True)
    yield Variant(f"fixed {circle}", encircled(fixed, CIRCLE), moving, removed=True)
    if not bool(foreground(fixed).all() or foreground(moving).all()):
        yield Variant("moving without its rim", fixed, peeled(moving, RIM), removed=True)
        yield Variant("fixed without its rim", peeled(fixed, RIM), moving, removed=True)
        yield Variant("moving without its face", fixed, defaced(moving, FACE), removed=True)
        yield Variant("fixed without its face", defaced(fixed, FACE), moving, removed=True)


def patient(image: Image, seed: int) -> np.ndarray:
    """Points (N, 3) in the patient, LPS mm."""
    inside = foreground(image).nonzero().flip(1).numpy()
    chosen = np.random.default_rng(seed).choice(len(inside), min(POINTS, len(inside)), replace=False)
    return image.grid.to_physical(inside[chosen])


def shown(image: Image, points: np.ndarray, patient_only: bool) -> np.ndarray:
    """Whether points (N, 3) lie in the image, or in the patient in it."""
    index = image.grid.to_index(points)
    last = np.array(image.grid.size) - 1
    inside = ((index >= 0) & (index <= last)).all(1)
    if patient_only:
        i, j, k = np.rint(index.clip(0, last)).astype(int).T
        inside &= foreground(image).numpy()[k, j, i]
    return inside


def compare(
    folder: Path, only: Sequence[str], seed: int, kind: TransformKind, tell: Callable[[str, np.ndarray], None]
) -> None:
    """Register a pair and its variants, and tell how far apart they end."""
    fixed, moving = (as_image(folder / f"{role}.nii.gz") for role in ("fixed", "moving"))
    points = patient(fixed, seed)
    plain = register(fixed, moving, transform=kind).transform
    for one in variants(fixed, moving):
        if only and not one.name.startswith(tuple(only)):
            continue
        found = register(one.fixed, one.moving, transform=kind).transform
        expected = Composite([plain, Affine(one.header)])
        there = shown(one.moving, expected.apply(points), one.removed)
        there &= shown(one.fixed, points, one.removed)
        tell(one.name, apart(found, expected, points[there]))


def main() -> None:
    """Print a line per variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("-c", "--case", nargs="+", default=[], help="beginnings of the names of the pairs")
    parser.add_argument("--only", nargs="+", default=[], help="beginnings of the names of the variants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--transform", choices=get_args(TransformKind), default="deformable")
    given = parser.parse_args()
    for folder in sorted(path.parent for path in given.pairs.glob("*/fixed.nii.gz")):
        if given.case and not folder.name.startswith(tuple(given.case)):
            continue
        print(folder.name)
        compare(
            folder,
            given.only,
            given.seed,
            given.transform,
            lambda name, far: print(
                f"  {name:<52} {far.mean():6.2f} mm, 95 % below {np.quantile(far, 0.95):.2f}", flush=True
            ),
        )


if __name__ == "__main__":
    main()
