"""Files appear whole or not at all: they are written beside their place and renamed."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

UNFINISHED = ".writing-"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` once the block ends well.

    Raises:
        InputError: the folder is missing or cannot be written to, or the disk is full.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path.name}: its folder does not exist; create it or choose another")
    if path.is_dir():
        raise InputError(f"cannot write {path.name}: it is a folder; give a file name")
    beside = path.with_name(f"{UNFINISHED}{uuid.uuid4().hex[:12]}-{path.name}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        reason = error.strerror or "the disk may be full"
        raise InputError(
            f"cannot write {path.name}: {reason}; choose a folder with space that you may write to"
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def writable_folder(path: str | Path) -> Path:
    """Make sure that results can be written to this folder, and sweep up what a killed run left there.

    Raises:
        InputError: it is a file, or cannot be made or written to.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder.name} is a file; the output must be a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the output folder {folder.name}: {error.strerror}; choose another"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"cannot write to the output folder {folder.name}; choose one that you may write to")
    for left in folder.glob(f"{UNFINISHED}*"):
        left.unlink(missing_ok=True)
    return folder
