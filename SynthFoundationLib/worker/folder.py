"""The client's folder for arrays: this user's alone, and swept up by the next client if this one is killed.

Beside each folder lies a lock that the system opens when its owner ends, however it ends. A folder whose lock
can be taken belongs to nobody.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import IO

from ..files import _locked as locked

_PREFIX = "synthfoundation-"
_LOCK = ".lock"


class OwnFolder:
    """A folder with rights 0700 that exists until `remove`."""

    def __init__(self, parent: str | Path | None = None) -> None:
        """Sweep up what dead clients left in `parent`, the system's temporary folder, and make a new one."""
        self._parent = Path(parent or tempfile.gettempdir())
        sweep(self._parent)
        self.path, self._lock = self._made()

    def fresh(self) -> Path:
        """A new folder inside."""
        path = self.path / uuid.uuid4().hex[:8]
        path.mkdir(mode=0o700)
        return path

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()  # before it is deleted, for Windows
        _unlink(_lock_of(self.path))

    def _made(self) -> tuple[Path, IO[bytes]]:
        while True:
            path = self._parent / f"{_PREFIX}{uuid.uuid4().hex}"
            lock = os.fdopen(os.open(_lock_of(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "r+b")
            if locked(lock):
                path.mkdir(mode=0o700)
                return path, lock
            lock.close()  # another client sweeps at this moment and takes it for left behind


def sweep(parent: Path) -> None:
    """Delete the folders of clients that no longer live."""
    for lock in parent.glob(f"{_PREFIX}*{_LOCK}"):
        try:
            with open(os.open(lock, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)), "r+b") as held:
                if not locked(held):
                    continue
                shutil.rmtree(lock.with_name(lock.name.removesuffix(_LOCK)), ignore_errors=True)
            _unlink(lock)
        except OSError:  # another user's
            continue


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + _LOCK)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # Windows: another client looks at it now; the next one sweeps it up
        return
