"""What is accepted on the wire and in the exchange folder, without a process."""

import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from SynthFoundationLib.errors import DeviceError, InputError, WeightsError
from SynthFoundationLib.worker.exchange import Exchange
from SynthFoundationLib.worker.failures import failure
from SynthFoundationLib.worker.params import Params
from SynthFoundationLib.worker.protocol import LONGEST_LINE, BadRequest, encoded, files_in, read_request

GRID = {
    "size": [2, 2, 2],
    "spacing": [1, 1, 1],
    "origin": [0, 0, 0],
    "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1],
}
NO_ROOM = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 2000000000 bytes."


@pytest.fixture
def exchange(tmp_path):
    return Exchange(tmp_path)


@given(
    st.integers(-(2**63), 2**63),
    st.text(min_size=1),
    st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)),
)
def test_a_request_survives_the_way(id, method, params):
    line = encoded({"id": id, "method": method, "params": params})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    request = read_request(line)
    assert (request.id, request.method, request.params) == (id, method, params)


def test_numbers_that_json_does_not_know_become_null():
    sent = {
        "a": float("nan"),
        "b": [np.float32(np.inf), 1.5],
        "c": np.arange(2),
        "d": (np.int64(3), np.bool_(True)),
    }
    assert json.loads(encoded(sent)) == {"a": None, "b": [None, 1.5], "c": [0, 1], "d": [3, True]}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{",
        b"[]\n",
        b"null",
        b"\xff\xfe",
        b'{"id": 1}',
        b'{"id": 1, "method": 2}',
        b'{"method": "register"}',
        b'{"id": true, "method": "status"}',
        b'{"id": "7", "method": "status"}',
        b'{"id": 1.5, "method": "status"}',
        b'{"id": 1, "method": "status", "params": []}',
        b'{"id": 1, "method": "status", "extra": 1}',
        b'{"id": 1, "method": "status", "params": {"a": NaN}}',
        b"[" * 100_000,
        b" " * (LONGEST_LINE + 1),
        b'{"id": ' + b"9" * 5000 + b', "method": "status"}',
    ],
)
def test_what_is_no_request_is_refused(line):
    with pytest.raises(BadRequest) as error:
        read_request(line)
    assert len(str(error.value)) < 200


def test_an_array_travels_and_its_file_goes(exchange):
    for array in (
        np.arange(24, dtype=">i2").reshape(2, 3, 4)[:, ::-1],
        np.float32([1.5]),
        np.zeros((0, 2, 2), bool),
    ):
        reference = exchange.write(array)
        read = exchange.read(reference["file"])
        np.testing.assert_array_equal(read, array)
        assert read.dtype == array.dtype
    assert os.listdir(exchange.folder) == []


@pytest.mark.parametrize(
    "name",
    [
        "../a.npy",
        "/etc/passwd",
        "a/b.npy",
        "a\\b.npy",
        "C:a.npy",
        ".a.npy",
        "a.npy/",
        "a.npy\n",
        "",
        "a.txt",
        "a.npy.exe",
        "..",
        "ä.npy",
        "a.npy\0",
        "a" * 200 + ".npy",
        None,
        7,
    ],
)
def test_only_bare_names_in_the_folder_are_read(exchange, name):
    (exchange.folder.parent / "a.npy").write_bytes(b"not ours")
    with pytest.raises(InputError, match="named by letters"):
        exchange.read(name)
    assert (exchange.folder.parent / "a.npy").exists()
    (exchange.folder.parent / "a.npy").unlink()


def test_files_that_are_no_arrays_are_refused_and_deleted(exchange, tmp_path_factory):
    path = exchange.folder / "a.npy"
    whole = exchange.write(np.arange(1000.0).reshape(10, 10, 10))["file"]
    content = (exchange.folder / whole).read_bytes()
    huge = content.replace(b"(10, 10, 10)", b"(99999, 9999, 9999)"[:12] + b")")
    marker = tmp_path_factory.mktemp("elsewhere") / "ran"

    class Bomb:
        def __reduce__(self):
            return open, (str(marker), "w")

    objects = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 1, 1), }".ljust(117)
        + b"\n"
    )
    for bad in (
        b"",
        b"\x93NUMPY",
        content[:-1],
        content + b"\0",
        content[:60],
        b"text",
        pickle.dumps(Bomb()),
        objects + pickle.dumps(Bomb()),
        content.replace(b"<f8", b"<c8"),
        content.replace(b"<f8", b"|V8"),
        content.replace(b"(10, 10, 10)", b"(1, 1, 1, 1)"),
        content.replace(b"(10, 10, 10)", b"(-10,-10,10)"),
        huge,
        content.replace(b"'shape'", b"'shapf'"),
        content.replace(b"\x01\x00v", b"\x09\x00v"),
    ):
        path.write_bytes(bad)
        with pytest.raises(InputError):
            exchange.read("a.npy")
        assert not path.exists()
    assert not marker.exists()
    with pytest.raises(InputError, match="no such file"):
        exchange.read("a.npy")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="links")
