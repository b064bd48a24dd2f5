"""Files appear whole or not at all: they are written beside their place and renamed."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import sys
import time
import uuid
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from torch import Tensor

UNFINISHED = ".writing-"
_LOCK = ".in-use"
_DAY = 86_400.0
_BLOCK = 4096  # bytes; disks are filled in units of this or less


def _machine() -> str:
    """This machine, or the container whose process numbers these are."""
    with suppress(OSError, AttributeError):
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    return platform.node()


_HOST = f"{zlib.crc32(_machine().encode()):08x}"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` once the block ends well.

    What killed runs left unfinished in its folder is swept up first.

    Raises:
        InputError: the folder is missing or cannot be written to, or the disk is full.
    """
    path = Path(path)
    check_place(path)
    beside = _beside(path)
    try:
        _sweep(path.parent)
        yield beside
        _settle(beside)
        os.replace(beside, path)
    except OSError as error:
        reason = error.strerror or "the disk may be full"
        raise InputError(
            f"cannot write {path.name}: {reason}; choose a folder with space that you may write to"
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


@contextmanager
def replacing_all(folder: Path, seal: str, earlier: Iterable[str] = ()) -> Iterator[Path]:
    """Give a folder for results, which take their places in `folder` together once the block ends well.

    Until then all that is in `folder` stays as it is, whatever happens. The file called `seal` is moved last,
    that of an earlier run goes first, its other files before the new one comes: where a seal is, the files
    are of one run.

    Args:
        folder: where the results belong.
        seal: name of the file that is there only beside all others.
        earlier: names of files that an earlier run may have left in `folder`; other than plain ones are
            passed over.

    Raises:
        InputError: the folder cannot be written to, or the disk is full.
    """
    staging = _beside(folder / "results")
    try:
        try:
            staging.mkdir()
            yield staging
            for file in staging.iterdir():
                check_place(folder / file.name)
            _settle_all(staging, folder, seal, earlier)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"cannot write to {called(folder)}: {error.strerror or 'the disk may be full'}; "
            "choose a folder with space that you may write to"
        ) from error


def called(path: str | Path) -> str:
    """The name of a file or folder, for messages; "." has none of its own."""
    return Path(path).absolute().name


