"""A full disk and too little memory end in one clear error, and what was there before stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk
from scans import make_scan

from SynthFoundationLib.images import write_image

WRITERS = Path(__file__).parent / "full_disk.py"
KINDS = 16


def in_a_small_disk(folder: Path, kilobytes: int, *command: str) -> subprocess.CompletedProcess:
    """Run with a tmpfs of that size mounted on the folder, in a mount namespace of its own."""
    mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs '{folder}'"
    possible = subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False)
    if possible.returncode:
        pytest.skip("a small disk can only be mounted by the administrator")
    script = mount + ' && exec "$@"'
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *command], capture_output=True, text=True, check=False
    )


def look(told: str, reason: str) -> None:
    """Every kind of file was refused in one line where it did not fit, and written where it did."""
    lines = [line.split(" ", 2) for line in told.splitlines()]
    assert {line[0] for line in lines} == {"WRITTEN", "REFUSED"}, told
    for what in ("WRITTEN", "REFUSED"):
        assert len({line[1] for line in lines if line[0] == what}) >= KINDS - 1, told
    for line in lines:
        if line[0] == "REFUSED":
            assert line[2].startswith(f"cannot write {line[1]}: ")
            assert reason in line[2] or "the disk may be full" in line[2]
            assert line[2].endswith("choose a folder with space that you may write to")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mount namespaces are Linux's")
def test_a_full_disk_is_one_error_and_leaves_the_old_result(tmp_path):
    done = in_a_small_disk(tmp_path, 400, sys.executable, str(WRITERS), str(tmp_path))
    assert done.returncode == 0, done.stderr
    look(done.stdout, "No space left on device")


# Each thread that meets another in malloc reserves 64 MB of addresses for itself: a matter of luck.
ONE_ARENA = {**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_a_limit_on_what_may_be_written_is_one_error_and_leaves_the_old_result(tmp_path):
    done = subprocess.run(
        [sys.executable, str(WRITERS), str(tmp_path), "limit"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    look(done.stdout, "File too large")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_pairs_that_do_not_fit_are_one_error_and_none_of_them_is_left(tmp_path):
    script = (
        "import resource, sys\nfrom SynthFoundationLib.cli.app import run\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\nrun(sys.argv[1:])"
    )
    command = ["synthesize", "-o", str(tmp_path), "-n", "1", "--size", "32", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: cannot write 0000_view1.nii.gz: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, sys
import torch, SimpleITK, scipy.ndimage
from SynthFoundationLib.cli.app import run
from SynthFoundationLib.features.extract import extract_features
from SynthFoundationLib.images import as_image
held = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize"))) * 1024
limit = held + int(sys.argv[1]) * 10**6
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
run(sys.argv[2:])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_too_little_memory_is_one_line_that_says_how_much_was_missing(files, tmp_path):
    command = [sys.executable, "-c", LIMITED, "150", "features", str(files / "good.nii.gz")]
    output = tmp_path / "features.nrrd"
    done = subprocess.run(
        [*command, "-o", str(output), "--features", "mind", "--spacing", "0.15"],
        capture_output=True, text=True, check=False, env=ONE_ARENA,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "not enough memory" in done.stderr
    assert "GB more were needed" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_too_little_memory_leads_to_coarser_features_and_a_notice(tmp_path):
    write_image(make_scan((120, 120, 100)), tmp_path / "scan.nii.gz")
    command = [sys.executable, "-c", LIMITED, "150", "features", str(tmp_path / "scan.nii.gz")]
    output = tmp_path / "features.nrrd"
    done = subprocess.run(
        [*command, "-o", str(output), "--features", "mind"],
        capture_output=True, text=True, check=False, env=ONE_ARENA,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *notices, last = done.stderr.splitlines()
    assert last == f"Wrote {output}"
    assert all(notice.startswith("There is not enough memory; trying again ") for notice in notices)
    assert "voxels of" in notices[-1]
    assert max(sitk.ReadImage(str(output)).GetSize()) <= 75
