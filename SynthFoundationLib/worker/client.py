"""Drive the worker from another program, such as 3D Slicer: the standard library and numpy, no torch, no Qt.

    client = WorkerClient(sys.executable)
    client.call("put_volume", {"key": "ct", "array": array, "grid": grid})
    result = client.call("register", {"session": "a", "fixed": "ct", "moving": "mr"})

Arrays are numpy arrays on this side, anywhere in parameters and results; they travel as files.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SynthFoundationError
from .exchange import Exchange
from .folder import OwnFolder
from .process import WorkerProcess

Event = dict[str, Any]
_STOPPED = {"event": "error", "kind": "cancelled", "message": "stopped", "detail": ""}
_PUMP = 0.02  # seconds between two calls of the function that `call` pumps


class WorkerError(SynthFoundationError):
    """A request that failed: `kind` as README.md lists them, `missing` what the worker has to be sent."""

    def __init__(self, event: Event) -> None:
        super().__init__(event["message"])
        self.kind: str = event["kind"]
        self.detail: str = event.get("detail", "")
        self.missing: dict[str, str] = event.get("missing", {})


class WorkerClient:
    """Starts the worker when it is needed, sends requests, and hands events out when `poll` is called.

    All methods are called from one thread; nothing blocks but `call` and `close`. A worker that dies ends its
    requests with an error of kind "died", and the next request starts a new one, which holds no volumes yet.
    """

    def __init__(
        self,
        python: str | Path,
        exchange: str | Path | None = None,
        environment: Mapping[str, str] | None = None,
        died: Callable[[str], None] | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            python: the interpreter to run the worker in, such as Slicer's PythonSlicer.
            exchange: folder to make the exchange folder in; by default the system's temporary one.
            environment: variables to set for the worker, besides those of this process.
            died: called by `poll` with one line for the user when a worker has ended that should not have.
        """
        self.died = died
        self.generation = 0
        self.hello: Event = {}
        self._python, self._parent, self._environment = Path(python), exchange, dict(environment or {})
        self._folder: OwnFolder | None = None
        self._process: WorkerProcess | None = None
        self._events: queue.SimpleQueue[tuple[WorkerProcess, Event]] = queue.SimpleQueue()
        self._ids = itertools.count(1)
        self._open: dict[int, Callable[[Event], None]] = {}
        self._methods: dict[int, str] = {}
        self._putting: dict[int, str] = {}
        self._held: set[str] = set()
        self._given_up: set[int] = set()

    @property
    def alive(self) -> bool:
        """Whether there is a worker at this moment."""
        return self._process is not None and self._process.alive

    @property
    def exchange(self) -> Path:
        """The folder in which arrays and pictures travel, while there is a worker."""
        self.start()
        assert self._process is not None
        return self._process.exchange.folder

    @property
    def busy(self) -> bool:
        """Whether a request is not answered yet."""
        return bool(self._open)

    def holds(self, key: str) -> bool:
        """Whether the worker that lives now was sent a volume of this key, and did not refuse or drop it."""
        return self.alive and key in self._held

    def start(self) -> None:
        """Start the worker if there is none; it loads what it needs while the user is still choosing.

        Raises:
            OSError: the interpreter cannot be started, or no exchange folder be made.
        """
        if self.alive:
            return
        self._bury()
        self._folder = self._folder or OwnFolder(self._parent)
        self._held.clear()
        self._process = WorkerProcess(self._python, self._folder.fresh(), self._environment, self._events.put)
        self.generation += 1

    def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> int:
        """Send a request; `on_event` gets each of its events from `poll`, the last being result or error.

        A picture named in a progress event is deleted when `on_event` returns.
        """
        self.start()
        assert self._process is not None
        id = next(self._ids)
        self._open[id] = on_event or (lambda event: None)
        self._methods[id] = method
        params = dict(params or {})
        if method == "put_volume":
            self._putting[id] = params["key"]
            self._held.add(params["key"])
        elif method == "drop_volume":
            self._held.discard(params.get("key", ""))
        exchange = self._process.exchange
        try:
            self._process.send({"id": id, "method": method, "params": _written(params, exchange)})
        except BaseException:
            self._forget(id)
            raise
        return id

    def poll(self) -> None:
        """Hand out the events that have come, in this thread; call it from a timer, some times a second."""
        while True:
            try:
                process, event = self._events.get_nowait()
            except queue.Empty:
                return
            self._hand_out(process, event)

    def cancel(self, id: int, patience: float = 1.0) -> None:
        """Stop a request. A worker that has not stopped it after `patience` seconds is killed."""
        if id not in self._open or self._process is None or id in self._given_up:
            return
        self._given_up.add(id)
        process = self._process
        process.send({"method": "cancel", "params": {"id": id}})
        timer = threading.Timer(patience, lambda: process.kill() if id in self._open_at(process) else None)
        timer.daemon = True
        timer.start()

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        on_progress: Callable[[Event], None] | None = None,
        pump: Callable[[], None] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Send a request and wait for its result; for scripts.

        Args:
            method: name of the method.
            params: its parameters.
            on_progress: gets the progress events.
            pump: called many times a second while waiting, such as Slicer's `processEvents`.
            timeout: seconds after which the request is cancelled.

        Raises:
            WorkerError: the request failed, or the worker died.
        """
        last: list[Event] = []

        def keep(event: Event) -> None:
            if event["event"] != "progress":
                last.append(event)
            elif on_progress is not None:
                on_progress(event)

        id = self.request(method, params, keep)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while not last:
                self._wait(_PUMP)
                if pump is not None:
                    pump()
                if deadline is not None and time.monotonic() > deadline:
                    self.cancel(id)
        except BaseException:
            self.cancel(id)
            raise
        if last[0]["event"] == "error":
            raise WorkerError(last[0])
        return last[0]["result"]

    def close(self, patience: float = 2.0) -> None:
        """End the worker and delete the exchange folder; requests that are open end as cancelled."""
        if self._process is not None:
            self._process.end(patience)
        for id in list(self._open):
            self._finish(id, dict(_STOPPED))
        self._bury()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def __enter__(self) -> WorkerClient:
        """The client; the worker starts with the first request."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _wait(self, seconds: float) -> None:
        """Hand out events, waiting for the first one."""
        with suppress(queue.Empty):
            self._hand_out(*self._events.get(timeout=seconds))
        self.poll()

    def _hand_out(self, process: WorkerProcess, event: Event) -> None:
        if process is not self._process:  # of a worker that was buried before its last words were read
            return
        if event["event"] == "ready":
            self.hello = event
        elif event["event"] == "ended":
            self._worker_ended(event["message"], event["detail"])
        elif event["event"] == "progress":
            if (on_event := self._open.get(event["id"])) is not None and event["id"] not in self._given_up:
                on_event(event)
            if event["picture"]:
                process.exchange.discard([Path(event["picture"]).name])
        else:
            self._finish(event["id"], event)

    def _finish(self, id: int | None, event: Event) -> None:
        on_event = self._open.get(id) if id is not None else None
        if id is None or on_event is None:
            return
        failed = event["event"] == "error"
        if failed and id in self._putting:
            self._held.discard(self._putting[id])
        if failed and "volume" in event.get("missing", {}):
            self._held.discard(event["missing"]["volume"])
        self._forget(id)
        on_event(event)

    def _forget(self, id: int) -> None:
        self._open.pop(id, None)
        self._methods.pop(id, None)
        self._putting.pop(id, None)
        self._given_up.discard(id)

    def _open_at(self, process: WorkerProcess) -> set[int]:
        """The requests that a worker has still to answer."""
        return set(self._open) if process is self._process else set()

    def _worker_ended(self, message: str, detail: str) -> None:
        expected = bool(self._given_up)
        self._bury()
        died = {"event": "error", "kind": "died", "message": message, "detail": detail}
        for id in list(self._open):
            self._finish(id, {"id": id, **(_STOPPED if id in self._given_up else died)})
        if not expected and self.died is not None:
            self.died(message)

    def _bury(self) -> None:
        """Forget a worker that has ended, and delete what it left."""
        if self._process is not None:
            self._process.bury()
            self._process = None
        self._held.clear()


def _written(value: Any, exchange: Exchange) -> Any:
    """Parameters with each array written to a file."""
    if isinstance(value, np.ndarray) and value.ndim >= 3:
        return exchange.write(value)
    if isinstance(value, Mapping):
        return {key: _written(one, exchange) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(one, exchange) for one in value]
    return value
