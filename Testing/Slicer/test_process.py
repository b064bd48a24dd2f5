"""The worker process that cannot be started or written to: what scripts and panels are told."""

import numpy as np
import pytest
from SynthFoundationModuleLib import library, process
from SynthFoundationModuleLib.errors import UserError
from SynthFoundationModuleLib.process import Worker

from SynthFoundationLib.worker import client


class Silent:
    """A process that runs and says nothing."""

    alive = True
    exchange = None

    def __init__(self, *_):
        pass

    def send(self, message):
        pass

    def end(self, patience):
        pass

    def bury(self):
        pass


def full_disk(*_):
    raise OSError(28, "No space left on device")


@pytest.fixture
def worker(host):
    worker = Worker()
    yield worker
    worker.close()


def test_a_worker_that_cannot_start_is_told_in_a_users_words(worker, monkeypatch):
    monkeypatch.setattr(client, "WorkerProcess", full_disk)
    with pytest.raises(UserError, match=r"cannot be started: No space left on device\.$"):
        worker.ask("doctor", {}, print, print)
    with pytest.raises(UserError, match="cannot be started"):
        worker.wait("doctor", {})


def test_without_an_interpreter_the_user_is_told_so(worker, monkeypatch):
    def missing():
        raise RuntimeError("PythonSlicer was not found beside Slicer; install Slicer again.")

    monkeypatch.setattr(library, "python_executable", missing)
    with pytest.raises(UserError, match="PythonSlicer was not found"):
        worker.start()


@pytest.mark.parametrize("broken", ["the process", "the interpreter", "the library"])
def test_warming_up_fails_in_silence(worker, monkeypatch, broken):
    def missing(*_):
        raise RuntimeError("missing")

    if broken == "the process":
        monkeypatch.setattr(client, "WorkerProcess", full_disk)
    else:
        name = "python_executable" if broken == "the interpreter" else "make_importable"
        monkeypatch.setattr(library, name, missing)
    worker.warm_up()
    assert worker.generation == 0


def test_a_full_temporary_folder_is_told_in_a_users_words(worker, monkeypatch):
    monkeypatch.setattr(client, "WorkerProcess", Silent)
    monkeypatch.setattr(client, "_written", full_disk)
    with pytest.raises(UserError, match=r"temporary folder: No space left on device\.$"):
        worker.ask("put_volume", {"key": "a", "array": np.zeros((2, 2, 2))}, print, print)
    assert not worker._client.busy


def test_a_script_gets_the_error_that_is_promised(pair, host, worker, monkeypatch):
    from SynthFoundationModuleLib import scripting

    monkeypatch.setattr(client, "WorkerProcess", full_disk)
    monkeypatch.setattr(process, "_shared", [worker])
    with pytest.raises(UserError, match="No space left on device"):
        scripting.register(*pair)
