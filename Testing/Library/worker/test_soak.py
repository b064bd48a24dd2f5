"""One worker for a working day: it does not grow; and killed at any moment, it leaves nothing behind.

pytest Testing/Library/worker/test_soak.py -m slow -s
"""

import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from SynthFoundationLib.worker.client import WorkerError

from .conftest import gone, left, put_pair, wait

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
REGISTRATIONS, WARM_UP = 200, 20
KILLS = 50


def resident(pid):
    """Memory that a process holds, MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def test_two_hundred_registrations_in_one_worker_without_growth(new_client, pair):
    client = new_client()
    put_pair(client, pair)
    pose = pair[2].transforms[-1].matrix.tolist()
    held = []
    for n in range(REGISTRATIONS + WARM_UP):
        # names come back as in a session with a user, who has some registrations open
        params = {
            "session": f"s{n % 5}",
            "fixed": "fixed",
            "moving": "moving",
            "preset": "fast",
            "initial": pose,
        }
        assert client.call("register", params)["displacement"]["array"].any()
        held.append(resident(client.pid))
    early, late = np.median(held[WARM_UP : WARM_UP + 20]), np.median(held[-20:])
    growth = 100 * (late / early - 1)
    print(f"{REGISTRATIONS} registrations: {early:.1f} MB, in the end {late:.1f} MB: {growth:+.2f} %")
    print("every tenth:", " ".join(f"{one:.0f}" for one in held[::10]))
    assert abs(growth) <= 2
    assert left(client) == []
    assert client.generation == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_worker_killed_at_any_moment_leaves_nothing(new_client, pair, tmp_path, number):
    """Fifty times, at random moments of sending, registering and segmenting."""
    rng, told = random.Random(number), []
    client = new_client(died=told.append)
    start = time.monotonic()
    worked(client, pair)
    usual = time.monotonic() - start
    pids, answers = set(), 0
    for _ in range(KILLS):
        client.start()
        wait(client, lambda: client.hello)
        pids.add(client.pid)
        executioner = threading.Timer(1.5 * usual * rng.random(), os.kill, (client.pid, number))
        executioner.start()
        kind = None
        while kind is None:
            try:
                answers += worked(client, pair)
            except WorkerError as error:
                kind = error.kind
        assert kind == "died"
        executioner.join()
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert [path.suffix for path in files] == [".lock"]
    assert len(told) == len(pids) == KILLS
    assert all(gone(pid) for pid in pids)
    print(f"{KILLS} times {signal.Signals(number).name}: {answers} requests answered, nothing left behind")


def worked(client, pair):
    """The requests of a short session; how many."""
    put_pair(client, pair)
    params = {"session": "a", "fixed": "fixed", "moving": "moving", "preset": "fast"}
    client.call("register", params | {"initial": pair[2].transforms[-1].matrix.tolist()})
    client.call("segment_open", {"session": "a", "volume": "fixed"})
    seeds = np.zeros(pair[0].grid.shape, np.uint8)
    seeds[24] = 1 + (pair[0].data[0, 24].numpy() > 200)
    client.call("segment_update", {"session": "a", "seeds": seeds})
    return 5
