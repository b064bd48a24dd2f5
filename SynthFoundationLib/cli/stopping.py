"""SIGTERM unwinds the program, so that no unfinished file stays."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TERMINATED = 143
AGAIN_SECONDS = 0.05


@contextmanager
def unwinding() -> Iterator[None]:
    """Let SIGTERM end what runs in here by `SystemExit`, wherever it arrives."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    told = sys.unraisablehook

    def again(dropped: Any) -> None:
        """Python drops what is raised while an object is cleaned up: ask again a moment later."""
        if isinstance(dropped.exc_value, SystemExit):
            threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGTERM)).start()
        else:
            told(dropped)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = told
