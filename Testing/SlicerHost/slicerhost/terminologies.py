"""A few coded names, written where Slicer's terminology logic looks for its own at the start."""

import json
from pathlib import Path

import slicer

_SLICER = "SegmentationCategoryTypeModifier-SlicerGeneralAnatomy"
_DICOM = "SegmentationCategoryTypeModifier-DICOM-Master"
_REGIONS = "AnatomicRegionAndModifier-DICOM-Master"


def write(folder: Path) -> None:
    """Write the three files that the logic loads."""
    tissue = _code("85756007", "Tissue", recommendedDisplayRGBValue=[128, 174, 128])
    liver = _code("10200004", "Liver", recommendedDisplayRGBValue=[221, 130, 101])
    vertebra = _code("51282000", "Vertebra", recommendedDisplayRGBValue=[255, 255, 207])
    categories = [
        {**_code("85756007", "Tissue"), "showAnatomy": "true", "Type": [tissue]},
        {**_code("123037004", "Anatomical Structure"), "showAnatomy": "false", "Type": [liver, vertebra]},
    ]
    codes = {"Category": categories}
    for name in (_SLICER, _DICOM):
        _write(
            folder,
            name,
            "segment-context",
            "SegmentationCategoryTypeContextName",
            {"SegmentationCodes": codes},
        )
    regions = {"AnatomicRegion": [_code("69536005", "Head")]}
    _write(folder, _REGIONS, "anatomic-context", "AnatomicContextName", {"AnatomicCodes": regions})


def _code(value: str, meaning: str, **more: object) -> dict:
    return {"CodingSchemeDesignator": "SCT", "CodeValue": value, "CodeMeaning": meaning, **more}


def _write(folder: Path, name: str, schema: str, name_key: str, codes: dict) -> None:
    url = f"https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/{schema}-schema.json#"
    content = {name_key: name.split("-", 1)[1].replace("-", " "), "@schema": url, **codes}
    (folder / f"{name}.term.json").write_text(json.dumps(content))


def make_logic(folder: Path) -> object:
    """The terminology logic, reading the files in `folder`."""
    write(folder)
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    logic.SetModuleShareDirectory(str(folder))
    return logic
