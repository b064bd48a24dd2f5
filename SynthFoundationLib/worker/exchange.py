"""Arrays in files of one folder: how volumes go from process to process, never pickled."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import InputError

# A bare name: no separator, no leading dot, no drive, nothing that a shell or a file system treats specially.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.(npy|png)\Z")
_KINDS = "biuf"
_LARGEST_DIMENSIONS = 4


class Exchange:
    """The folder that client and worker share; each deletes what it was sent once it has read it."""

    def __init__(self, folder: str | Path) -> None:
        """Take a folder that exists.

        Raises:
            InputError: it does not.
        """
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError("the exchange folder does not exist; make it first, for this user alone")

    def write(self, array: np.ndarray) -> dict[str, str]:
        """Write an array to a new file; what stands for it in a message."""
        name = f"{uuid.uuid4().hex}.npy"
        try:
            with self._path(name).open("xb") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        except BaseException:
            self.discard([name])
            raise
        return {"file": name}

    def write_bytes(self, content: bytes, suffix: str) -> Path:
        """Write a whole file, such as a picture."""
        path = self._path(f"{uuid.uuid4().hex}{suffix}")
        path.write_bytes(content)
        return path

    def read(self, name: str, what: str = "the array") -> np.ndarray:
        """Read an array and delete its file.

        Raises:
            InputError: the name is not that of a file in the folder, or it holds no whole array of numbers.
        """
        path = self._path(name)
        try:
            with _opened(path) as file:
                return _array(file)
        except FileNotFoundError as error:
            raise InputError(f"{what}: there is no such file in the exchange folder") from error
        except (OSError, ValueError, EOFError, SyntaxError, TypeError) as error:
            raise InputError(
                f"{what}: the file holds no array that can be used ({_reason(error)})"
            ) from error
        finally:
            self.discard([name])

    def discard(self, names: Iterable[str]) -> None:
        """Delete files if they are still there; names that could not be ours are left alone."""
        for name in names:
            if _NAME.fullmatch(name):
                try:
                    (self.folder / name).unlink(missing_ok=True)
                except OSError:  # Windows: still open; it goes with the folder
                    continue

    def clear(self) -> None:
        """Delete every file that could have been exchanged."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return
        self.discard(names)

    def _path(self, name: str) -> Path:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(
                "a file is named by letters, digits, - and _, ends in .npy and lies in the exchange folder"
            )
        return self.folder / name


def _opened(path: Path) -> IO[bytes]:
    """The file itself, never what a link in its place points to."""
    if path.is_symlink():
        raise ValueError("it is a link")
    return open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb")


def _array(file: IO[bytes]) -> np.ndarray:
    """The array, once its header is known to promise no more than the file holds."""
    version = np.lib.format.read_magic(file)
    read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    if version[0] not in read_header:
        raise ValueError("an unknown version of the format")
    shape, _, dtype = read_header[version[0]](file)
    if dtype.kind not in _KINDS:
        raise ValueError(f"values of type {dtype}")
    if not 1 <= len(shape) <= _LARGEST_DIMENSIONS or min(shape) < 0:
        raise ValueError(f"{len(shape)} dimensions")
    promised = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
    if promised != os.fstat(file.fileno()).st_size - file.tell():
        raise ValueError("its size is not what its header promises")
    file.seek(0)
    return np.load(file, allow_pickle=False)


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else str(error)
    return (text or "damaged").splitlines()[0][:80]
