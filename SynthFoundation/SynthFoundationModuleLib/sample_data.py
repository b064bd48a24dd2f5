"""Sample volumes for Slicer's module Sample Data: made on this computer by our data engine, no download.

Only the buttons of that module ask a `customDownloader`; scripts call `make_pair` and `make_head`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from . import dependencies
from .geometry import matrix_of_grid, vtk_matrix
from .process import shared_worker

CATEGORY = "SynthFoundation"
_ICONS = Path(__file__).resolve().parent.parent / "Resources" / "Icons"


def register() -> None:
    """Offer the samples."""
    import SampleData

    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):
        logic.registerCustomSampleDataCategory(CATEGORY, title=_("SynthFoundation"))
    for name, make in (("SynthHeadPair", make_pair), ("SynthHead", make_head)):
        logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=name,
            thumbnailFileName=str(_ICONS / f"{name}.png"),
            uris="made on this computer",  # a source must have one, and as many file names
            fileNames=f"{name}.nrrd",
            nodeNames=name,
            customDownloader=_shown(make),
        )


def _shown(make: Callable[[], list[Any]]) -> Callable[[Any], list[Any]]:
    """What a button calls: a reason why there is no sample is shown, else only the Python console has it."""

    def download(source: Any) -> list[Any]:
        with slicer.util.tryWithErrorDisplay(_("The sample could not be made."), waitCursor=True):
            return make()

    return download


def make_pair() -> list[Any]:
    """A made-up head scanned twice, T1- and T2-weighted, the second one moved and deformed: two volumes."""
    pair = _pair()
    return [
        volume_of(pair["fixed"], _("Head T1 (made up)")),
        volume_of(pair["moving"], _("Head T2, moved (made up)")),
    ]


def make_head() -> list[Any]:
    """The T1-weighted scan alone: one volume."""
    return [volume_of(_pair()["fixed"], _("Head T1 (made up)"))]


def _pair() -> dict[str, Any]:
    dependencies.ensure()
    return shared_worker().wait("sample_pair", {})


def volume_of(scan: dict[str, Any], name: str) -> Any:
    """An array with its grid, as the worker gives them, as a volume: a new node."""
    return slicer.util.addVolumeFromArray(
        scan["array"], vtk_matrix(matrix_of_grid(scan["grid"])), slicer.mrmlScene.GenerateUniqueName(name)
    )
