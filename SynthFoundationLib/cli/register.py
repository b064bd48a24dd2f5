"""`synthfoundation register`: align a moving image to a fixed one."""

from __future__ import annotations

from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from .choices import LARGEST_SEED, Device, Features
from .console import progress_bar, say
from .overwriting import refuse_overwriting


class Preset(str, Enum):
    """How much time to take."""

    fast = "fast"
    default = "default"
    accurate = "accurate"


class Stage(str, Enum):
    """How far the transform may go."""

    rigid = "rigid"
    affine = "affine"
    deformable = "deformable"


def _guide(text: str) -> Any:
    return typer.Option(help=text, metavar="FILE", rich_help_panel="Guidance")


def _more(side: str) -> Any:
    text = f"Another contrast of {side}'s patient on its grid; may be repeated, the same ones on both sides."
    return typer.Option(help=text, metavar="FILE", rich_help_panel="Guidance")


def _method(text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel="Method", **more)


def register(
    fixed: Annotated[Path, typer.Argument(metavar="FIXED", help="Image that stays, or a DICOM folder.")],
    moving: Annotated[Path, typer.Argument(metavar="MOVING", help="Image to align to it, of any modality.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.")],
    fixed_contrast: Annotated[list[Path] | None, _more("FIXED")] = None,
    moving_contrast: Annotated[list[Path] | None, _more("MOVING")] = None,
    transform: Annotated[Stage, typer.Option(help="How far the transform may go.")] = Stage.deformable,
    preset: Annotated[Preset, typer.Option(help="How much time to take.")] = Preset.default,
    fixed_mask: Annotated[Path | None, _guide("Where to look in FIXED.")] = None,
    moving_mask: Annotated[Path | None, _guide("Where to look in MOVING.")] = None,
    fixed_landmarks: Annotated[Path | None, _guide(".mrk.json, .fcsv or .csv (x, y, z in LPS mm).")] = None,
    moving_landmarks: Annotated[Path | None, _guide("The same places in MOVING.")] = None,
    initial_transform: Annotated[Path | None, _guide("ITK transform to start from.")] = None,
    moving_labels: Annotated[list[Path] | None, _guide("Label map to bring along; may be repeated.")] = None,
    moving_points: Annotated[list[Path] | None, _guide("Points to bring along; may be repeated.")] = None,
    features: Annotated[
        Features,
        _method("What the images are compared by; auto: mind, and the network if weights are given."),
    ] = Features.auto,
    weights: Annotated[str | None, _method("Pretrained weights of the network.", metavar="ID|PATH")] = None,
    stiffness: Annotated[float, _method("Smoothness of the deformation; 2 bends half as easily.")] = 1.0,
    symmetric: Annotated[
        bool, _method("Exchanging the images gives the inverse; takes twice the time.")
    ] = False,
    device: Annotated[Device, _method("Where to compute.")] = Device.auto,
    seed: Annotated[int, _method("Same seed, same result.", min=0, max=LARGEST_SEED)] = 0,
) -> None:
    """Register MOVING to FIXED and write the moved image, transforms and a report."""
    from ..devices import chosen
    from ..files import output_folder
    from ..frugal import coarser_presets, first_that_fits
    from ..registration import register as run
    from ..registration.carried import read_carried
    from ..registration.outputs import RESULTS, listed

    carried = read_carried(moving_labels or [], moving_points or [])  # refused now, not after the work
    given = [
        *(fixed, moving, *(fixed_contrast or []), *(moving_contrast or [])),
        *(fixed_mask, moving_mask, fixed_landmarks, moving_landmarks, initial_transform),
        *(*(moving_labels or []), *(moving_points or [])),
    ]
    names = {*RESULTS, *carried.labels, *carried.points, *listed(output)}
    refuse_overwriting([output / name for name in sorted(names)], given)
    with output_folder(output) as folder, progress_bar("registering") as progress:
        with_preset = partial(
            run,
            [fixed, *(fixed_contrast or [])],
            [moving, *(moving_contrast or [])],
            transform=transform.value,
            fixed_mask=fixed_mask,
            moving_mask=moving_mask,
            fixed_landmarks=fixed_landmarks,
            moving_landmarks=moving_landmarks,
            initial_transform=initial_transform,
            features=features.value,
            weights=weights,
            stiffness=stiffness,
            symmetric=symmetric,
            device=str(chosen(device.value)),
            seed=seed,
            progress=progress,
        )
        attempts = [
            (f"with the preset '{name}'", partial(with_preset, preset=name))
            for name in coarser_presets(preset.value)
        ]
        result = first_that_fits(attempts, say)
        result.save(folder, moving_labels=moving_labels or [], moving_points=moving_points or [])
    say(f"Wrote {folder}: see {folder / 'report.html'}")
