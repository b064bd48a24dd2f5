"""The worker's two threads: one listens and answers at once, the main thread works, one request at a time."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from .. import __version__
from ..errors import Cancelled
from .channel import Channel
from .exchange import Exchange
from .failures import failure
from .job import Job
from .protocol import LONGEST_LINE, PROTOCOL, BadRequest, Request, read_request

Method = Callable[[Job], "dict[str, Any]"]
_NOTHING = {"volumes": [], "registrations": [], "segmentations": [], "volume_bytes": 0, "feature_bytes": 0}
# Seconds between two looks at whether the parent still lives.
_WATCH = 1.0


class Server:
    """Carries out requests until the client hangs up, dies, or says so."""

    def __init__(self, requests: IO[bytes], channel: Channel, exchange: Exchange) -> None:
        self._requests, self._channel, self._exchange = requests, channel, exchange
        self._waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._open: dict[int | None, Job] = {}
        self._lock = threading.Lock()
        self._running: Job | None = None
        self._state: Callable[[], dict[str, Any]] | None = None

    def run(self, load: Callable[[], tuple[Mapping[str, Method], Callable[[], dict[str, Any]]]]) -> None:
        """Say that the worker is ready, load what is heavy, and work.

        Args:
            load: gives the methods by name, and a function that tells what the worker holds.
        """
        self._channel.send(
            {"event": "ready", "protocol": PROTOCOL, "version": __version__, "pid": os.getpid()}
        )
        for duty in (self._listen, self._watch):
            threading.Thread(target=duty, daemon=True).start()
        methods: Mapping[str, Method] | BaseException
        try:
            methods, self._state = load()
        except Exception as error:
            methods = error
        while True:
            self._work(self._waiting.get(), methods)

    def _work(self, job: Job, methods: Mapping[str, Method] | BaseException) -> None:
        name = job.request.method
        with self._lock:
            if job.request.id not in self._open:  # cancelled while it waited
                return
            self._running = job
        try:
            job.check()
            if isinstance(methods, BaseException):
                raise methods
            if name not in methods:
                allowed = ", ".join(sorted({*methods, "cancel", "shutdown", "status"}))
                raise BadRequest(f"there is no method {name!r:.60}; there are {allowed}")
            event = {"event": "result", "result": methods[name](job)}
        except Exception as error:
            event = {"event": "error", **failure(error, name[:60])}
        with self._lock:
            self._running = None
            self._open.pop(job.request.id)
        self._end(job, event)

    def _end(self, job: Job, event: dict[str, Any]) -> None:
        try:
            job.end(event)
        except Exception as error:  # a result that cannot be sent
            job.end({"event": "error", **failure(error, job.request.method[:60])})

    def _listen(self) -> None:
        """Take requests until the pipe ends; then the parent is gone, or wants the worker gone."""
        while line := self._line():
            try:
                self._take(read_request(line))
            except Exception as error:
                id = error.id if isinstance(error, BadRequest) else None
                self._channel.send({"id": id, "event": "error", **failure(error, "the request")})
        self._leave()

    def _line(self) -> bytes:
        """The next line; of one that is too long, its beginning, which is long enough to be refused."""
        line = self._requests.readline(LONGEST_LINE + 1)
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = self._requests.readline(LONGEST_LINE + 1)
        return line

    def _take(self, request: Request) -> None:
        if request.method == "cancel":
            self._answer(request, {"cancelled": self._cancel(request.params.get("id"))})
        elif request.method == "status":
            self._answer(request, self._status())
        elif request.method == "shutdown":
            self._answer(request, {})
            self._leave()
        else:
            job = Job(request, self._channel, self._exchange)
            with self._lock:
                if request.id in self._open:
                    raise BadRequest(f"id {request.id} is in use; give each request its own")
                self._open[request.id] = job
            self._waiting.put(job)

    def _answer(self, request: Request, result: dict[str, Any]) -> None:
        if request.id is not None:
            self._channel.send({"id": request.id, "event": "result", "result": result})

    def _cancel(self, id: Any) -> bool:
        """Ask the request at work to stop; end one that waits."""
        with self._lock:
            job = self._open.get(id) if isinstance(id, int) else None
            waits = job is not None and job is not self._running
            if waits:
                del self._open[id]
        if job is None:
            return False
        job.cancel()
        if waits:
            self._end(job, {"event": "error", **failure(Cancelled("stopped"), job.request.method)})
        return True

    def _status(self) -> dict[str, Any]:
        running = self._running
        with self._lock:
            waiting = [id for id, job in self._open.items() if job is not running]
        at_work = None if running is None else {"id": running.request.id, "method": running.request.method}
        held = self._state() if self._state else _NOTHING
        return {"loaded": self._state is not None, "running": at_work, "waiting": waiting, **held}

    def _watch(self) -> None:
        """Leave when the parent is dead although something else holds the pipe open."""
        parent = os.getppid()
        while True:
            time.sleep(_WATCH)
            if os.getppid() != parent:
                self._leave()

    def _leave(self) -> None:
        """End at once, whatever the main thread is doing, and leave no file behind."""
        self._exchange.clear()
        os._exit(0)
