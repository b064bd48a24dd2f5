"""`synthfoundation segment`: labels on a few slices, or on a few other scans → the whole volume."""

from __future__ import annotations

import math
from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .choices import Device
from .console import progress_bar, say, tell
from .overwriting import refuse_overwriting

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..images import Image, LabelMap
    from ..segmentation import Result
    from ..segmentation.cases import Case


class MoreFeatures(str, Enum):
    """What to look at besides hand-made features of the image."""

    auto = "auto"
    none = "none"
    learned = "learned"


class Contrast(str, Enum):
    """Whether the scans of the support have the contrast of the image."""

    auto = "auto"
    same = "same"
    other = "other"


MOST_LISTED = 8
GROWN = 0.05  # a share of what is labelled: as little more is hardly what was asked for
_SLICES, _SCANS = "From labelled slices", "From labelled scans"


def segment(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE... [SEEDS]",
            help="One scan or several contrasts, then the seeds, unless --support is given.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Label map to write, .seg.nrrd with names.")
    ],
    complete_slices: Annotated[
        str,
        typer.Option(
            metavar="auto|AXIS:LIST|none",
            help="Slices labelled completely, whose empty voxels are background, such as 'k:10,20 i:64'.",
            rich_help_panel=_SLICES,
        ),
    ] = "auto",
    background: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="LABEL",
            help="Label in the seeds that means background; else one so named.",
            rich_help_panel=_SLICES,
        ),
    ] = None,
    draft: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Segmentation to correct; SEEDS are corrected slices, or a copy of it in which some are.",
            rich_help_panel=_SLICES,
        ),
    ] = None,
    support: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Labelled scans: folders images and labels in it, or A.nii.gz beside A_labels.nii.gz.",
            rich_help_panel=_SCANS,
        ),
    ] = None,
    contrast: Annotated[
        Contrast,
        typer.Option(help="Whether the support shows tissues alike; auto: looks.", rich_help_panel=_SCANS),
    ] = Contrast.auto,
    probabilities: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the probability of each label, a vector image.")
    ] = None,
    confidence: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write how sure each voxel is.")
    ] = None,
    features: Annotated[
        MoreFeatures, typer.Option(help="Besides hand-made ones; auto: learned, but not with --support.")
    ] = MoreFeatures.auto,
    weights: Annotated[str | None, typer.Option(metavar="ID|PATH", help="Pretrained weights.")] = None,
    device: Annotated[
        Device, typer.Option(help="Where to compute learned features and to register scans.")
    ] = Device.auto,
) -> None:
    """Segment a volume from labels on a few slices of it, or on a few other scans.

    Voxels of value 0 in SEEDS are not labelled. Of a segmentation that is corrected (--draft), what nothing
    speaks against stays. Scans of --support may be of other people and another modality: they are registered
    to the image, their labels carried over and corrected.
    """
    from ..errors import InputError
    from ..files import check_place
    from ..frugal import first_that_fits
    from ..images import check_image_place, write_image, write_labels
    from ..images.image import VOLUME_FILES
    from ..segmentation.cases import find_support

    check_place(output, VOLUME_FILES)
    for place in (probabilities, confidence):
        if place is not None:
            check_image_place(place)
    if support is not None and draft is not None:
        raise InputError("--draft is corrected by SEEDS, --support goes without these; give one of them")
    cases = [] if support is None else find_support(support)
    read = [file for case in cases for file in (*case.images, case.labels)]
    refuse_overwriting([output, probabilities, confidence], [*images, *read, *([draft] if draft else [])])
    if support is not None:
        if features is MoreFeatures.auto and weights is None:
            features = MoreFeatures.none  # registration has used them; they do not make matching better
        result = _from_scans(images, cases, contrast, _learned(features, weights, device), device)
    else:
        slices = partial(_from_slices, images, complete_slices, background, draft)
        learned = _learned(features, weights, device)
        attempts = [("", partial(slices, learned))]
        if learned is not None:
            attempts.append(("without learned features", partial(slices, None)))
        result = first_that_fits(attempts, say)
    write_labels(result.labels, output)
    if confidence is not None:
        write_image(result.confidence, confidence)
    if probabilities is not None:
        write_image(result.probabilities, probabilities)
    if support is None:
        _explain(result)
    say(f"Wrote {output}")


