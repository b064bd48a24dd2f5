"""The worker's life: it is cancelled, killed, orphaned, starved of memory, and the client goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from SynthFoundationLib.worker.client import WorkerClient, WorkerError

from .conftest import ENVIRONMENT, gone, left, put_pair, wait

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and /proc")
ROOT = Path(__file__).parents[3]
# The whole search for a start and a large grid: longer than any test waits.
LONG = {"session": "long", "fixed": "fixed", "moving": "moving", "preset": "accurate"}


def begun(client, params=LONG):
    """A registration that is at work, and the list that its events go to."""
    events = []
    id = client.request("register", params, events.append)
    wait(client, lambda: any(event["event"] == "progress" for event in events))
    return id, events


def test_the_worker_says_that_it_is_ready_before_it_loads_torch(new_client):
    client = new_client()
    client.start()
    wait(client, lambda: client.hello)
    assert client.hello["protocol"] == 1
    assert client.hello["pid"] != os.getpid()
    assert not gone(client.pid)
    maps = Path(f"/proc/{client.pid}/maps")
    if maps.exists():
        assert "libtorch_cpu" not in maps.read_text()
    assert client.call("status")["loaded"] in (True, False)


def test_a_cancelled_request_ends_within_a_second_and_the_worker_goes_on(sent):
    pid, generation = sent.pid, sent.generation
    id, events = begun(sent)
    start = time.monotonic()
    sent.cancel(id, patience=30)
    wait(sent, lambda: not sent.busy)
    assert time.monotonic() - start < 1 + loaded()
    assert events[-1]["kind"] == "cancelled"
    assert (sent.pid, sent.generation, sent.alive) == (pid, generation, True)
    assert left(sent) == []
    assert "fixed" in sent.call("status")["volumes"]


def test_what_knows_nothing_of_being_stopped_is_stopped_between_operations(sent, pair):
    """A first update of a segmentation tells no progress; it stops nevertheless, and starts again."""
    sent.call("segment_open", {"session": "stopped", "volume": "fixed"})
    seeds = np.zeros(pair[0].grid.shape, np.uint8)
    seeds[24] = 1 + (pair[0].data[0, 24].numpy() > 200)
    events = []
    id = sent.request("segment_update", {"session": "stopped", "seeds": seeds}, events.append)
    sent.cancel(id, patience=30)
    wait(sent, lambda: not sent.busy)
    assert events[-1]["kind"] == "cancelled"
    again = sent.call("segment_update", {"session": "stopped", "seeds": seeds})
    assert again["edits"] == 1
    assert again["labels"].any()


def test_requests_are_worked_on_in_order_and_may_be_cancelled_while_they_wait(sent):
    ended = []
    first, _ = begun(sent)
    second = sent.request("carry_points", {"session": "none", "points": [[0, 0, 0]]}, ended.append)
    third = sent.request("drop_volume", {"key": "none"}, ended.append)
    status = sent.call("status")
    assert status["running"] == {"id": first, "method": "register"}
    assert status["waiting"] == [second, third]
    sent.cancel(second, patience=30)
    wait(sent, lambda: ended)
    assert (ended[0]["id"], ended[0]["kind"]) == (second, "cancelled")  # while the first is still at work
    sent.cancel(first, patience=30)
    wait(sent, lambda: not sent.busy)
    assert (ended[1]["id"], ended[1]["result"]) == (third, {"dropped": False})


def test_a_killed_worker_is_reported_and_the_next_request_starts_another(new_client, pair):
    told = []
    client = new_client(died=told.append)
    put_pair(client, pair)
    _, events = begun(client)
    pid, folder = client.pid, client.exchange
    os.kill(pid, signal.SIGKILL)
    wait(client, lambda: not client.busy)
    assert events[-1]["kind"] == "died"
    assert told == [events[-1]["message"]]
    assert "memory" in told[0]
    assert gone(pid)
    assert not folder.exists()
    assert not client.alive
    assert not client.holds("fixed")
    with pytest.raises(WorkerError) as error:
        client.call("register", LONG)
    assert error.value.missing == {"volume": "fixed"}
    assert client.generation == 2
    put_pair(client, pair)
    assert client.holds("fixed")
    assert client.call("drop_volume", {"key": "fixed"}) == {"dropped": True}
    assert not client.holds("fixed")
    assert len(told) == 1


def test_a_request_right_after_a_death_does_not_hide_it(new_client):
    told = []
    client = new_client(died=told.append)
    client.call("status")
    events = []
    client.request("doctor", {"self_test": False}, events.append)
    os.kill(client.pid, signal.SIGKILL)
    wait_without_polling(client)
    assert client.call("status")["volumes"] == []
    assert [event["kind"] for event in events] == ["died"]
    assert len(told) == 1


def test_a_worker_that_does_not_listen_is_killed_by_cancel(new_client, pair):
    told = []
    client = new_client(died=told.append)
    put_pair(client, pair)
    id, events = begun(client)
    pid = client.pid
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    client.cancel(id, patience=0.5)
    wait(client, lambda: not client.busy)
    assert time.monotonic() - start < 1.5 + loaded()
    assert events[-1]["kind"] == "cancelled"
    assert told == []  # the user asked for it
    assert gone(pid)


def test_python_behind_a_launcher_ends_with_it(tmp_path, pair):
    """PythonSlicer is a program that starts Python and waits."""
    launcher = tmp_path / "launcher"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    with WorkerClient(launcher, tmp_path, ENVIRONMENT) as client:
        put_pair(client, pair)
        id, events = begun(client)
        pid = client.pid
        os.kill(pid, signal.SIGSTOP)
        client.cancel(id, patience=0.2)
        wait(client, lambda: not client.busy)
        assert events[-1]["kind"] == "cancelled"
        assert gone(pid)


ORPHANED = """
import sys, time
from SynthFoundationLib.demo import make_small_pair
from SynthFoundationLib.worker.client import WorkerClient
fixed, moving, _ = make_small_pair()
client = WorkerClient(sys.executable, sys.argv[1])
for key, image in (("fixed", fixed), ("moving", moving)):
    grid = {name: getattr(image.grid, name) for name in ("size", "spacing", "origin", "direction")}
    client.call("put_volume", {"key": key, "array": image.data[0].numpy(), "grid": grid})
