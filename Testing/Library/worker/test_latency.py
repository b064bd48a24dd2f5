"""How long a user waits: for the process, the first picture, the result, and the answer to a stroke.

pytest Testing/Library/worker/test_latency.py -m slow -s
"""

import os
import time

import numpy as np
import pytest

from SynthFoundationLib.demo import make_pair
from SynthFoundationLib.geometry import resample
from SynthFoundationLib.images import Image

from .conftest import plain, put_pair, wait

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def large():
    """The demo's two scans of a head, on 128³ voxels each."""
    images = []
    for image in make_pair()[:2]:
        spacing = [e / 128 for e in image.grid.extent]
        grid = image.grid.with_spacing(spacing)
        images.append(Image(resample(image.data, image.grid, grid, fill=None), grid))
    assert [image.grid.size for image in images] == [(128, 128, 128)] * 2
    return images


def used(pid):
    """Processor seconds that a process has taken."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Clock:
    def __init__(self, client):
        self.client, self.start = client, time.monotonic()
        self.before = used(client.pid)

    def tell(self, what):
        load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()}" if hasattr(os, "getloadavg") else ""
        wall, processor = time.monotonic() - self.start, used(self.client.pid) - self.before
        print(f"{what:<46} {wall:7.2f} s  ({processor:.2f} s of a processor; {load})")


def test_from_start_to_the_first_result(new_client, pair):
    client = new_client()
    start = time.monotonic()
    client.start()
    wait(client, lambda: client.hello)
    print(f"\n{'start → ready':<46} {time.monotonic() - start:7.2f} s")
    put_pair(client, pair)
    print(f"{'start → torch loaded, two small scans sent':<46} {time.monotonic() - start:7.2f} s")
    pictures = []

    def look(event):
        if event["picture"] and not pictures:
            pictures.append(time.monotonic() - start)

    answer = client.call("register", {"session": "a", "fixed": "fixed", "moving": "moving"}, look)
    print(f"{'start → first picture, small pair':<46} {pictures[0]:7.2f} s")
    print(
        f"{'start → first result, small pair':<46} {time.monotonic() - start:7.2f} s  "
        f"({used(client.pid):.2f} s of a processor)"
    )
    assert answer["verdict"] == "good"


def test_a_pair_of_128_voxels(new_client, large):
    client = new_client()
    put_pair(client, large)
    pictures = []
    clock = Clock(client)

    def look(event):
        if event["picture"] and not pictures:
            pictures.append(event)
            clock.tell("click → first picture, 128³")

    client.call("register", {"session": "a", "fixed": "fixed", "moving": "moving"}, look)
    clock.tell("click → result, 128³, default preset")
    clock = Clock(client)
    client.call("update_registration", {"session": "a", "stiffness": 2.0})
    clock.tell("stiffness changed → result, 128³")


def test_an_answer_to_a_stroke(new_client, large):
    client = new_client()
    scan = large[0].data[0].numpy()
    truth = np.digitize(scan, np.percentile(scan[scan > np.median(scan)], (5, 25, 45, 65, 85))).astype(
        np.uint8
    )
    params = {"key": "fixed", "array": scan.astype(np.int16), "grid": plain(large[0].grid)}
    client.call("put_volume", params)
    client.call("segment_open", {"session": "s", "volume": "fixed"})
    seeds = np.zeros_like(truth)
    seeds[[40, 60, 80]] = truth[[40, 60, 80]]
    clock = Clock(client)
    client.call("segment_update", {"session": "s", "seeds": seeds})
    clock.tell("first update, 128³, 5 labels")
    for n in range(3):
        seeds[64, 30 + n :: 9] = truth[64, 30 + n :: 9]
        clock = Clock(client)
        start = time.monotonic()
        answer = client.call(
            "segment_update", {"session": "s", "seeds": seeds, "complete_slices": {"0": [40, 60, 80]}}
        )
        wall = time.monotonic() - start
        clock.tell(f"update after a stroke, of which {1000 * (wall - answer['seconds']):.0f} ms are the way")
        assert answer["labels"].any()


def test_the_way_of_an_edit_is_short(new_client, large):
    """All but the segmentation itself: an undo that changes nothing, with the whole volume as answer."""
    client = new_client()
    client.call(
        "put_volume", {"key": "fixed", "array": large[0].data[0].numpy(), "grid": plain(large[0].grid)}
    )
    client.call("segment_open", {"session": "s", "volume": "fixed"})
    times = []
    for _ in range(10):
        start = time.monotonic()
        client.call("segment_undo", {"session": "s", "full": True})
        times.append(time.monotonic() - start)
    print(f"\n{'the way there and back, 128³':<46} {np.median(times):7.3f} s")
    assert min(times) < 0.3
