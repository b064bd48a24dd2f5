"""`synthfoundation finetune`: a few labelled scans → a segmenter for all others."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .choices import LARGEST_SEED, Device
from .console import progress_bar, say


class Modality(str, Enum):
    """What intensities mean."""

    auto = "auto"
    ct = "ct"
    mr = "mr"


def finetune(
    images: Annotated[
        Path,
        typer.Option(metavar="DIR", help="NAME.nii.gz, or NAME_0000.nii.gz, NAME_0001 … for contrasts."),
    ],
    labels: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="NAME.nii.gz, NAME_labels.nii.gz or .seg.nrrd; the last two may lie beside the images.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL", help="File to write, .safetensors.")
    ],
    init: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS|scratch", help="Pretrained weights. [default: the installed ones]"),
    ] = None,
    budget: Annotated[float, typer.Option(metavar="MINUTES", min=0.01, help="How long to train.")] = 30.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with MODEL, with the same cases.")] = False,
    modality: Annotated[
        Modality,
        typer.Option(help="ct: one scale of intensities for all scans; mr: each its own; auto: looks."),
    ] = Modality.auto,
    spacing: Annotated[
        float | None, typer.Option(metavar="MM", min=0.01, help="Voxels to work on. [default: the median]")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seeds all random numbers; --resume keeps its own.")
    ] = 0,
) -> None:
    """Train a segmenter on labelled scans.

    With five or more, one in five is held out to choose the best moment and to stop early. Interrupted, the
    training can be resumed.
    """
    from ..devices import chosen
    from ..finetuning import finetune as run
    from ..segmentation.cases import find_cases

    cases = find_cases(images, labels)
    with progress_bar("training") as progress:
        segmenter = run(
            [case.read() for case in cases],
            output,
            init,
            budget,
            resume=resume,
            modality=modality.value,
            spacing=spacing,
            device=chosen(device.value),
            seed=seed,
            progress=progress,
        )
    state = segmenter.about["state"]
    held_out = (
        f", Dice {state['best']:.3f} on {segmenter.about['held_out']} held out" if state["history"] else ""
    )
    say(f"Wrote {output}: {len(cases)} cases, {state['step']} steps{held_out}")
