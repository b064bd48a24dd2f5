"""A full disk and too little memory end in one clear error, and what was there before stays."""

import subprocess
import sys
from pathlib import Path

import pytest

WRITERS = """
import sys
from pathlib import Path
import numpy as np, torch
from SynthFoundationLib.errors import InputError
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weight_files import save_network
from SynthFoundationLib.geometry import DisplacementField, Grid, write_transform
from SynthFoundationLib.images import Image, LabelMap, write_image, write_labels
from SynthFoundationLib.points import Points, write_points
folder, grid = Path(sys.argv[1]), Grid((40, 40, 40))
random = torch.randn(40, 40, 40)
labels = torch.randint(0, 500, (40, 40, 40))
field = DisplacementField(torch.randn(3, 40, 40, 40), grid)
writers = {
    **{
        f"image{end}": lambda path: write_image(Image(random, grid), path)
        for end in (".nii", ".nii.gz", ".nrrd", ".mha")
    },
    "labels.seg.nrrd": lambda path: write_labels(LabelMap(labels, grid), path),
    "transform.h5": lambda path: write_transform(field, path),
    "transform.tfm": lambda path: write_transform(field, path),
    "points.mrk.json": lambda path: write_points(Points(np.random.rand(2000, 3)), path),
    "points.csv": lambda path: write_points(Points(np.random.rand(4000, 3)), path),
    "network.safetensors": lambda path: save_network(
        UNet(UNetConfig(width=8, depth=2, out_channels=8)), path
    ),
}
for name, write in writers.items():
    path = folder / name
    path.write_text("the old result")
    try:
        write(path)
        print("WRITTEN", name)
    except InputError as error:
        print("REFUSED", name, error)
    if path.read_text(errors="replace") != "the old result":
        print("CHANGED", name)
    print("LEFT", *[left.name for left in folder.glob(".*")])
    path.unlink()
"""


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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mount namespaces are Linux's")
def test_a_full_disk_is_one_error_and_leaves_the_old_result(tmp_path):
    done = in_a_small_disk(tmp_path, 48, sys.executable, "-c", WRITERS, str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    refused = [line for line in lines if line.startswith("REFUSED")]
    assert len(refused) == 10, done.stdout
    assert all("cannot write" in line and "choose a folder with space" in line for line in refused)
    assert not [line for line in lines if line.startswith(("WRITTEN", "CHANGED"))]
    assert {line for line in lines if line.startswith("LEFT")} == {"LEFT"}


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
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "not enough memory" in done.stderr
    assert "GB more were needed" in done.stderr
    assert not list(tmp_path.iterdir())
