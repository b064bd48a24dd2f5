"""The two pipes of the worker, taken out of reach of every library."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any

from .protocol import encoded


class Channel:
    """Writes events, one a line, from any thread; whole lines even where two threads write at once."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def send(self, event: Mapping[str, Any]) -> None:
        """Write an event; a client that no longer reads ends the worker."""
        line = encoded(event)
        with self._lock:
            try:
                self._pipe.write(line)
                self._pipe.flush()
            except (OSError, ValueError):
                os._exit(1)


def take_pipes() -> tuple[IO[bytes], Channel]:
    """The requests and the channel for events, moved off the standard streams.

    From here on, what anything writes to the standard output, be it C code, goes to the standard error, and
    what reads the standard input finds it empty. The moved pipes are not inherited by other processes.
    """
    requests = os.fdopen(os.dup(0), "rb")
    events = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # there is no standard error
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
    os.close(nothing)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  (for the life of the process)
    sys.stdout = sys.stderr
    return requests, Channel(events)
