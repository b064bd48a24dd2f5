"""`synthfoundation evaluate`: score label maps against references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import progress_bar, say


def evaluate(
    predictions: Annotated[Path, typer.Option(metavar="DIR", help="Label maps to score.")],
    labels: Annotated[Path, typer.Option(metavar="DIR", help="References, called the same.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for table, CSV, plots and pictures.")
    ],
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Images of the same names, to draw the worst cases on.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(metavar="MM", min=0.0, help="Of the surface Dice: how far surfaces may be apart.")
    ] = 1.0,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst cases to draw.")] = 3,
) -> None:
    """Measure Dice, surface Dice, HD95 and volume error of each label."""
    from ..files import output_folder
    from ..segmentation.evaluation import evaluate_folders

    with output_folder(output) as folder, progress_bar("scoring") as progress:
        text = evaluate_folders(predictions, labels, folder, images, tolerance, worst, progress, say)
    typer.echo(text)
    say(f"Wrote {output}")
