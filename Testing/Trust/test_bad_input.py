"""Every row of the table of bad input, through the command line; and the page that is written from it."""

import shutil

import pytest
from rows import PAGE, SECTIONS, page

from SynthFoundationLib.cli.app import run

ROWS = [row for rows in SECTIONS.values() for row in rows]


@pytest.fixture(scope="module")
def place(files, tmp_path_factory):
    """A copy of the files, to run in."""
    folder = tmp_path_factory.mktemp("place") / "here"
    shutil.copytree(files, folder)
    (folder / "folder.nrrd").mkdir()
    return folder


def contents(folder):
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*") if path.is_file()
    }


def folders(folder):
    return {path for path in folder.rglob("*") if path.is_dir()}


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.given}: {row.command}" for row in ROWS])
def test_a_row_of_the_table(row, place, monkeypatch, capfd):
    monkeypatch.chdir(place)
    before, folders_before = contents(place), folders(place)
    with pytest.raises(SystemExit) as ended:
        run(row.command.split())
    said = capfd.readouterr()
    after = contents(place)
    new = {path for path in after if path not in before}
    assert ended.value.code in ((0, None) if row.code == 0 else (row.code,)), said.err
    lines = said.err.splitlines()
    assert lines[-1] == (row.says if row.code == 0 else f"Error: {row.says}")
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
