"""`synthfoundation evaluate-features`: do features find their place in another contrast?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .overwriting import refuse_overwriting


def evaluate_features(
    scans: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[A B]...", help="Pairs of aligned scans of different contrast."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Network to compare with MIND and intensity.")
    ] = None,
    synthetic: Annotated[int, typer.Option(min=0, help="Number of synthetic pairs.")] = 0,
    spacing: Annotated[float, typer.Option(min=0.2, max=10, help="Voxel size in mm.")] = 1.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="CSV to write.")
    ] = None,
) -> None:
    """Tell how many voxels find their place in the other scan within 5 mm, by features alone."""
    from ..errors import InputError
    from ..pretraining.evaluate import evaluate_features as run

    paths = scans or []
    if len(paths) % 2:
        raise InputError(f"{len(paths)} scans are no pairs; give an even number: A1 B1 A2 B2 …")
    refuse_overwriting([output], [*paths, weights])
    rows = run(weights, output, list(zip(paths[::2], paths[1::2], strict=True)), synthetic, spacing)
    typer.echo(f"{'pair':<32} {'features':<14} {'within 5 mm':>11} {'median mm':>9} {'chance':>7}")
    for row in rows:
        found = f"{row['within']:>11.3f} {row['median_mm']:>9.1f} {row['chance']:>7.3f}"
        typer.echo(f"{row['pair']:<32} {row['features']:<14} {found}")
