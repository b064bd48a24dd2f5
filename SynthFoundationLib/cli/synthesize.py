"""`synthfoundation synthesize`: look at what the data engine makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import LARGEST_SEED, Device
from .console import say


def synthesize(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the pairs.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Number of pairs.")] = 16,
    size: Annotated[int, typer.Option(min=16, max=512, help="Voxels along each axis.")] = 128,
    templates: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Label maps whose shapes to use; made up otherwise.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Of the first pair; the others follow.")
    ] = 0,
) -> None:
    """Write synthetic pairs, their labels and parameters, and a contact sheet."""
    from ..devices import chosen
    from ..files import output_folder
    from ..synthesis import synthesize as run

    with output_folder(output) as folder:
        sheet = run(count, folder, size, seed, templates, str(chosen(device.value)))
    say(f"Wrote {count} pairs; look at {sheet}")