def _from_slices(
    images: list[Path],
    complete_slices: str,
    background: int | None,
    draft: Path | None,
    more: Callable[[Image], Image] | None,
) -> Result:
    from ..errors import InputError
    from ..images import as_image, read_labels
    from ..segmentation import parse_slices
    from ..segmentation import segment as run

    *scans, seeds = images
    if not scans:
        raise InputError("one file is given; give at least one image and then the seeds, or --support")
    image, drawn, complete = as_image(scans, "the image"), read_labels(seeds), parse_slices(complete_slices)
    if background is not None and drawn.values and background not in drawn.values:
        raise InputError(
            f"--background is {background}, the seeds have {_listed(drawn.values)}; give one of these"
        )
    if background is None:
        background, drawn = _named_background(drawn)
    result = run(image, drawn, complete, background, more(image) if more else None, draft=draft)
    if draft is None and background is None:
        if not (result.complete_slices or result.planes):
            say("Nothing is labelled as background: all of the body gets labels; see --background")
        elif _volume(result.labels) < (1 + GROWN) * _volume(drawn):
            say(
                "Hardly anything was found beyond what is labelled; if no slice is labelled completely, "
                "scribble around the structures as well: see --background"
            )
    return result


def _volume(labels: LabelMap) -> float:
    """Of all that is labelled, mm³."""
    return float(labels.data.count_nonzero()) * math.prod(labels.grid.spacing)


def _named_background(drawn: LabelMap) -> tuple[int | None, LabelMap]:
    """The label that is called so, as users of Slicer do, or None; and the seeds without that name."""
    for value, name in drawn.names.items():
        if value in drawn.values and name.strip().casefold() == "background":
            say(f"Label {value}, {name}, is taken as background")
            names = {v: n for v, n in drawn.names.items() if v != value}
            return value, replace(drawn, names=names)
    return None, drawn


def _from_scans(
    images: list[Path],
    cases: list[Case],
    contrast: Contrast,
    more: Callable[[Image], Image] | None,
    device: Device,
) -> Result:
    from ..devices import chosen
    from ..images import as_image
    from ..segmentation import segment_from_support

    where = chosen(device.value)
    image = as_image(images, "the image")
    tell(f"{len(cases)} labelled scans: " + ", ".join(case.name for case in cases))
    scans, maps = zip(*(case.read() for case in cases), strict=True)
    with progress_bar("segmenting") as progress:
        return segment_from_support(
            image, scans, maps, contrast=contrast.value, features=more, progress=progress, device=where
        )


def _learned(features: MoreFeatures, weights: str | None, device: Device) -> Callable[[Image], Image] | None:
    """What gives learned features of an image, where they are wanted."""
    from ..devices import chosen
    from ..features.registry import Registry
    from ..segmentation.channels import learned_channels

    installed = weights is not None or Registry.read().default is not None
    if features is MoreFeatures.none or (features is MoreFeatures.auto and not installed):
        return None
    return partial(learned_channels, weights=weights, device=chosen(device.value))


def _listed(values: list[int]) -> str:
    """The first few of many labels."""
    shown = ", ".join(map(str, values[:MOST_LISTED]))
    return f"labels {shown}{', …' if len(values) > MOST_LISTED else ''}"


def _explain(result: Result) -> None:
    axes = "kji"
    if result.detected:
        slices = " ".join(f"{axes[axis]}:{index}" for axis, index in result.complete_slices)
        if count := len(result.planes):
            slices = f"{count} plane{'s' if count > 1 else ''} across the slices of the image"
        tell(f"Taken as labelled completely: {slices or 'no slice'}")
    if result.near:
        say("The scan is large: only the surroundings of what is drawn were looked at, in its own voxels")
    if result.next_slice is not None:
        axis, index = result.next_slice
        say(f"The slice to label next would be {axes[axis]}:{index}")
