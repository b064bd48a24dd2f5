"""Point files → LPS mm."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .points import Points

FORMATS = ".mrk.json (Slicer markups), .fcsv (Slicer fiducials) or .csv (x, y, z in LPS mm)"
Rows = list[tuple[str, Sequence[Any]]]
_TO_LPS = {"LPS": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0)}
_NUMBERED_SYSTEMS = {"0": "RAS", "1": "LPS"}
_COLUMN_NAMES = {"xyz": "LPS", "lps": "LPS", "ras": "RAS"}
_FCSV_COLUMNS = ["id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock", "label", "desc"]


def read_points(path: str | Path) -> Points:
    """Read the points of a file; those that a markup lists without a position are left out.

    A table without a header holds x, y, z or label, x, y, z. A header may name the columns x, y, z or l, p, s
    (LPS), or r, a, s (RAS), and label or name.

    Raises:
        InputError: the file is missing, empty, of another kind, or holds something that is no coordinate.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path.name} does not exist; give {FORMATS}")
    readers = {".json": _read_markups, ".fcsv": _read_fcsv, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path.name} is not a point file; give {FORMATS}")
    try:
        rows, system = readers[path.suffix.lower()](path.read_text(encoding="utf-8-sig"))
        positions = [_position(values) for _, values in rows]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise InputError(
            f"{path.name} does not hold points as {path.suffix} files do; give {FORMATS}"
        ) from error
    if system not in _TO_LPS:
        raise InputError(f"{path.name} has points in {system}; allowed are LPS and RAS mm: export it again")
    try:
        return Points(np.reshape(positions, (-1, 3)) * _TO_LPS[system], tuple(label for label, _ in rows))
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def _position(values: Sequence[Any]) -> list[float]:
    x, y, z = values
    return [float(x), float(y), float(z)]


def _read_markups(text: str) -> tuple[Rows, str]:
    rows, systems = [], set()
    for markup in json.loads(text)["markups"]:
        systems.add(str(markup.get("coordinateSystem", "LPS")).upper())
        for point in markup.get("controlPoints", []):
            if point.get("positionStatus", "defined") == "defined":
                rows.append((point.get("label", ""), point["position"]))
    return rows, systems.pop() if len(systems) == 1 else f"{len(systems)} coordinate systems"


def _read_fcsv(text: str) -> tuple[Rows, str]:
    system, columns, lines = "RAS", _FCSV_COLUMNS, []
    for line in text.splitlines():
        name, _, value = line.lstrip("# ").partition("=")
        if not line.startswith("#"):
            lines.append(line)
        elif name.strip().lower() == "coordinatesystem":
            system = _NUMBERED_SYSTEMS.get(value.strip(), value.strip().upper())
        elif name.strip().lower() == "columns":
            columns = [column.strip() for column in value.split(",")]
    rows: Rows = []
    for cells in csv.reader(lines):
        if cells:
            row = dict(zip(columns, cells, strict=False))
            rows.append((row.get("label", ""), (row["x"], row["y"], row["z"])))
    return rows, system


def _read_csv(text: str) -> tuple[Rows, str]:
    table = [[cell.strip() for cell in cells] for cells in csv.reader(text.splitlines()) if any(cells)]
    if not table:
        return [], "LPS"
    header = [cell.lower() for cell in table[0]]
    for names, system in _COLUMN_NAMES.items():
        if set(names) <= set(header):
            label = next((header.index(name) for name in ("label", "name") if name in header), None)
            return _columns(table[1:], [header.index(name) for name in names], label), system
    last = len(header)
    return _columns(table, [last - 3, last - 2, last - 1], 0 if last > 3 else None), "LPS"


def _columns(table: list[list[str]], places: list[int], label: int | None) -> Rows:
    if min(places) < 0:
        raise ValueError("a point needs three columns")
    return [("" if label is None else row[label], [row[place] for place in places]) for row in table]
