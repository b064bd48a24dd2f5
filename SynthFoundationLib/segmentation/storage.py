"""Sessions on disk: label maps as the voxels that are labelled, heads as arrays; no pickle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import InputError
from ..files import replacing
from ..geometry import Grid
from .drawn import Drawn
from .layout import Box, Layout
from .tilted import Plane

if TYPE_CHECKING:
    from .session import Edit

FORMAT = "SynthFoundation few-shot session 4"


def save_session(path: str | Path, grid: Grid, edits: Sequence[Edit], draft: Drawn | None) -> None:
    """Write edits, and the draft that they correct, to an .npz file, whole or not at all.

    Raises:
        InputError: another file type, or the folder cannot be written to.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise InputError(f"cannot write {path.name}: a session is saved as .npz")
    arrays: dict[str, np.ndarray] = {}
    about = []
    for number, edit in enumerate(edits):
        drawn = edit.drawn
        arrays |= {f"{number}.where": drawn.where, f"{number}.labels": drawn.labels}
        arrays |= {f"{number}.head.{name}": value.numpy() for name, value in edit.head.items()}
        about.append(
            {
                "complete": [list(pair) for pair in edit.complete],
                "detected": edit.detected,
                "planes": edit.planes,
                "background": edit.background,
                "layout": asdict(edit.layout),
                **_called(drawn),
            }
        )
    if draft is not None:
        arrays |= {"draft.where": draft.where, "draft.labels": draft.labels}
    begun = None if draft is None else _called(draft)
    header = json.dumps({"format": FORMAT, "grid": _plain(grid), "edits": about, "draft": begun})
    with replacing(path) as beside, open(beside, "wb") as file:
        np.savez_compressed(file, header=np.array(header), **arrays)  # type: ignore[arg-type]


def load_session(path: str | Path, grid: Grid) -> tuple[list[dict[str, Any]], Drawn | None]:
    """The fields of the edits in a saved session, and the draft that they correct.

    Raises:
        InputError: not a saved session, damaged, or of an image on another grid.
    """
    path = Path(path)
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if header.get("format") != FORMAT:
                raise ValueError("another format")
            if not grid.same_space(Grid(**header["grid"])):
                raise InputError(f"{path.name} belongs to another image: the grids differ")
            arrays = {name: file[name] for name in file.files if name != "header"}
            edits = [_edit(number, about, arrays, grid) for number, about in enumerate(header["edits"])]
            begun = header["draft"]
            return edits, None if begun is None else _drawn("draft.", begun, arrays, grid)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path.name} is not a saved session, or it is damaged; start a new one") from error


def _plain(grid: Grid) -> dict[str, list[float]]:
    names = ("size", "spacing", "origin", "direction")
    return {name: list(getattr(grid, name)) for name in names}


def _called(drawn: Drawn) -> dict[str, Any]:
    names = {str(label): name for label, name in drawn.names.items()}
    return {"names": names, "colors": {str(label): list(color) for label, color in drawn.colors.items()}}


def _drawn(prefix: str, about: dict[str, Any], arrays: dict[str, np.ndarray], grid: Grid) -> Drawn:
    where, labels = arrays[f"{prefix}where"], arrays[f"{prefix}labels"]
    if where.shape != labels.shape or (len(where) and not 0 <= where.min() <= where.max() < grid.voxels):
        raise ValueError("labels outside the image")
    names = {int(label): name for label, name in about["names"].items()}
    return Drawn(where, labels, names, {int(n): tuple(color) for n, color in about["colors"].items()})


def _edit(number: int, about: dict[str, Any], arrays: dict[str, np.ndarray], grid: Grid) -> dict[str, Any]:
    prefix = f"{number}.head."
    head = {k.removeprefix(prefix): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(prefix)}
    complete = tuple((int(axis), int(index)) for axis, index in about["complete"])
    return {
        "drawn": _drawn(f"{number}.", about, arrays, grid),
        "complete": complete,
        "detected": bool(about["detected"]),
        "planes": tuple(Plane(*map(float, plane)) for plane in about.get("planes", ())),
        "background": about["background"],
        "layout": _layout(about["layout"], grid),
        "head": head,
    }


def _layout(plain: dict[str, Any], grid: Grid) -> Layout:
    factors = tuple(int(factor) for factor in plain["factors"])
    beyond = tuple(_box(box) for box in plain["beyond"])
    within = None if plain["within"] is None else _box(plain["within"])
    boxes = beyond if within is None else (*beyond, within)
    ends = [zip(box, grid.shape, strict=True) for box in boxes]
    if len(factors) != 3 or min(factors) < 1 or not all(0 <= a < b <= n for box in ends for (a, b), n in box):
        raise ValueError("a layout of another image")
    return Layout(factors, beyond, within)


def _box(plain: Sequence[Sequence[int]]) -> Box:
    return tuple((int(a), int(b)) for a, b in plain)
