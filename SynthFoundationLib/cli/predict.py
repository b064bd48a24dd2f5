"""`synthfoundation predict`: apply a segmenter that finetune made."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .choices import Device
from .console import progress_bar, say
from .overwriting import refuse_overwriting


class Format(str, Enum):
    """Kind of label map to write."""

    nifti = ".nii.gz"
    segmentation = ".seg.nrrd"


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="File that finetune wrote.")],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...", help="Images, or folders of them; NAME_0000, NAME_0001 … together."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the label maps.")],
    format: Annotated[
        Format, typer.Option(help=".seg.nrrd holds the labels' names and colours.")
    ] = Format.nifti,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
) -> None:
    """Segment images with a trained model; each label map has the name and the grid of its image."""
    from ..devices import chosen
    from ..files import output_folder
    from ..finetuning import Segmenter
    from ..finetuning import predict as run
    from ..images import write_labels
    from ..segmentation.cases import find_images

    cases = find_images(images)
    results = [output / f"{case.name}{format.value}" for case in cases]
    refuse_overwriting(results, [file for case in cases for file in case.images])
    segmenter, where = Segmenter.load(model), chosen(device.value)
    with output_folder(output), progress_bar("predicting") as progress:
        for number, (case, result) in enumerate(zip(cases, results, strict=True)):
            progress(f"{case.name} ({number + 1} of {len(cases)})", number / len(cases))
            write_labels(run(segmenter, case.read_image(), where), result)
    say(f"Wrote {len(cases)} label maps to {output}")
