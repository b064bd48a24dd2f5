"""Sample volumes for Slicer's module Sample Data: made on this computer by our data engine, no download."""

from __future__ import annotations

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
            nodeNames=name,
            customDownloader=make,
        )


def make_pair(source: Any = None) -> list[Any]:
    """A made-up head scanned twice, T1- and T2-weighted, the second one moved and deformed: two volumes."""
    pair = _pair()
    return [
        volume_of(pair["fixed"], _("Head T1 (made up)")),
        volume_of(pair["moving"], _("Head T2, moved (made up)")),
    ]


def make_head(source: Any = None) -> list[Any]:
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
