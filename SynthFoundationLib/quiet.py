"""Keep the C and C++ layers of ITK from writing warnings over our own output."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import SimpleITK as sitk

if TYPE_CHECKING:
    from collections.abc import Iterator

_one_at_a_time = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence ITK's warnings and what its C libraries print to the standard error of the process."""
    with _one_at_a_time, _error_stream_closed():
        shown = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)


@contextmanager
def _error_stream_closed() -> Iterator[None]:
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError):  # a process without a console, such as a window on Windows
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
