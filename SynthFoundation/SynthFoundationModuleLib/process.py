"""The worker process, asked from Qt's event loop: nothing here waits for it but `wait`, which scripts use."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from . import library
from .errors import UserError
from .scans import Role, fingerprint, scan_of

POLL_MS = 30
# How long an idle thread of the worker keeps a core before it sleeps, about a millisecond: as long as
# libraries like is in the way of Slicer's own threads, not at all doubles the time of a correction.
_WAITING = {"GOMP_SPINCOUNT": "30000", "KMP_BLOCKTIME": "1"}  # turns of a loop; milliseconds
PATIENCE = 0.6  # seconds that a cancelled request may take to stop before the process is killed

Progress = Callable[[str, float, "str | None"], None]
OnResult = Callable[[dict[str, Any]], None]
OnPart = Callable[[dict[str, Any]], None]
OnError = Callable[["WorkerError"], None]


class WorkerError(UserError):
    """What the worker answered instead of a result.

    Attributes:
        kind: input, weights, device, memory, cancelled, internal or died.
        detail: for a report.
        missing: what the worker has forgotten and must be sent again.
    """

    def __init__(self, event: dict[str, Any]) -> None:
        self.kind: str = event["kind"]
        self.detail: str = event.get("detail", "")
        self.missing: dict[str, str] = event.get("missing", {})
        super().__init__(_in_plain_words(self.kind, event["message"]))
        if self.kind in ("internal", "died") and self.detail:
            logging.error("SynthFoundation's worker: %s", self.detail)


def _in_plain_words(kind: str, message: str) -> str:
    if kind == "cancelled":
        return _("Cancelled; the scene is untouched.")
    sentence = message[:1].upper() + message[1:] + ("" if message.endswith((".", "!", "?")) else ".")
    return _("{reason} The scene is untouched.").format(reason=sentence) if kind == "died" else sentence


@contextmanager
def _refusing(text: str) -> Iterator[None]:
    """What the library refuses ends in this sentence, with the {reason} of the operating system."""
    from SynthFoundationLib.errors import SynthFoundationError

    try:
        yield
    except (SynthFoundationError, RuntimeError) as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise UserError(text.format(reason=reason)) from error


def _new_client() -> Any:
    library.make_importable()
    from SynthFoundationLib.worker.client import WorkerClient

    waiting = {name: os.environ.get(name, value) for name, value in _WAITING.items()}
    return WorkerClient(library.python_executable(), environment=waiting)


class Worker:
    """One second process for all panels; the first request starts it, and the first one after its death."""

    def __init__(self) -> None:
        self._client: Any = None
        self._warmed = False
        self._volumes: dict[tuple[str, Role], tuple[tuple, str]] = {}
        self._count = itertools.count(1)
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self.poll)

    @property
    def generation(self) -> int:
        """Grows with every process: what an earlier one knew is gone."""
        return self._client.generation if self._client is not None and self._client.alive else 0

    @property
    def pid(self) -> int | None:
        """The process, where one is running and has said so."""
        return self._client.hello.get("pid") if self.generation else None

    def ask(
        self,
        method: str,
        params: dict[str, Any],
        on_result: OnResult,
        on_error: OnError,
        on_progress: Progress | None = None,
        on_part: OnPart | None = None,
    ) -> int:
        """Send a request; its end is told once, from the event loop. Arrays travel as NumPy arrays.

        `on_part` gets the parts of the result that are known before all of it is.

        Raises:
            UserError: the process cannot be started, or the temporary folder not be written to.
        """

        def on_event(event: dict[str, Any]) -> None:
            if event["event"] == "result":
                on_result(event["result"])
            elif event["event"] == "error":
                on_error(WorkerError(event))
            elif event["parts"]:
                for part in event["parts"] if on_part is not None else ():
                    on_part(part)
            elif on_progress is not None:
                on_progress(event["stage"], event["fraction"], event.get("picture"))

        self.start()
        text = _("Nothing can be sent to the worker process through the temporary folder: {reason}.")
        with _refusing(text):
            number = self._client.request(method, params, on_event)
        self._timer.start()
        return number

    def wait(
        self, method: str, params: dict[str, Any], on_progress: Progress | None = None
    ) -> dict[str, Any]:
        """Ask and wait, with the interface alive: for scripts.

        Raises:
            UserError: there is no result.
        """
        ended: list[Any] = []
        self.ask(method, params, ended.append, ended.append, on_progress)
        self.run_until(lambda: bool(ended))
        if isinstance(ended[0], WorkerError):
            raise ended[0]
        return ended[0]

    def run_until(self, finished: Callable[[], bool]) -> None:
        """Keep the interface alive until something is so."""
        while not finished():
            slicer.app.processEvents()
            self.poll()
            time.sleep(0.005)

    def tell(self, method: str, params: dict[str, Any]) -> None:
        """Send a request whose result is of no interest; later requests will show what went wrong."""
        self.ask(method, params, lambda result: None, lambda error: None)

    def cancel(self, number: int) -> None:
        """Stop a request within a second: it ends with the kind "cancelled"."""
        if self._client is not None:
            self._client.cancel(number, PATIENCE)

    def volume(self, node: Any, role: Role) -> str:
        """The key of a volume in the worker, sent there if it is new or has changed since.

        Raises:
            UserError: it cannot be used, or not be sent.
        """
        place, mark = (node.GetID(), role), fingerprint(node, role)
        known, key = self._volumes.get(place, (None, ""))
        if known == mark and self._client.holds(key):
            return key
        scan = scan_of(node, role)
        if self._client is not None and self._client.holds(key):
            self.tell("drop_volume", {"key": key})
        key = f"volume-{next(self._count)}"
        self.tell("put_volume", {"key": key, "array": scan.array, "grid": scan.grid})
        self._volumes[place] = (mark, key)
        return key

    def forget(self, node_id: str) -> None:
        """Let the worker drop a volume that has left the scene."""
        for place in [place for place in self._volumes if place[0] == node_id]:
            key = self._volumes.pop(place)[1]
            if self._client is not None and self._client.holds(key):
                self.tell("drop_volume", {"key": key})

    def poll(self) -> None:
        """Hand out what the worker has said since."""
        if self._client is not None:
            self._client.poll()
        if self._client is None or not self._client.busy:
            self._timer.stop()

    def warm_up(self) -> None:
        """Start the process while the user is still choosing; once, and only where it would work."""
        if self._client is None and not self._warmed:
            self._warmed = True
            with suppress(UserError):
                self.start()

    def start(self) -> None:
        """Start the process if there is none; it loads what it needs while the user is still choosing.

        Raises:
            UserError: it cannot be started.
        """
        if self._client is None:
            try:
                self._client = _new_client()
            except RuntimeError as error:
                raise UserError(str(error)) from error
        with _refusing(_("The worker process cannot be started: {reason}.")):
            self._client.start()

    def close(self) -> None:
        """End the process; requests under way end as cancelled."""
        self._timer.stop()
        self._volumes.clear()
        client, self._client = self._client, None
        if client is not None:
            client.close()


_shared: list[Worker] = []


def shared_worker() -> Worker:
    """The worker that all panels, the effect and scripts use together."""
    if not _shared:
        _shared.append(Worker())
    return _shared[0]


def close_shared_worker() -> None:
    """End it; the next use starts a new one."""
    while _shared:
        _shared.pop().close()