def say(event):
    print(client.pid, client.exchange, flush=True)
client.call("register", {"session": "a", "fixed": "fixed", "moving": "moving", "preset": "accurate"}, say)
"""


def test_a_client_that_is_killed_leaves_no_process_and_no_file(tmp_path):
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANED, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        pid, folder = parent.stdout.readline().split()
        parent.kill()
    start = time.monotonic()
    while not gone(pid):
        assert time.monotonic() - start < 3 + loaded(), "the worker lives without its client"
        time.sleep(0.02)
    assert [path for path in Path(folder).iterdir() if path.is_file()] == []
    assert list(tmp_path.iterdir())  # the folder itself: the next client sweeps it up
    with WorkerClient(sys.executable, tmp_path) as client:
        client.start()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_not_swept_up(new_client):
    first, second = new_client(), new_client()
    first.call("status")
    folder = first.exchange
    second.start()
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    assert first.call("status")["running"] is None


@pytest.mark.skipif(not hasattr(__import__("resource"), "prlimit"), reason="limits of another process")
def test_a_request_that_needs_too_much_memory_fails_alone(new_client, pair):
    import resource

    client = new_client()
    put_pair(client, pair)
    pages = int(Path(f"/proc/{client.pid}/statm").read_text().split()[0])
    limits = resource.prlimit(client.pid, resource.RLIMIT_AS)
    room = pages * resource.getpagesize() + 300_000_000
    resource.prlimit(client.pid, resource.RLIMIT_AS, (room, limits[1]))
    large = np.zeros((500, 500, 500), np.uint8)
    large[::2] = 7
    grid = {
        "size": [500] * 3,
        "spacing": [1.0] * 3,
        "origin": [0.0] * 3,
        "direction": np.eye(3).ravel().tolist(),
    }
    with pytest.raises(WorkerError, match="GB more were needed") as error:
        client.call("put_volume", {"key": "large", "array": large, "grid": grid})
    assert error.value.kind == "memory"
    assert left(client) == []
    assert not client.holds("large")
    assert client.holds("fixed")
    start = np.eye(4).tolist()
    params = {
        "session": "a",
        "fixed": "fixed",
        "moving": "moving",
        "transform": "rigid",
        "initial": start,
        "features": "mind",
    }
    assert client.call("register", params)["affine"]
    resource.prlimit(client.pid, resource.RLIMIT_AS, limits)
    assert (
        client.call(
            "put_volume", {"key": "large", "array": large[:250], "grid": grid | {"size": [500, 500, 250]}}
        )
        == {}
    )
    assert client.generation == 1


def test_a_python_that_is_not_there_is_an_error_for_the_user(tmp_path):
    with (
        WorkerClient(tmp_path / "python", tmp_path) as client,
        pytest.raises(WorkerError, match="cannot be started"),
    ):
        client.request("status")
    assert list(tmp_path.iterdir()) == []


def test_volumes_used_longest_ago_go_first(tmp_path, pair):
    from SynthFoundationLib.worker.desk import Desk

    desk = Desk(hold_gb=1e-3)  # two of these volumes fit
    array = pair[0].data[0].numpy()
    for key in "abc":
        desk.put_volume(key, array, pair[0].grid)
        if key == "b":
            desk.volumes.get("a")
    assert desk.volumes.keys == ["a", "c"]
    assert desk.state()["volume_bytes"] <= 1e6


def wait_without_polling(client):
    deadline = time.monotonic() + 20
    while client.alive:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def loaded():
    """Seconds to grant because other processes want the processors, too."""
    return 4 * max(0.0, os.getloadavg()[0] / os.cpu_count() - 0.5)
