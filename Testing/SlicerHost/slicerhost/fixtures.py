"""Fixtures for pytest; a folder of tests on the host imports them in its conftest.py.

`pytest_pycollect_makemodule` skips every file of the folder, with the reason, where the host cannot run.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from slicerhost import Host, boot, why_not

REASON = why_not()


class _Skipped(pytest.Module):
    def collect(self) -> list:
        pytest.skip(REASON)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """The host is up before a test file is imported, so that it may import `slicer`, `qt` and `ctk`."""
    if REASON:
        return _Skipped.from_parent(parent, path=module_path)
    boot()
    return None


@pytest.fixture
def host(caplog: pytest.LogCaptureFixture) -> Iterator[Host]:
    """A freshly started host; what slots and observers raise fails the test."""
    if REASON:
        pytest.skip(REASON)
    caplog.set_level(logging.INFO)
    host = boot()
    host.reset()
    host.errors.clear()
    yield host
    host.reset()
    errors = list(host.errors)
    host.errors.clear()
    assert not errors, f"raised in a slot or an observer:\n{''.join(errors)}"
