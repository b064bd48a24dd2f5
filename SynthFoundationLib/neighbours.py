"""Computing beside other programs; imports nothing, as it has to come before torch."""

from __future__ import annotations

import os

SPINS = 10_000


def mind_the_neighbours() -> None:
    """Let threads that wait for each other soon leave the core to others; call it before torch loads.

    On Linux, threads of GNU OpenMP wait in a loop of 300,000 rounds, also for one whose core is taken by
    another program: with as many threads as cores and one more program at work, everything takes ten and more
    times as long (docs/trust.md). What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
