"""`synthfoundation pretrain`: train a feature extractor on synthetic pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import Device
from .console import say


def pretrain(
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="TOML, as in Resources/Configs.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the training.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in DIR.")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
) -> None:
    """Train a feature extractor on synthetic pairs. No image is needed."""
    from ..devices import chosen
    from ..pretraining import pretrain as run

    result = run(config, output, resume, str(chosen(device.value)))
    say(f"Wrote {output}: " + ", ".join(f"{name} {value:.4g}" for name, value in result.items()))
