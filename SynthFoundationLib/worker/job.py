"""A request at work: its parameters, its progress, and the wish to stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Cancelled
from .channel import Channel
from .exchange import Exchange
from .params import Params
from .protocol import Request, files_in

if TYPE_CHECKING:
    from ..geometry import Grid

# Seconds between two progress events of one stage.
_PACE = 0.1


class Job:
    """Everything that carrying out a request needs to know of it."""

    def __init__(self, request: Request, channel: Channel, exchange: Exchange) -> None:
        self.request, self._channel, self._exchange = request, channel, exchange
        self.params = Params(request.method, request.params, exchange)
        self._cancelled = threading.Event()
        self._written: list[str] = []
        self._stage, self._fraction, self._last = "", 0.0, 0.0

    def cancel(self) -> None:
        """Wish that it stops; called by the thread that listens."""
        self._cancelled.set()

    def check(self) -> None:
        """Stop here if that is wished.

        Raises:
            Cancelled: it is.
        """
        if self._cancelled.is_set():
            raise Cancelled("stopped")

    def progress(self, stage: str, fraction: float) -> None:
        """Tell how far the work is; not more often than a person can see.

        Raises:
            Cancelled: it shall stop.
        """
        self.check()
        now = time.monotonic()
        if stage != self._stage or now - self._last >= _PACE:
            self._stage, self._fraction, self._last = stage, fraction, now
            self._tell(None)

    def show(self, stage: str, fraction: float, png: bytes) -> None:
        """Tell what the work looks like so far."""
        self.check()
        self._stage, self._fraction = stage, fraction
        path = self._exchange.write_bytes(png, ".png")
        self._written.append(path.name)
        self._tell(str(path))

    def show_part(self, stage: str, fraction: float, box: Sequence[slice], array: np.ndarray) -> None:
        """Tell a part of the result before the rest is known: an array in a box of the volume."""
        self._stage, self._fraction = stage, fraction
        part = {"box": [[one.start, one.stop] for one in box], "labels": self.send_array(array)}
        self._tell(None, [part])

    def send_array(self, array: np.ndarray) -> dict[str, str]:
        """Write an array for the result; what stands for it there."""
        self.check()
        reference = self._exchange.write(array)
        self._written.append(reference["file"])
        return reference

    def send_volume(self, array: np.ndarray, grid: Grid) -> dict[str, Any]:
        """Write an array for the result; it and its grid."""
        return {"array": self.send_array(array), "grid": plain_grid(grid)}

    def end(self, event: dict[str, Any]) -> None:
        """Send the last event, and leave no file that nobody will fetch."""
        self._exchange.discard(files_in(self.request.params))
        if event["event"] != "result":
            self._exchange.discard(self._written)
        self._channel.send({"id": self.request.id, **event})

    def _tell(self, picture: str | None, parts: Sequence[dict[str, Any]] = ()) -> None:
        event = {"event": "progress", "stage": self._stage, "fraction": self._fraction, "picture": picture}
        self._channel.send({"id": self.request.id, **event, "parts": parts})


def plain_grid(grid: Grid) -> dict[str, Any]:
    """A grid as it stands in messages."""
    return {name: getattr(grid, name) for name in ("size", "spacing", "origin", "direction")}