def _settle_all(staging: Path, folder: Path, seal: str, earlier: Iterable[str]) -> None:
    names = sorted(file.name for file in staging.iterdir())
    (folder / seal).unlink(missing_ok=True)
    for name in names:
        if name != seal:
            os.replace(staging / name, folder / name)
    kept = {name.casefold() for name in names}
    _remove(folder, (name for name in earlier if name.casefold() not in kept))
    if seal in names:
        os.replace(staging / seal, folder / seal)


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Delete files of a folder; names that lead elsewhere are no files of it."""
    for name in names:
        if Path(name).name == name and (folder / name).is_file():
            (folder / name).unlink()


def _beside(path: Path) -> Path:
    """A name that tells who writes there, for `_abandoned`, and of the user's name only which format it is.

    Writers of ITK do not know endings in capitals, and take `a.hdr.nii.gz` for a pair of files.
    """
    ending = ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()
    return path.with_name(f"{UNFINISHED}{_HOST}-{os.getpid()}-{uuid.uuid4().hex[:12]}{ending}")


def check_place(path: str | Path, endings: tuple[str, ...] = ()) -> None:
    """See before the work that a file can be written there afterwards.

    Raises:
        InputError: its name has none of these endings, its folder is missing or write-protected, or it is a
            folder itself.
    """
    path = Path(path)
    capitals = tuple(ending.upper() for ending in endings)  # but no mixture, which ITK cannot read
    if endings and not path.name.endswith((*endings, *capitals)):
        raise InputError(f"cannot write {path.name}: allowed are {', '.join(endings)}")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path.name}: its folder does not exist; create it or choose another")
    if path.is_dir():
        raise InputError(f"cannot write {path.name}: it is a folder; give a file name")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {path.name}: its folder is write-protected; choose another")


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file; a full disk is the `OSError` that it is with all other files."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, dict(metadata) if metadata is not None else None)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        code = int(number[1]) if number else errno.EIO
        raise OSError(code, os.strerror(code)) from error


@contextmanager
def output_folder(path: str | Path) -> Iterator[Path]:
    """Make a folder for results and keep it to this run; what a killed run left unfinished there is swept up.

    A folder that was made here and is still empty when an error ends the block is removed again.

    Raises:
        InputError: it is a file, cannot be made or written to, or another run is writing to it.
    """
    folder = Path(path)
    made = _make(folder)
    try:
        with _kept_to_this_run(folder):
            _sweep(folder)
            yield folder
    except BaseException:
        for empty in made:
            with suppress(OSError):
                empty.rmdir()
        raise


def _make(folder: Path) -> list[Path]:
    """Make the folder; the folders that were not there before, innermost first."""
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{called(folder)} is a file; the output must be a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the output folder {called(folder)}: {error.strerror}; choose another"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"cannot write to the output folder {called(folder)}; choose one that you may write to"
        )
    return missing


@contextmanager
def _kept_to_this_run(folder: Path) -> Iterator[None]:
    lock = folder / _LOCK
    try:
        held = _take(lock)
    except OSError as error:
        raise InputError(
            f"cannot write to the output folder {called(folder)}: {error.strerror}; choose another"
        ) from error
    if held is None:
        raise InputError(f"another run is writing to {called(folder)}; wait for it, or choose another folder")
    try:
        yield
    finally:
        with suppress(OSError):
            if sys.platform == "win32":
                held.close()  # it cannot be deleted while it is open
            lock.unlink(missing_ok=True)
        held.close()


def _take(lock: Path) -> IO[bytes] | None:
    """The lock file, locked; None where another run holds it."""
    while True:
        file = lock.open("wb")
        if not _locked(file):
            file.close()
            return None
        try:  # the run before may have deleted the file between our opening and locking it
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                return file
        except FileNotFoundError:
            pass
        file.close()


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


def _settle(file: Path) -> None:
    """Have the system write the file to the disk before it takes its place: only then is all space known.

    Some writers of ITK do not notice when the last of a file no longer fits on the disk. Then nothing more
    fits either, which is tried.
    """
    with file.open("r+b", buffering=0) as written:
        size = written.seek(0, os.SEEK_END)
        _write_whole(written, bytes(_BLOCK))
        os.fsync(written.fileno())
        written.truncate(size)
        os.fsync(written.fileno())


def _write_whole(file: IO[bytes], content: bytes) -> None:
    written = 0
    while written < len(content):
        written += file.write(content[written:])


def reserve(file: Path, size: int) -> None:
    """See that a new file of that size fits on the disk and in the user's quota.

    Raises:
        OSError: it does not.
    """
    with file.open("wb", buffering=0) as reserved:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(reserved.fileno(), 0, size)
            elif shutil.disk_usage(file.parent).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            reserved.truncate(0)


def _sweep(folder: Path) -> None:
    """Delete what runs that have ended left unfinished in a folder."""
    for left in folder.glob(f"{UNFINISHED}*"):
        with suppress(OSError):
            if _abandoned(left):
                _delete(left)


def _delete(left: Path) -> None:
    if left.is_dir():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.unlink(missing_ok=True)


def _abandoned(left: Path) -> bool:
    """Whether nobody writes to an unfinished file any more; of another machine's only its age can tell."""
    host, _, rest = left.name.removeprefix(UNFINISHED).partition("-")
    process = rest.partition("-")[0]
    if host == _HOST and process.isdigit():
        return not _runs(int(process))
    return time.time() - left.stat().st_mtime > _DAY


def _runs(process: int) -> bool:
    """Whether a process of that number runs on this machine."""
    if sys.platform == "win32":
        import ctypes

        synchronize, timed_out = 0x00100000, 258
        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(synchronize, False, process)
        running = bool(handle) and kernel.WaitForSingleObject(handle, 0) == timed_out
        if handle:
            kernel.CloseHandle(handle)
        return running
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
