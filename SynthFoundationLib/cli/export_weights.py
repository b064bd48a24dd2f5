"""`synthfoundation export-weights`: a trained network as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import say
from .overwriting import refuse_overwriting


def export_weights(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Folder such as RUN/best.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="File ending in .safetensors.")
    ],
) -> None:
    """Write a trained network as weights for --weights."""
    from ..pretraining.export import export

    refuse_overwriting([output], checkpoint.glob("*"))
    say(f"Wrote {output}, SHA-256 {export(checkpoint, output)['sha256']}")
