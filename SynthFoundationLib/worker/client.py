"""Drive the worker from another program, such as 3D Slicer: the standard library and numpy, no torch, no Qt.

    client = WorkerClient(sys.executable)
    client.call("put_volume", {"key": "ct", "array": array, "grid": grid})
    result = client.call("register", {"session": "a", "fixed": "ct", "moving": "mr"})

Arrays are numpy arrays on this side, anywhere in parameters and results; they travel as files.
"""

from __future__ import annotations

import atexit
import itertools
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SynthFoundationError
from .exchange import Exchange
from .folder import OwnFolder
from .process import WorkerProcess

Event = dict[str, Any]
_PUMP = 0.02  # seconds between two calls of the function that `call` pumps


class WorkerError(SynthFoundationError):
    """A request that failed: `kind` as README.md lists them, `missing` what the worker has to be sent."""

    def __init__(self, event: Event) -> None:
        super().__init__(event["message"])
        self.kind: str = event["kind"]
        self.detail: str = event.get("detail", "")
        self.missing: dict[str, str] = event.get("missing", {})


@dataclass(eq=False)
class _Open:
    """A request that is not answered yet; `key` is that of the volume that it sends."""

    process: WorkerProcess
    on_event: Callable[[Event], None]
    key: str | None
    given_up: bool = False


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
        self._ended: list[WorkerProcess] = []
        self._events: queue.SimpleQueue[tuple[WorkerProcess, Event]] = queue.SimpleQueue()
        self._ids = itertools.count(1)
        self._open: dict[int, _Open] = {}
        self._held: set[str] = set()

    @property
    def alive(self) -> bool:
        """Whether there is a worker at this moment."""
        return self._process is not None and self._process.alive

    @property
    def busy(self) -> bool:
        """Whether a request is not answered yet."""
        return bool(self._open)

    @property
    def pid(self) -> int | None:
        """The process id of the worker, once it has said that it is ready."""
        return self.hello.get("pid")

    @property
    def exchange(self) -> Path | None:
        """The folder in which arrays and pictures travel, while there is a worker."""
        return self._process.exchange.folder if self._process is not None else None

    def holds(self, key: str) -> bool:
        """Whether the worker that lives now was sent a volume of this key, and did not refuse or drop it."""
        return self.alive and key in self._held

    def start(self) -> None:
        """Start the worker if there is none; it loads what it needs while the user is still choosing.

        Raises:
            WorkerError: the interpreter cannot be started, or no exchange folder be made.
        """
        if self.alive:
            return
        if self._process is not None:
            self._ended.append(self._process)  # its end is still to be handed out
        self._held.clear()
        self.hello = {}
        try:
            if self._folder is None:
                self._folder = OwnFolder(self._parent)
                atexit.register(self.close)
            folder = self._folder.fresh()
            self._process = WorkerProcess(self._python, folder, self._environment, self._events.put)
        except OSError as error:
            self._process = None
            message = f"the process that computes cannot be started: {error.strerror or 'no access'}"
            raise WorkerError({"kind": "internal", "message": message, "detail": str(error)}) from error
        self.generation += 1

    def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> int:
        """Send a request; `on_event` gets each of its events from `poll`, the last being result or error.

        A picture named in a progress event is deleted when `on_event` returns.

        Raises:
            WorkerError: no worker can be started, or the arrays not be written to the disk.
        """
        self.start()
        assert self._process is not None
        params = dict(params or {})
        try:
            written = _written(params, self._process.exchange)
        except OSError as error:
            message = (
                f"cannot write to the temporary folder: {error.strerror or 'no access'}; make room there"
            )
            raise WorkerError({"kind": "memory", "message": message, "detail": str(error)}) from error
        id, key = next(self._ids), params.get("key")
        self._open[id] = _Open(
            self._process, on_event or (lambda event: None), key if method == "put_volume" else None
        )
        if method == "put_volume":
            self._held.add(str(key))
        elif method == "drop_volume":
            self._held.discard(str(key))
        self._process.send({"id": id, "method": method, "params": written})
        return id

    def poll(self) -> None:
        """Hand out the events that have come, in this thread; call it from a timer, some times a second."""
        with suppress(queue.Empty):
            while True:
                self._hand_out(*self._events.get_nowait())

    def cancel(self, id: int, patience: float = 1.0) -> None:
        """Stop a request. A worker that has not stopped it after `patience` seconds is killed."""
        request = self._open.get(id)
        if request is None or request.given_up:
            return
        request.given_up = True
        request.process.send({"method": "cancel", "params": {"id": id}})
        timer = threading.Timer(patience, lambda: request.process.kill() if id in self._open else None)
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
                with suppress(queue.Empty):
                    self._hand_out(*self._events.get(timeout=_PUMP))
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
        processes = [*self._ended, *([self._process] if self._process is not None else [])]
        if self.alive:
            processes[-1].end(patience)
        self._process, self._ended = None, []
        for process in processes:
            process.bury()
        for id in list(self._open):
            self._finish(id, _failed("cancelled", "stopped"))
        if self._folder is not None:
            self._folder.remove()
            self._folder = None
        atexit.unregister(self.close)

    def __enter__(self) -> WorkerClient:
        """The client; the worker starts with the first request."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _hand_out(self, process: WorkerProcess, event: Event) -> None:
        if event["event"] == "ready":
            if process is self._process:
                self.hello = event
        elif event["event"] == "ended":
            self._worker_ended(process, event)
        elif event["event"] == "progress":
            request = self._open.get(event["id"])
            if request is not None and not request.given_up:
                request.on_event(event)
            if event["picture"]:
                process.exchange.discard([Path(event["picture"]).name])
        else:
            self._finish(event["id"], event)

    def _finish(self, id: int | None, event: Event) -> None:
        request = self._open.pop(id, None) if id is not None else None
        if request is None:
            return
        if event["event"] == "error" and request.process is self._process:
            self._held.discard(str(request.key))
            self._held.discard(event.get("missing", {}).get("volume", ""))
        request.on_event({"id": id, **event})

    def _worker_ended(self, process: WorkerProcess, event: Event) -> None:
        """Answer what it has left open, delete what it has left behind, and tell who wants to know."""
        if process is self._process:
            self._process = None
            self._held.clear()
        elif process in self._ended:
            self._ended.remove(process)
        else:  # buried by `close`
            return
        process.bury()
        left = {id: request for id, request in self._open.items() if request.process is process}
        for id, request in left.items():
            stopped = _failed("cancelled", "stopped")
            self._finish(
                id, stopped if request.given_up else _failed("died", event["message"], event["detail"])
            )
        if self.died is not None and not any(request.given_up for request in left.values()):
            self.died(event["message"])


def _failed(kind: str, message: str, detail: str = "") -> Event:
    return {"event": "error", "kind": kind, "message": message, "detail": detail}


def _written(value: Any, exchange: Exchange) -> Any:
    """Parameters with each array of three axes or more written to a file."""
    if isinstance(value, np.ndarray) and value.ndim >= 3:
        return exchange.write(value)
    if isinstance(value, Mapping):
        return {key: _written(one, exchange) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(one, exchange) for one in value]
    return value
