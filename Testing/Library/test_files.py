import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.files import output_folder, replacing, replacing_all


def left_by_a_killed_run(path):
    """The unfinished file of a process that ended while it wrote to `path`."""
    script = (
        "import os, sys\nfrom SynthFoundationLib.files import replacing\n"
        "with replacing(sys.argv[1]) as beside:\n"
        "    beside.touch()\n    print(beside, flush=True)\n    os._exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 9
    return Path(done.stdout.strip())


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
    with output_folder(tmp_path / "a" / "b") as folder:
        (folder / "kept.txt").touch()
    unfinished = left_by_a_killed_run(folder / "half.nii.gz")
    with output_folder(folder):
        assert not unfinished.exists()
    assert [p.name for p in folder.iterdir()] == ["kept.txt"]


def test_writing_a_file_sweeps_up_what_killed_runs_left_and_nothing_else(tmp_path):
    of_this, of_another = (left_by_a_killed_run(tmp_path / name) for name in ("a.txt", "b.txt"))
    with replacing(tmp_path / "a.txt") as outer, replacing(tmp_path / "a.txt") as inner:
        outer.write_text("outer")
        inner.write_text("inner")
        assert not of_this.exists()
        assert not of_another.exists()
    assert (tmp_path / "a.txt").read_text() == "outer"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_results_take_their_places_together_and_the_seal_last(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "seal").write_text("old")
    with replacing_all(tmp_path, "seal") as beside:
        for name in ("seal", "a.txt", "b.txt"):
            (beside / name).write_text("new")
        assert (tmp_path / "a.txt").read_text() == (tmp_path / "seal").read_text() == "old"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("a.txt", "b.txt", "seal"), "new"
    )


def test_what_an_earlier_run_left_makes_way_and_nothing_else(tmp_path):
    folder = tmp_path / "results"
    (folder / "below").mkdir(parents=True)
    places = [
        folder / "a.txt",
        folder / "b.txt",
        folder / "mine.txt",
        tmp_path / "outside",
        folder / "below" / "c",
    ]
    for place in places:
        place.write_text("old")
    earlier = [
        "a.txt",
        "b.txt",
        "../outside",
        str(tmp_path / "outside"),
        "below/c",
        "below",
        "none",
        "",
        "..",
    ]
    with replacing_all(folder, "seal", earlier) as beside:
        for name in ("seal", "a.txt"):
            (beside / name).write_text("new")
        assert (folder / "b.txt").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "below", "mine.txt", "seal"]
    assert (folder / "a.txt").read_text() == "new"
    assert (tmp_path / "outside").exists()
    assert (folder / "below" / "c").exists()


@pytest.mark.parametrize(
    ("name", "ending"),
    [("a.hdr.nii.gz", ".nii.gz"), ("A.NII.GZ", ".nii.gz"), ("a.b.NRRD", ".nrrd"), (".nii.gz", ".nii.gz")],
)
def test_what_is_written_beside_has_of_the_name_the_format_alone(tmp_path, name, ending):
    with replacing(tmp_path / name) as beside:
        beside.touch()
        assert "".join(beside.suffixes) == ending
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("error", "told"), [(ZeroDivisionError(), ZeroDivisionError), (OSError(28, "full"), InputError)]
)
def test_an_error_leaves_the_results_of_an_earlier_run(tmp_path, error, told):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(told), replacing_all(tmp_path, "seal") as beside:  # noqa: PT012
        (beside / "a.txt").write_text("new")
        raise error
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old"}


def test_the_unfinished_file_of_another_machine_is_left_alone_for_a_day(tmp_path):
    elsewhere = tmp_path / ".writing-nowhere1-123-abc-a.txt"
    elsewhere.touch()
    with output_folder(tmp_path):
        assert elsewhere.exists()
    os.utime(elsewhere, (time.time() - 100_000,) * 2)
    with output_folder(tmp_path):
        assert not elsewhere.exists()


def test_a_folder_in_use_is_refused_until_it_is_free_again(tmp_path):
    with output_folder(tmp_path):
        (tmp_path / ".writing-first").touch()
        with pytest.raises(InputError, match="another run is writing"), output_folder(tmp_path):
            pass
        assert (tmp_path / ".writing-first").exists()
    with output_folder(tmp_path):
        pass


def test_the_folder_where_one_is_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        output_folder("."),
        pytest.raises(InputError, match=f"writing to {tmp_path.name};"),
        output_folder("."),
    ):
        pass


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["new", "new/and/deeper"])
def test_an_error_takes_the_folders_back_that_were_made_and_no_others(tmp_path, place):
    (tmp_path / "old").mkdir()
    for folder in (tmp_path / "old", tmp_path / place):
        with pytest.raises(ZeroDivisionError), output_folder(folder):
            raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


def test_an_error_leaves_what_was_finished_before(tmp_path):
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path / "new") as folder:  # noqa: PT012
        (folder / "result.txt").touch()
        raise ZeroDivisionError
    assert [p.name for p in folder.iterdir()] == ["result.txt"]


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
