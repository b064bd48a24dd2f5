"""`synthfoundation demo`: make two scans of different contrast and register them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .choices import LARGEST_SEED
from .console import progress_bar, say
from .register import Preset

if TYPE_CHECKING:
    from ..geometry import Transform
    from ..images import Image


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for scans and results.")
    ] = Path("demo-output"),
    preset: Annotated[Preset, typer.Option(help="How much time to take.")] = Preset.default,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Another seed is another head.")] = 0,
) -> None:
    """Make a T1- and a T2-weighted scan of a head that turned and deformed in between, and align them.

    The true deformation is known, so the result can be judged in mm. Nothing is downloaded.
    """
    from ..demo import make_pair
    from ..files import output_folder
    from ..geometry import Affine
    from ..images import write_image
    from ..registration import register

    with output_folder(output) as folder:
        say("Making two scans of a head …")
        fixed, moving, truth = make_pair(seed)
        scans = folder / "fixed.nii.gz", folder / "moving.nii.gz"
        write_image(fixed, scans[0])
        write_image(moving, scans[1])
        with progress_bar("registering") as progress:
            result = register(*scans, preset=preset.value, seed=seed, progress=progress)
            result.save(folder)
    before, after = (error_mm(t, truth, fixed) for t in (Affine(), result.transform))
    typer.echo(f"Mean error in the head: {before:.1f} mm before, {after:.2f} mm after registration")
    typer.echo(f"Report with pictures:   {folder / 'report.html'}")
    typer.echo(f"Scans and results:      {folder}")


def error_mm(transform: Transform, truth: Transform, fixed: Image) -> float:
    """Mean distance between where two transforms send the foreground of the fixed image, mm."""
    from ..geometry import grid_points
    from ..images import foreground

    points = grid_points(fixed.grid)[foreground(fixed)]
    return float((transform(points) - truth(points)).norm(dim=-1).mean())
