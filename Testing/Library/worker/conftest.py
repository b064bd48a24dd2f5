import sys
import time
from pathlib import Path

import numpy as np
import pytest

from SynthFoundationLib.demo import make_small_pair
from SynthFoundationLib.worker.client import WorkerClient

# One thread: the machine that runs the tests runs several of them at a time.
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


def plain(grid):
    return {name: getattr(grid, name) for name in ("size", "spacing", "origin", "direction")}


def wait(client, until, seconds=60.0):
    """Poll as a timer would until something holds."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "nothing came"
        client.poll()
        time.sleep(0.005)


@pytest.fixture(scope="session")
def pair():
    """The demo's small pair: fixed, moving, the true transform."""
    return make_small_pair()


@pytest.fixture
def new_client(tmp_path):
    """Makes clients with processes of their own, closed at the end of the test."""
    made = []

    def make(**options):
        made.append(WorkerClient(sys.executable, tmp_path, ENVIRONMENT, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()
    assert list(tmp_path.iterdir()) == []  # nothing is left


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    """One worker for all tests that do it no harm."""
    folder = tmp_path_factory.mktemp("exchange")
    with WorkerClient(sys.executable, folder, ENVIRONMENT) as client:
        yield client
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="session")
def sent(client, pair):
    """The same worker, with the pair put as "fixed" and "moving"."""
    put_pair(client, pair)
    return client


def put_pair(client, pair):
    for key, image in zip(("fixed", "moving"), pair[:2], strict=True):
        array = image.data[0].numpy().astype(np.int16)
        client.call("put_volume", {"key": key, "array": array, "grid": plain(image.grid)})


def left(client):
    """Files that lie in the exchange folder."""
    return [path for path in client.exchange.iterdir() if path.is_file()]


def gone(pid):
    """Whether a process has ended; one that nobody has asked for its exit code yet counts."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
