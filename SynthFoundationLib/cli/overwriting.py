"""What a verb reads stays as it is: no result takes its place, nor that of another result."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError


def refuse_overwriting(results: Iterable[Path | None], given: Iterable[str | Path | None]) -> None:
    """See before the work that every result has a place of its own; None stands for what was not asked for.

    Raises:
        InputError: a result would overwrite a file that was given, or two results have one name.
    """
    sources = {_identity(path): Path(path).name for path in given if path is not None}
    taken: set[str] = set()
    for path in results:
        if path is None:
            continue
        source = sources.get(_identity(path))
        if source is not None:
            raise InputError(
                f"the result {path.name} would overwrite {source}, which is given; "
                "choose another name or folder"
            )
        place = os.path.normcase(os.path.realpath(path))
        if place in taken:
            raise InputError(f"{path.name} is named for two results; choose another name for one of them")
        taken.add(place)


def _identity(path: str | Path) -> tuple[int, int] | str:
    """What tells the same file under another name; a file that is not there is like no other."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return f"no file: {path}"
    return about.st_dev, about.st_ino
