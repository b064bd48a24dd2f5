"""Labels and points of the moving scan brought to the fixed scan, and the names of their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..geometry import Grid, Transform
from ..images import LabelMap, LabelsLike, as_labels, warp_labels
from ..points import Points, PointsLike, as_points

_LABEL_FILES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")
_POINT_FILES = (".mrk.json", ".fcsv", ".csv")


@dataclass(frozen=True, eq=False)
class Carried:
    """What comes along, read and checked.

    Attributes:
        labels, points: by the name of the file that each is to be written to.
    """

    labels: dict[str, LabelMap]
    points: dict[str, Points]


def read_carried(labels: Sequence[LabelsLike] = (), points: Sequence[PointsLike] = ()) -> Carried:
    """Read labels and points; the files to write are called `NAME_moved`, of the same kind if possible.

    Raises:
        InputError: one of them cannot be used.
    """
    taken: set[str] = set()
    return Carried(
        {_name(one, "labels", _LABEL_FILES, ".nii.gz", taken): as_labels(one) for one in labels},
        {_name(one, "points", _POINT_FILES, ".mrk.json", taken): as_points(one) for one in points},
    )


def moved_labels(carried: Carried, transform: Transform, fixed: Grid) -> dict[str, LabelMap]:
    """The labels on the fixed grid; each voxel gets the label that covers most of it."""
    return {name: warp_labels(labels, transform, fixed) for name, labels in carried.labels.items()}


def moved_points(carried: Carried, inverse: Transform) -> dict[str, Points]:
    """The points in the fixed scan: `inverse` leads there, as the transform itself maps fixed → moving."""
    return {
        name: Points(inverse.apply(points.positions), points.labels)
        for name, points in carried.points.items()
    }


def volumes(before: LabelMap, after: LabelMap) -> list[dict[str, Any]]:
    """Name and volume of each label in the moving scan and on the fixed grid, ml."""
    return [
        {
            "label": label,
            "name": before.names.get(label, f"Label {label}"),
            "ml_before": _ml(before, label),
            "ml_after": _ml(after, label),
        }
        for label in before.values
    ]


def _ml(labels: LabelMap, label: int) -> float:
    x, y, z = labels.grid.spacing
    return round(int((labels.data == label).sum()) * x * y * z / 1000, 4)


def _name(source: object, kind: str, allowed: tuple[str, ...], otherwise: str, taken: set[str]) -> str:
    name = Path(source).name if isinstance(source, (str, Path)) else kind
    suffix = next((s for s in allowed if name.lower().endswith(s)), "")
    stem = name[: len(name) - len(suffix)] if suffix else name.partition(".")[0]
    numbers = ["", *(f"_{n}" for n in range(2, len(taken) + 3))]
    free = (f"{stem}{n}_moved{suffix or otherwise}" for n in numbers)
    chosen = next(name for name in free if name.lower() not in taken)
    taken.add(chosen.lower())
    return chosen
