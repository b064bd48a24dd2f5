"""`synthfoundation segment`: a few labelled slices, scribbles or points → the whole volume."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .choices import Device
from .console import say, tell

if TYPE_CHECKING:
    from ..images import Image
    from ..segmentation import Result


class MoreFeatures(str, Enum):
    """What to look at besides hand-made features of the image."""

    auto = "auto"
    none = "none"
    learned = "learned"


def segment(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE... SEEDS", help="One scan or several contrasts, then the seeds."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Label map to write.")],
    complete_slices: Annotated[
        str,
        typer.Option(
            metavar="auto|AXIS:LIST|none",
            help="Slices labelled completely, whose empty voxels are background, such as 'k:10,20 i:64'.",
        ),
    ] = "auto",
    background: Annotated[
        int | None, typer.Option(min=1, metavar="LABEL", help="Label in the seeds that means background.")
    ] = None,
    probabilities: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the probability of each label, a vector image.")
    ] = None,
    confidence: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write how sure each voxel is.")
    ] = None,
    features: Annotated[
        MoreFeatures, typer.Option(help="Besides hand-made ones; auto: learned if weights are installed.")
    ] = MoreFeatures.auto,
    weights: Annotated[str | None, typer.Option(metavar="ID|PATH", help="Pretrained weights.")] = None,
    device: Annotated[Device, typer.Option(help="Where to compute learned features.")] = Device.auto,
) -> None:
    """Segment a volume from labels on a few slices; voxels of value 0 in SEEDS are not labelled."""
    from ..errors import InputError
    from ..images import as_image, read_labels, write_image, write_labels
    from ..segmentation import parse_slices
    from ..segmentation import segment as run

    *scans, seeds = images
    if not scans:
        raise InputError("one file is given; give at least one image and then the seeds")
    image = as_image(scans, "the image")
    extra = _learned(image, features, weights, device)
    result = run(image, read_labels(seeds), parse_slices(complete_slices), background, extra)
    write_labels(result.labels, output)
    if confidence is not None:
        write_image(result.confidence, confidence)
    if probabilities is not None:
        write_image(result.probabilities, probabilities)
    _explain(result)
    say(f"Wrote {output}")


def _learned(image: Image, features: MoreFeatures, weights: str | None, device: Device) -> Image | None:
    from ..features.extract import extract_features
    from ..features.registry import Registry
    from ..images import Image
    from .devices import chosen

    installed = weights is not None or Registry.read().default is not None
    if features is MoreFeatures.none or (features is MoreFeatures.auto and not installed):
        return None
    volume = extract_features(image, "learned", weights, device=chosen(device.value), contrasts="average")
    return Image(volume.data.cpu(), volume.grid)


def _explain(result: Result) -> None:
    axes = "kji"
    if result.detected:
        slices = " ".join(f"{axes[axis]}:{index}" for axis, index in result.complete_slices)
        tell(f"Taken as labelled completely: {slices or 'no slice'}")
    if result.next_slice is not None:
        axis, index = result.next_slice
        say(f"The slice to label next would be {axes[axis]}:{index}")
