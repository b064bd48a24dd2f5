"""What a registration leaves in a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import called, replacing, replacing_all
from ..geometry import write_transform
from ..images import write_image, write_labels
from ..points import write_points
from .carried import moved_labels, moved_points, read_carried, volumes

if TYPE_CHECKING:
    from ..images import LabelsLike
    from ..points import PointsLike
    from .result import Registration


RESULTS = "moved.nii.gz", "transform.h5", "inverse.h5", "report.json", "report.html"
MOVED, FORWARD, BACKWARD, NUMBERS, PAGE = RESULTS


def save(
    registration: Registration,
    folder: str | Path,
    moving_labels: Sequence[LabelsLike] = (),
    moving_points: Sequence[PointsLike] = (),
) -> None:
    """Write everything into a folder, which is made where it is missing.

    - `moved.nii.gz`: the moving image on the fixed grid, resampled once;
    - `transform.h5`, `inverse.h5`: ITK transforms, LPS mm; the first maps fixed points to moving points;
    - `NAME_moved.*`: each label map on the fixed grid, each set of points in the fixed scan;
    - `report.json`, `report.html`: numbers, verdict and pictures; the first lists all files.

    Labels and points are read before anything is written. The files take their places together once all of
    them are written, the page last: a folder with `report.html` is complete, and what an earlier run left
    there stays whole where this one fails, and makes way where it does not.

    Raises:
        InputError: labels or points cannot be used, or the folder cannot be written to.
    """
    from ..report import draw, judge, page

    carried = read_carried(moving_labels, moving_points)
    labels = moved_labels(carried, registration.transform, registration.fixed.grid)
    points = moved_points(carried, registration.inverse)
    x, y, z = registration.fixed.grid.spacing
    verdict = judge(registration.report, (x * y * z) ** (1 / 3))
    report = {"verdict": verdict._asdict(), **_plain(registration.report)}
    if labels:
        report["labels"] = [
            {"file": name} | one for name in labels for one in volumes(carried.labels[name], labels[name])
        ]
    pictures = draw(
        registration.fixed, registration.moving, registration.transform, registration.feature_maps
    )
    place = _made(Path(folder))
    with replacing_all(place, PAGE, listed(place)) as beside:
        write_image(registration.moved, beside / MOVED)
        write_transform(registration.transform, beside / FORWARD)
        write_transform(registration.inverse, beside / BACKWARD)
        for name, moved in labels.items():
            write_labels(moved, beside / name)
        for name, carried_points in points.items():
            write_points(carried_points, beside / name)
        files = sorted({*(path.name for path in beside.iterdir()), NUMBERS, PAGE})
        text = json.dumps({**report, "files": files}, indent=2, ensure_ascii=False, allow_nan=False)
        _write(beside / NUMBERS, text + "\n")
        _write(beside / PAGE, page(report, verdict, pictures))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write results to {called(folder)}: {error.strerror}; "
            "choose a folder that you may write to"
        ) from error
    return folder


def listed(folder: Path) -> list[str]:
    """Names of the files that an earlier run says it wrote."""
    try:
        files = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))["files"]
        return [name for name in files if isinstance(name, str) and Path(name).name == name]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _write(path: Path, text: str) -> None:
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def _plain(value: Any) -> Any:
    """The value without numbers that JSON does not know: NaN and infinities become None."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
