"""LPS mm → point files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from ..errors import InputError
from ..files import replacing
from .points import Points

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def write_points(points: Points, path: str | Path) -> None:
    """Write .mrk.json, .fcsv or .csv, in LPS, whole or not at all.

    Raises:
        InputError: another file type, or the folder is missing, full or write-protected.
    """
    path = Path(path)
    kinds = {".mrk.json": _markups, ".fcsv": _fcsv, ".csv": _csv}
    kind = next((kinds[suffix] for suffix in kinds if path.name.lower().endswith(suffix)), None)
    if kind is None:
        raise InputError(f"cannot write {path.name}: allowed are {', '.join(kinds)}")
    with replacing(path) as beside:
        beside.write_text(kind(points), encoding="utf-8", newline="\n")


def _rows(points: Points) -> list[tuple[int, str, list[float]]]:
    numbered = enumerate(zip(points.labels, points.positions.tolist(), strict=True), start=1)
    return [(number, label, position) for number, (label, position) in numbered]


def _markups(points: Points) -> str:
    control_points = [
        {
            "id": str(number),
            "label": label or f"P-{number}",
            "position": position,
            "selected": True,
            "locked": False,
            "visibility": True,
            "positionStatus": "defined",
        }
        for number, label, position in _rows(points)
    ]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "controlPoints": control_points,
    }
    return json.dumps({"@schema": _SCHEMA, "markups": [markup]}, indent=1)


def _fcsv(points: Points) -> str:
    text = io.StringIO()
    text.write("# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n")
    text.write("# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n")
    rows = csv.writer(text, lineterminator="\n")
    for number, label, position in _rows(points):
        rows.writerow([number, *position, 0, 0, 0, 1, 1, 1, 0, label or f"P-{number}", "", ""])
    return text.getvalue()


def _csv(points: Points) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["label", "x", "y", "z"])
    rows.writerows([label, *position] for _, label, position in _rows(points))
    return text.getvalue()
