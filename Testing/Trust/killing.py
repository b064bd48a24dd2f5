"""Runs of the command line that are killed, and what is looked at afterwards."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from SynthFoundationLib.cli.app import run
from SynthFoundationLib.files import UNFINISHED

PATIENCE = 180.0  # seconds in which the children of a killed run must end; they may still be starting
TIMED = ("report.html", "report.json")  # they say how long it took


@dataclass
class Tally:
    """How many runs were killed and how many ended by SIGTERM, and what was wrong afterwards."""

    killed: int = 0
    ended: int = 0
    faults: list[str] = field(default_factory=list)

    def count(self, gently: bool) -> None:
        """One more."""
        self.ended += gently
        self.killed += not gently


class Killer:
    """Kills a run again and again."""

    def __init__(self, folder: Path, times: int, rng: random.Random) -> None:
        self.folder, self.times, self.rng, self.tally = folder, times, rng, Tally()
        self.left = 2 * times

    def timed(self, command: Sequence[str]) -> float:
        """Seconds that the run takes."""
        start = time.monotonic()
        completed(self.folder, command)
        return time.monotonic() - start

    def kill(
        self,
        command: Sequence[str],
        seconds: float,
        reset: Callable[[], object],
        look: Callable[[], Iterable[str]],
    ) -> None:
        """Each time put things in order with `reset`, kill within `seconds` and a little, and `look`."""
        for number in range(2 * self.times):
            self.left -= 1
            reset()
            gently = number % 2 == 1
            if self._was_killed(command, self.rng.uniform(0, 1.1 * seconds), gently):
                self.tally.count(gently)
            self.tally.faults += look()

    def _was_killed(self, command: Sequence[str], after: float, gently: bool) -> bool:
        """Run and kill after so many seconds; whether it still ran then."""
        said = self.folder / "said.txt"
        process = started(self.folder, command, said)
        end = time.monotonic() + after
        while time.monotonic() < end:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                if status:
                    self.tally.faults.append(f"exit {os.waitstatus_to_exitcode(status)} before it was killed")
                return False
            time.sleep(0.002)
        os.kill(process, signal.SIGTERM if gently else signal.SIGKILL)
        os.waitpid(process, 0)
        if not _group_ends(process):
            self.tally.faults.append("a process lived on")
            os.killpg(process, signal.SIGKILL)
        text = said.read_text(errors="replace")
        if "Traceback" in text and gently:
            self.tally.faults.append(f"SIGTERM ended in a traceback: {text.strip().splitlines()[-1]}")
        return True


def started(folder: Path, command: Sequence[str], said: Path) -> int:
    """Run the command line in a process group of its own, forked off this one, which has all loaded."""
    said.touch()
    process = os.fork()
    if process:
        return process
    try:
        os.setsid()
        os.chdir(folder)
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        run(list(command))
    except SystemExit as end:
        for helper in multiprocessing.active_children():  # as the interpreter does at its end
            helper.terminate()
            helper.join()
        os._exit(end.code if isinstance(end.code, int) else 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(1)


def completed(folder: Path, command: Sequence[str]) -> None:
    """Run to the end."""
    said = folder / "said.txt"
    _, status = os.waitpid(started(folder, command, said), 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}: {said.read_text()}")


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each finished file."""
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def mixed(found: dict[str, str], before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What is wrong with a folder that held the results `before` when a run that gives `after` was killed."""
    faults = [f"{name} is gone" for name in before if name not in found and name not in TIMED]
    faults += [
        f"{name} is of neither run"
        for name, digest in found.items()
        if name not in TIMED and digest not in (before.get(name), after.get(name))
    ]
    whole = [all(found.get(n) == h for n, h in one.items() if n not in TIMED) for one in (before, after)]
    if "report.html" in found and not any(whole):
        faults.append("there is a report although the files are of two runs")
    return faults


def leftovers(folder: Path) -> list[str]:
    """Unfinished files and locks that a run left although it went to the end."""
    kinds = (f"{UNFINISHED}*", ".in-use*", "*.partial", "*.old")
    return [f"{path.name.partition('-')[0]} is left" for kind in kinds for path in folder.rglob(kind)]


def _group_ends(group: int) -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
