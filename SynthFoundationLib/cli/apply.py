"""`synthfoundation apply`: bring an image, labels or points through transforms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .choices import Interpolation, Kind
from .console import say
from .overwriting import refuse_overwriting

if TYPE_CHECKING:
    from ..geometry import Transform

_INVERSE = "inverse:"


def apply(
    moving: Annotated[
        Path,
        typer.Argument(metavar="MOVING", help="Image, label map or points in the space of the moving image."),
    ],
    transform: Annotated[
        list[str],
        typer.Option(
            "--transform",
            "-t",
            metavar="[inverse:]FILE",
            help="ITK transform or displacement field, fixed to moving. Several are chained from "
            "fixed to moving.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    reference: Annotated[
        Path | None,
        typer.Option("--reference", "-r", help="Image on whose grid to resample: usually the fixed image."),
    ] = None,
    kind: Annotated[
        Kind,
        typer.Option("--as", help="What MOVING holds; auto: points and .seg.nrrd by name, else an image."),
    ] = Kind.auto,
    interpolation: Annotated[
        Interpolation, typer.Option(help="Labels: linear takes the label that covers most of a voxel.")
    ] = Interpolation.linear,
    fill: Annotated[
        float | None, typer.Option(help="Value outside an image. [default: its least value]")
    ] = None,
) -> None:
    """Bring what lies in the moving image's space into the fixed image's space.

    Images and label maps are resampled once, whatever the number of transforms. Points move the same way:
    those of the moving image to the fixed image. With inverse:FILE a transform is used the other way round.
    """
    refuse_overwriting([output], [moving, reference, *(name.removeprefix(_INVERSE) for name in transform)])
    kind = _kind(moving) if kind is Kind.auto else kind
    if kind is Kind.points:
        _apply_to_points(moving, transform, output)
    else:
        _apply_to_volume(moving, transform, output, reference, kind, interpolation, fill)
    say(f"Wrote {output}")


def _kind(path: Path) -> Kind:
    name = path.name.lower()
    if name.endswith((".json", ".fcsv", ".csv")):
        return Kind.points
    return Kind.labels if name.endswith(".seg.nrrd") else Kind.image


def _apply_to_points(moving: Path, transforms: list[str], output: Path) -> None:
    from ..points import Points, read_points, write_points

    points = read_points(moving)
    write_points(Points(_chain(transforms, invert=True).apply(points.positions), points.labels), output)


def _apply_to_volume(
    moving: Path,
    transforms: list[str],
    output: Path,
    reference: Path | None,
    kind: Kind,
    interpolation: Interpolation,
    fill: float | None,
) -> None:
    from ..errors import InputError
    from ..geometry import Grid
    from ..images import read_image, read_labels, warp_image, warp_labels, write_image, write_labels
    from ..images.image import MAX_VALUE, check_image_place
    from ..images.reading import read_volume

    if fill is not None and not abs(fill) <= MAX_VALUE:
        raise InputError(f"--fill is {fill:g}; give a number within ±{MAX_VALUE:g}")
    if kind is Kind.image:
        check_image_place(output)
    if reference is None:
        raise InputError("an image needs --reference: the fixed image, on whose grid the result shall lie")
    grid = Grid.from_sitk(read_volume(reference, components=True))
    chain = _chain(transforms, invert=False)
    if kind is Kind.labels:
        write_labels(warp_labels(read_labels(moving), chain, grid, interpolation.value), output)
    else:
        write_image(warp_image(read_image(moving), chain, grid, interpolation.value, fill), output)


def _chain(names: list[str], *, invert: bool) -> Transform:
    """Fixed → moving in the order given, or with `invert` moving → fixed."""
    from ..geometry import Composite, read_transform

    parts = []
    for name in names:
        part = read_transform(name.removeprefix(_INVERSE))
        parts.append(part.inverse() if name.startswith(_INVERSE) != invert else part)
    return Composite(parts[::-1] if invert else parts)
