"""Every row of the table of bad input, through the command line; and the page that is written from it."""

import os
import re
import shutil
from pathlib import Path

import pytest
from rows import PAGE, SECTIONS, page

from SynthFoundationLib.cli.app import run
from SynthFoundationLib.features.registry import Registry
from SynthFoundationLib.files import output_folder

ROWS = [row for rows in SECTIONS.values() for row in rows]


@pytest.fixture(scope="module")
def place(files, tmp_path_factory):
    """A copy of the files, to run in."""
    folder = tmp_path_factory.mktemp("place") / "here"
    shutil.copytree(files, folder)
    (folder / "folder.nrrd").mkdir()
    return folder


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".in-use"]
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


def folders(folder):
    return {path for path in folder.rglob("*") if path.is_dir()}


def prepare(row, place, monkeypatch, request):
    """What cannot be had by files alone."""
    if row.locked:
        allowed = os.access
        monkeypatch.setattr(
            "os.access",
            lambda path, mode: (
                allowed(path, mode) and not (mode & os.W_OK and Path(path) == Path(row.locked))
            ),
        )
    if row.busy:
        held = output_folder(row.busy)
        held.__enter__()
        request.addfinalizer(lambda: held.__exit__(None, None, None))
    if row.registry:
        registry = Registry.read(place / row.registry / "weights.json")
        monkeypatch.setattr(Registry, "read", classmethod(lambda cls, *_: registry))


def shortened(line):
    """A line with names instead of the two checksums in it."""
    sums = iter(("{changed}", "{registered}"))
    return re.sub(r"\b[0-9a-f]{64}\b", lambda _: next(sums), line)


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=pytest.mark.slow) if row.slow else row for row in ROWS],
    ids=[f"{row.given}: {row.command}" for row in ROWS],
)
def test_a_row_of_the_table(row, place, monkeypatch, capfd, request):
    monkeypatch.chdir(place)
    prepare(row, place, monkeypatch, request)
    before, folders_before = contents(place), folders(place)
    with pytest.raises(SystemExit) as ended:
        run(row.command.split())
    said = capfd.readouterr()
    after = contents(place)
    new = {path for path in after if path not in before}
    assert ended.value.code in ((0, None) if row.code == 0 else (row.code,)), said.err
    lines = said.err.splitlines()
    assert shortened(lines[-1]) == (row.says if row.code == 0 else f"Error: {row.says}")
    assert {path.name for path in new} == set(row.leaves)
    if row.code:
        assert len(lines) == 1
        assert said.out == ""
        assert before == after
        assert folders(place) == folders_before
        assert not (place / "exploded").exists()
    for path in new:
        path.unlink()
    for folder in folders(place) - folders_before:
        folder.rmdir()


def test_the_page_is_written_from_the_table():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python Testing/Trust/rows.py"


def test_no_row_is_there_twice():
    assert len({(row.given, row.command) for row in ROWS}) == len(ROWS)
