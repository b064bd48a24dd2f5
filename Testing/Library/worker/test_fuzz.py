"""The real process against lines, parameters and files that are wrong in every way: always an answer."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from SynthFoundationLib.worker.methods import TABLE
from SynthFoundationLib.worker.process import _environment

from .conftest import ENVIRONMENT

COUNT = 100
DTYPES = (
    "u1",
    "i1",
    "u2",
    "i2",
    "u4",
    "i4",
    "u8",
    "i8",
    "f2",
    "f4",
    "f8",
    "b1",
    "c8",
    "S3",
    "M8[s]",
    ">f4",
    ">u2",
)
KINDS = {"input", "weights", "device", "memory", "cancelled"}


class Pipes:
    """The worker with nothing between: bytes in, lines out."""

    def __init__(self, folder):
        self.folder, self.count, self.next = folder, 0, 10**6
        self.process = subprocess.Popen(
            [sys.executable, "-m", "SynthFoundationLib.worker", "--exchange", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(ENVIRONMENT),
        )
        assert self.read()["event"] == "ready"

    def read(self):
        return json.loads(self.process.stdout.readline())

    def write(self, line):
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def answers(self, line):
        """Write a line; all events that come before the answer to a question put after it."""
        self.count += 1
        self.next += 1
        self.write(line)
        self.write(json.dumps({"id": self.next, "method": "drop_volume", "params": {"key": "?"}}).encode())
        events = []
        while True:
            event = self.read()
            if event.get("id") == self.next and event["event"] != "progress":
                assert event["event"] == "result"
                return events
            events.append(event)


@pytest.fixture(scope="module")
def pipes(tmp_path_factory):
    pipes = Pipes(tmp_path_factory.mktemp("exchange"))
    yield pipes
    pipes.process.stdin.close()
    assert pipes.process.wait(20) == 0  # it ends with its input
    pipes.process.stdout.close()
    assert list(pipes.folder.iterdir()) == []


@pytest.fixture
def told(pipes, request):
    before = pipes.count
    yield pipes
    print(f"{request.node.name}: {pipes.count - before} lines answered")


def usual(function):
    return settings(
        max_examples=COUNT,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )(function)


@usual
@given(line=st.binary(max_size=200).map(lambda line: line.replace(b"\n", b" ")))
def test_random_bytes(told, line):
    events = told.answers(line)
    assert [(event["event"], event["kind"]) for event in events] == [("error", "input")]


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(
        ["fixed", "a", "auto", "deformable", "mind", "cuda", "../x.npy", "x.npy", "\ud800", "none", "nan"]
    )
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        | st.just({"file": "x.npy"})
        | st.builds(lambda name: {"file": name}, st.text(max_size=10))
    ),
    max_leaves=12,
)
# The doctor works for seconds whatever it is given; the others are to refuse.
METHODS = sorted(TABLE.keys() - {"doctor"})


@st.composite
def requests(draw):
    method = draw(st.sampled_from(METHODS) | st.text(max_size=12))
    names = TABLE[method][1] if method in TABLE else ()
    known = {name: draw(VALUES) for name in names if draw(st.booleans())}
    return method, known | draw(st.dictionaries(st.text(max_size=6), VALUES, max_size=1))


@usual
@given(request=requests(), id=st.integers(1, 10**5))
def test_random_parameters(told, request, id):
    method, params = request
    if method in ("shutdown", "status", "cancel"):
        return
    (told.folder / "x.npy").write_bytes(b"\x93NUMPY garbage")
    events = told.answers(json.dumps({"id": id, "method": method, "params": params}).encode())
    last = [event for event in events if event["event"] != "progress"]
    assert len(last) == 1
    assert last[0]["event"] == "result" or last[0]["kind"] in KINDS, last[0]
    assert "Traceback" not in last[0].get("message", "")
    for path in told.folder.iterdir():  # arrays of a result are the client's to remove
        path.unlink()


@usual
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(0, 6), min_size=0, max_size=5),
    size=st.lists(st.integers(-1, 6), min_size=2, max_size=4),
    spacing=st.floats(-1, 1e308) | st.integers(-1, 3),
    value=st.sampled_from([0, 1, -1, 1e30, 1e300, float("nan"), float("inf")]),
    cut=st.integers(0, 40),
)
def test_random_volumes(told, dtype, shape, size, spacing, value, cut):
    with np.errstate(all="ignore"):
        array = (
            np.full(shape, value).astype(dtype) if np.dtype(dtype).kind in "biufc" else np.zeros(shape, dtype)
        )
    if array.size and array.dtype.kind in "iuf":
        array.flat[0] = 3
    np.save(told.folder / "v.npy", array)
    if cut:
        content = (told.folder / "v.npy").read_bytes()
        (told.folder / "v.npy").write_bytes(content[:-cut])
    grid = {
        "size": size,
        "spacing": [spacing] * 3,
        "origin": [0, 0, 0],
        "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1],
    }
    params = {"key": "v", "array": {"file": "v.npy"}, "grid": grid}
    text = json.dumps({"id": 5, "method": "put_volume", "params": params})
    events = told.answers(text.encode())
    assert len(events) == 1
    fits = array.ndim == 3 and list(array.shape[::-1]) == size
    assert events[0]["event"] == "error" or fits
    assert events[0].get("kind", "input") == "input", events[0]
    assert list(told.folder.iterdir()) == []


def test_a_line_beyond_all_measure_and_what_follows_it(told):
    events = told.answers(b'{"id": 1, "method": "status", "params": {"a": "' + b"x" * (40 << 20) + b'"}}')
    assert [event["kind"] for event in events] == ["input"]
    assert "bytes" in events[0]["message"]


def test_an_id_in_use_is_refused_and_the_first_request_goes_on(told):
    told.write(b'{"id": 3, "method": "doctor", "params": {"self_test": true}}')
    told.write(b'{"id": 3, "method": "clear_cache"}')
    events = told.answers(b'{"method": "cancel", "params": {"id": 3}}')
    assert [(event["id"], event.get("kind")) for event in events if event["event"] == "error"] == [
        (None, "input"), (3, "cancelled")
    ]  # fmt: skip
