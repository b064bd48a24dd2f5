"""`synthfoundation synthesize`: look at what the data engine makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import LARGEST_SEED, Device
from .console import say
from .overwriting import refuse_overwriting


def synthesize(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder; its earlier pairs make way.")
    ],
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
    from ..synthesis import synthesize as run
    from ..synthesis.command import written
    from ..synthesis.templates import label_files

    refuse_overwriting(
        [output / name for name in written(output)], [] if templates is None else label_files(templates)
    )
    sheet = run(count, output, size, seed, templates, str(chosen(device.value)))
    say(f"Wrote {count} pairs; look at {sheet}")
