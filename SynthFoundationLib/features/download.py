"""Weights from the internet: only when the user agrees, resumed, checked, and there whole or not at all."""

from __future__ import annotations

import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from SynthFoundationLib.errors import WeightsError
from SynthFoundationLib.features.registry import WeightsEntry
from SynthFoundationLib.features.weight_files import sha256_of

CACHE_VARIABLE = "SYNTHFOUNDATION_CACHE"
CHUNK = 1 << 20
TIMEOUT_SECONDS = 30
Progress = Callable[[int, "int | None"], None]


def cache_folder() -> Path:
    """Return the folder of downloaded weights: $SYNTHFOUNDATION_CACHE, or the platform's place for caches."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "synthfoundation"


def downloaded(
    entry: WeightsEntry, consent: bool = False, folder: Path | None = None, progress: Progress | None = None
) -> Path:
    """Return the local file of weights that have a source, downloading them only with `consent`.

    `progress(bytes done, bytes in all or None)` may raise to stop; what has arrived is kept and resumed the
    next time. Raises `WeightsError` without consent, without connection, or when the SHA-256 is not the
    registered one.
    """
    target = (folder or cache_folder()) / entry.file
    if target.is_file():
        return target
    if not consent:
        raise WeightsError(
            f"Weights {entry.id!r} (licence {entry.licence}) are not on this machine. "
            f"Allow their download from {entry.source}, or put the file into {target.parent}."
        )
    partial = target.with_name(f"{target.name}.{entry.sha256[:12]}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(entry, partial, progress)
        if (found := sha256_of(partial)) != entry.sha256:
            partial.unlink()
            raise WeightsError(f"What {entry.source} sent for {entry.id!r} has SHA-256 {found}; not used.")
        os.replace(partial, target)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise WeightsError(
            f"Download of {entry.id!r} from {entry.source} failed: {error}. Try again; it resumes."
        ) from error
    return target


def _fetch(entry: WeightsEntry, partial: Path, progress: Progress | None) -> None:
    """Append to `partial` what it lacks of the source."""
    source = entry.source or ""
    if not source.startswith(("https://", "http://")):
        raise WeightsError(f"The source of {entry.id!r} is {entry.source!r}; it must be an http(s) address.")
    done = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(source, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        reply = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and done:
                return  # everything had arrived; the checksum decides
            raise
    with reply, partial.open("ab") as file:
        if reply.status != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0
            file.truncate(0)
        length = reply.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        while chunk := reply.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress:
                progress(done, total)
    if total is not None and done < total:
        raise http.client.IncompleteRead(b"", total - done)
