"""One worker process as the client sees it: started, listened to by threads, ended or killed."""

from __future__ import annotations

import collections
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import InputError
from .exchange import Exchange
from .protocol import decoded, encoded, files_in

# The folder that holds this package; the worker must run the same code.
_ROOT = Path(__file__).resolve().parents[2]
_TOLD_LINES = 60
_PATIENCE = 5.0


class WorkerProcess:
    """A process, its pipes, and the two threads that read them."""

    def __init__(
        self,
        python: Path,
        folder: Path,
        environment: Mapping[str, str],
        put: Callable[[tuple[WorkerProcess, dict[str, Any]]], None],
    ) -> None:
        """Start it. `put` gets each event with this object, last one that says that the process has ended."""
        self.exchange = Exchange(folder)
        self._put = put
        self._told: collections.deque[str] = collections.deque(maxlen=_TOLD_LINES)
        self._own_pid: int | None = None
        self._killed = False
        self._writing = threading.Lock()
        self._process = subprocess.Popen(
            [str(python), "-m", "SynthFoundationLib.worker", "--exchange", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=_ROOT,
            env=_environment(environment),
            creationflags=_flags(),
            start_new_session=sys.platform != "win32",
        )
        self._teller = threading.Thread(target=self._overhear, daemon=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._teller.start()
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs and is not about to be killed."""
        return not self._killed and self._process.poll() is None

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a request. A process that has ended gets none: its end is on the way as an event."""
        assert self._process.stdin is not None
        with self._writing, suppress(OSError, ValueError):
            self._process.stdin.write(encoded(message))
            self._process.stdin.flush()

    def kill(self) -> None:
        """End it at once. PythonSlicer starts Python as a process of its own: that one has to end, too."""
        self._killed = True
        if self._process.poll() is None:
            if self._own_pid not in (None, self._process.pid):
                with suppress(OSError):
                    os.kill(self._own_pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            self._process.kill()

    def end(self, patience: float) -> None:
        """Ask it to end; kill it if it does not."""
        self.send({"method": "shutdown"})
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def bury(self) -> None:
        """Wait for what is left of it, close its pipes and delete its files."""
        self.kill()
        self._process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        self._teller.join(_PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        shutil.rmtree(self.exchange.folder, ignore_errors=True)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                event = decoded(line)
            except InputError:
                self._told.append("a line that is no event")
                continue
            if event.get("event") == "ready":
                self._own_pid = event["pid"]
            self._put((self, self._with_arrays(event)))
        code = self._process.wait()
        self._teller.join(_PATIENCE)
        detail = "\n".join(self._told)
        self._put((self, {"event": "ended", "message": _cause(code, detail), "detail": detail}))

    def _with_arrays(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event with its arrays read from their files."""
        if event.get("event") == "progress":
            try:
                return {**event, "parts": self._read_files(event.get("parts", []))}
            except (InputError, MemoryError):  # the result will tell all that parts would have
                self.exchange.discard(files_in(event))
                return {**event, "parts": []}
        if event.get("event") != "result":
            return event
        try:
            return {**event, "result": self._read_files(event["result"])}
        except (InputError, MemoryError) as error:
            self.exchange.discard(files_in(event))
            kind = "memory" if isinstance(error, MemoryError) else "internal"
            message = f"the result cannot be read: {error or 'memory ran out'}"
            return {"id": event["id"], "event": "error", "kind": kind, "message": message, "detail": ""}

    def _read_files(self, value: Any) -> Any:
        if isinstance(value, dict):
            if set(value) == {"file"}:
                return self.exchange.read(value["file"])
            return {key: self._read_files(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._read_files(one) for one in value]
        return value

    def _overhear(self) -> None:
        """Read what the process says to the standard error, and keep the last lines."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._told.append(line.decode("utf-8", "replace").rstrip()[:500])


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    environment = {**os.environ, **more}
    paths = [str(_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def _flags() -> int:
    """Windows: no console window, and whatever else the user does comes first."""
    if sys.platform != "win32":
        return 0
    return subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS


def _cause(code: int, told: str) -> str:
    """One line for the user on why the worker has ended."""
    if code == -getattr(signal, "SIGKILL", 9) or "MemoryError" in told or "bad_alloc" in told:
        return (
            "the process that computes was ended from outside, most likely because memory ran out; "
            "close other programs or choose the preset fast, and try again"
        )
    if "No module named" in told:
        return "the process that computes does not start: a Python package is missing; install what is needed"
    return f"the process that computes has ended unexpectedly (code {code}); try again"
