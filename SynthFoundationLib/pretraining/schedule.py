"""How long a training is, in steps or by the clock, and how its learning rate rises and falls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from SynthFoundationLib.pretraining.config import OptimiserConfig

# Steps before the pace is believed: the first ones wait for processes to start.
SETTLING = 50


def rate_at(step: int, steps: int, config: OptimiserConfig) -> float:
    """Learning rate of a step: linear warm-up, constant, linear decay to zero."""
    start = steps * (1 - config.decay)
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    fall = min(1.0, (steps - step) / max(1.0, steps - start))
    return config.rate * rise * fall


class Length:
    """Number of steps of a training; with a length in minutes, as many as the pace lets this process do."""

    def __init__(self, steps: int, minutes: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock; `steps` is the most that are done, `minutes` 0 asks for all of them."""
        self.steps = self.most = steps
        self.clock, self.end = clock, clock() + 60 * minutes if minutes else math.inf
        self.first: int | None = None
        self.settled: tuple[int, float] | None = None

    def measured(self, step: int) -> int:
        """The number of steps in all, as the pace up to `step` foretells it."""
        now = self.clock()
        self.first = step if self.first is None else self.first
        if now >= self.end:
            return min(step, self.most)
        if step - self.first < SETTLING:
            return self.most
        if self.settled is None:
            self.settled = step, now
            return self.most
        pace = (now - self.settled[1]) / (step - self.settled[0])
        return int(min(self.most, step + (self.end - now) / max(pace, 1e-6)))
