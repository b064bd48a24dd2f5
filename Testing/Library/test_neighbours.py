"""Waiting threads leave the core to others, unless the user wants it otherwise."""

import os
import sys

import pytest

from SynthFoundationLib.cli import main
from SynthFoundationLib.neighbours import SPINS, mind_the_neighbours


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)


def test_the_command_line_minds_its_neighbours(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["synthfoundation", "--version"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own
    with pytest.raises(SystemExit):
        main()
    assert os.environ["GOMP_SPINCOUNT"] == str(SPINS)


@pytest.mark.parametrize(("name", "value"), [("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", "active")])
def test_what_the_user_has_set_stays(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    mind_the_neighbours()
    assert os.environ[name] == value
    assert name == "GOMP_SPINCOUNT" or "GOMP_SPINCOUNT" not in os.environ
