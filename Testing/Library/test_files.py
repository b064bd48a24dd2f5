import os

import pytest

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.files import replacing, writable_folder


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    (tmp_path / "result.txt").write_text("old")
    with replacing(tmp_path / "result.txt") as beside:
        beside.write_text("new")
        assert (tmp_path / "result.txt").read_text() == "old"
        assert "".join(beside.suffixes) == ".txt"
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("result.txt", "new")]


def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "result.txt").write_text("old")

    def write_half():
        with replacing(tmp_path / "result.txt") as beside:
            beside.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("result.txt", "old")]


def test_a_full_disk_is_one_clear_error(tmp_path):
    with (
        pytest.raises(InputError, match=r"cannot write result.txt: No space left"),
        replacing(tmp_path / "result.txt"),
    ):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("place", ["missing/result.txt", "."])
def test_a_missing_folder_or_a_folder_in_the_way_is_refused(tmp_path, place):
    with pytest.raises(InputError, match="cannot write"), replacing(tmp_path / place):
        pass


def test_an_output_folder_is_made_and_what_a_killed_run_left_is_swept_up(tmp_path):
    folder = writable_folder(tmp_path / "a" / "b")
    (folder / "kept.txt").touch()
    (folder / ".writing-0123-half.nii.gz").touch()
    writable_folder(folder)
    assert [p.name for p in folder.iterdir()] == ["kept.txt"]


def test_a_file_is_no_output_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        writable_folder(tmp_path / "file")
    with pytest.raises(InputError, match="cannot make"):
        writable_folder(tmp_path / "file" / "below")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may write anywhere"
)
def test_a_protected_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot write to the output folder"):
        writable_folder(tmp_path)
