"""How far a run is: what it tells while it works, what each stage took, and where it can be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from ..geometry import Transform

Progress = Callable[[str, float], None]
OnState = Callable[[str, Transform], None]
# Progress is told no more often than this while a stage goes on.
TOLD_EVERY_SECONDS = 0.1


class Beat(Protocol):
    """Called by whatever takes long, several times a second; what it raises ends the work."""

    def __call__(self, done: float | None = None) -> None:
        """Tell the share of the stage that is done, if it is known."""


def silent(done: float | None = None) -> None:
    """The beat of work that nobody watches."""


class Course:
    """The stages of one run.

    Attributes:
        stages: name and seconds of each that has ended, as plain JSON values.
    """

    def __init__(
        self, shares: Mapping[str, float], progress: Progress | None = None, on_state: OnState | None = None
    ) -> None:
        """`shares` are the stages to come, in order, with about how long each takes beside the others."""
        self.stages: list[dict[str, Any]] = []
        self._shares, self._progress, self._on_state = dict(shares), progress, on_state

    @contextmanager
    def stage(self, name: str) -> Iterator[Beat]:
        """Announce and time a stage; gives the beat for what happens in it."""
        names, total = list(self._shares), sum(self._shares.values())
        first = sum(self._shares[one] for one in names[: names.index(name)]) / total
        share, furthest, told = self._shares[name] / total, 0.0, -1.0

        def beat(done: float | None = None) -> None:
            nonlocal furthest, told
            furthest = max(furthest, min(done or 0.0, 1.0))
            if self._progress and time.perf_counter() - told >= TOLD_EVERY_SECONDS:
                self._progress(name, first + share * furthest)
                told = time.perf_counter()

        start = time.perf_counter()
        beat()
        yield beat
        self.stages.append({"name": name, "seconds": round(time.perf_counter() - start, 3)})

    def state(self, name: str, transform: Callable[[], Transform]) -> None:
        """Show the transform after a stage to whoever wants to see it; it is made only then."""
        if self._on_state:
            self._on_state(name, transform())