def test_links_are_not_followed(exchange, tmp_path_factory):
    secret = tmp_path_factory.mktemp("secret") / "secret.npy"
    np.save(secret, np.ones((2, 2, 2)))
    (exchange.folder / "a.npy").symlink_to(secret)
    with pytest.raises(InputError):
        exchange.read("a.npy")
    assert secret.exists()
    assert os.listdir(exchange.folder) == []


def test_clearing_spares_what_could_not_be_ours(exchange):
    (exchange.folder / "notes.txt").write_text("mine")
    exchange.write(np.zeros(3))
    exchange.write_bytes(b"x", ".png")
    exchange.clear()
    assert os.listdir(exchange.folder) == ["notes.txt"]


def test_files_are_found_wherever_they_stand():
    message = {
        "a": {"file": "1.npy"},
        "b": [{"array": {"file": "2.npy"}, "grid": {}}],
        "c": {"file": 3},
        "file": "no",
    }
    assert sorted(files_in(message)) == ["1.npy", "2.npy"]


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("text", "session", ""),
        ("text", "session", None),
        ("text", "session", "a\nb"),
        ("text", "session", "x" * 201),
        ("matrix", "initial", [[1, 0], [0, 1]]),
        ("matrix", "initial", np.zeros((4, 4)).tolist()),
        ("matrix", "initial", [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]),
        ("matrix", "initial", "identity"),
        ("matrix", "initial", [[str(n) for n in row] for row in np.eye(4, dtype=int)]),
        ("points", "points", [[1, 2]]),
        ("points", "points", [[1, 2, None]]),
        ("points", "points", [[1, 2, 10**400]]),
        ("points", "points", {"x": 1}),
        ("array", "array", None),
        ("array", "array", {"file": 3}),
        ("array", "array", "a.npy"),
        ("grid", "grid", None),
        ("grid", "grid", {"size": [2, 2, 2]}),
        ("grid", "grid", GRID | {"size": [2.5, 2, 2]}),
        ("grid", "grid", GRID | {"spacing": [0, 1, 1]}),
        ("grid", "grid", GRID | {"direction": [0] * 9}),
    ],
)
def test_parameters_that_cannot_be_used_are_refused_by_name(exchange, method, name, value):
    with pytest.raises(InputError) as error:
        getattr(Params("register", {name: value}, exchange), method)(name)
    assert "\n" not in str(error.value)


def test_an_unknown_parameter_is_answered_with_those_that_there_are(exchange):
    with pytest.raises(InputError, match="register does not take 'fxied'; it takes session, fixed"):
        Params("register", {"fxied": 1, "session": "a"}, exchange).refuse_others(("session", "fixed"))


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return failure(caught, "register")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (InputError("two\n lines"), "input", "two lines"),
        (WeightsError("none"), "weights", "none"),
        (DeviceError("none"), "device", "none"),
        (MemoryError("Unable to allocate 1.5 GiB for an array"), "memory", "1.61 GB"),
        (RuntimeError(NO_ROOM), "memory", "2.00 GB"),
        (OSError(28, "No space left on device", "/home/jane/secret.npy"), "memory", "disk"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "internal", "torch is missing"),
        (KeyError("/home/jane/secret.npy"), "internal", "unexpected KeyError"),
    ],
)
def test_failures_have_a_kind_and_one_line_without_paths(error, kind, says):
    event = raised(error)
    assert event["kind"] == kind
    assert says in event["message"]
    assert "jane" not in event["message"]
    assert "\n" not in event["message"]
    assert ("Traceback" in event["detail"]) == (kind == "internal" or says == "disk")
