"""Files appear whole or not at all: they are written beside their place and renamed."""

from __future__ import annotations

import os
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

UNFINISHED = ".writing-"
_LOCK = ".in-use"


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


@contextmanager
def output_folder(path: str | Path) -> Iterator[Path]:
    """Make a folder for results and keep it to this run; what a killed run left unfinished there is swept up.

    Raises:
        InputError: it is a file, cannot be made or written to, or another run is writing to it.
    """
    folder = Path(path)
    _make(folder)
    lock = folder / _LOCK
    with lock.open("wb") as held:
        if not _locked(held):
            raise InputError(
                f"another run is writing to {folder.name}; wait for it, or choose another folder"
            )
        try:
            for left in folder.glob(f"{UNFINISHED}*"):
                left.unlink(missing_ok=True)
            yield folder
        finally:
            held.close()  # before it is deleted, for Windows
            lock.unlink(missing_ok=True)


def _make(folder: Path) -> None:
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


def _locked(file: IO[bytes]) -> bool:
    """Take the lock of an open file, which the system gives back when the process ends, however it ends."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
