import os
import subprocess
import sys

import pytest

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.files import output_folder, replacing


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
    unfinished = tmp_path / "a" / "b" / ".writing-0123-half.nii.gz"
    with output_folder(tmp_path / "a" / "b") as folder:
        (folder / "kept.txt").touch()
        unfinished.touch()
    with output_folder(folder):
        assert not unfinished.exists()
    assert [p.name for p in folder.iterdir()] == ["kept.txt"]


def test_a_folder_in_use_is_refused_until_it_is_free_again(tmp_path):
    with output_folder(tmp_path):
        (tmp_path / ".writing-first").touch()
        with pytest.raises(InputError, match="another run is writing"), output_folder(tmp_path):
            pass
        assert (tmp_path / ".writing-first").exists()
    with output_folder(tmp_path):
        pass


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_run_leaves_its_folder_free(tmp_path):
    script = (
        "import os, signal, sys\nfrom SynthFoundationLib.files import output_folder\n"
        "with output_folder(sys.argv[1]):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -9
    with output_folder(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_output_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"), output_folder(tmp_path / "file"):
        pass
    with pytest.raises(InputError, match="cannot make"), output_folder(tmp_path / "file" / "below"):
        pass


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may write anywhere"
)
def test_a_protected_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot write to the output folder"), output_folder(tmp_path):
        pass
