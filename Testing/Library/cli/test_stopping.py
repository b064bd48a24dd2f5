"""SIGTERM ends a run with its own exit code and without a traceback, whatever the run is doing."""

import signal
import subprocess
import sys

import pytest

BUSY = """
import time
from SynthFoundationLib.cli.stopping import unwinding

class Slow:
    def __del__(self):
        print("cleaning", flush=True)
        for _ in range(100):
            time.sleep(0.01)

with unwinding():
    try:
        {}
        time.sleep(60)
    finally:
        print("unwound", flush=True)
"""
WAITING = 'print("waiting", flush=True)'
CLEANING = "thing = Slow(); del thing"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that can be handled")
@pytest.mark.parametrize("doing", [WAITING, CLEANING], ids=["waiting", "cleaning"])
def test_sigterm_unwinds_also_while_an_object_is_cleaned_up(doing):
    command = [sys.executable, "-c", BUSY.format(doing)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() in ("waiting", "cleaning")
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=50)
    assert process.returncode == 143
    assert "unwound" in out
    assert errors == ""
