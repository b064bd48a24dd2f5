"""What a run tells of the patient and to the world: nothing."""

import gzip
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from bad_files import UID, write_series
from kill import TRAINING

from SynthFoundationLib.cli.app import app
from SynthFoundationLib.geometry import Affine, write_transform

TAGS = {
    "0008|0020": "19870403",  # study date
    "0008|0030": "112233",  # study time
    "0008|0050": "ACC7654321",  # accession number
    "0008|0080": "Sanatorium Xyzzy",  # institution
    "0008|0090": "Referrer^Rita",
    "0010|0010": "Zebrafish^Quentin",  # patient's name
    "0010|0020": "PID-8812345",
    "0010|0030": "19440606",  # birth date
    "0010|1040": "Fernweh Lane 12",
    "0020|000e": UID + "77",
}
MARKS = (
    "19870403",
    "112233",
    "ACC7654321",
    "Xyzzy",
    "Referrer",
    "Zebrafish",
    "PID-8812345",
    "19440606",
    "Fernweh",
    UID,
)
HIDDEN = "quentins-folder"
REST = "--preset fast --features mind --initial-transform start.tfm"
# Every event of the interpreter that opens, names or uses a connection ends the run.
WATCHED = """
import contextlib, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname",
                 "socket.sendto", "urllib.Request", "http.client.connect", "webbrowser.open"):
        print("NETWORK", event, arguments, flush=True)
        raise PermissionError("no network here")
sys.addaudithook(watch)
from SynthFoundationLib.cli.app import run
for line in sys.stdin:
    try:
        run(line.split())
    except SystemExit as end:
        print("ENDED", line.split()[0], end.code or 0, flush=True)
"""
LINES = """
register HIDDEN/scan other.nii.gz -o out --transform rigid REST --moving-labels <b>&x.nii.gz
features HIDDEN/scan -o features.nrrd --features mind
apply other.nii.gz -t out/transform.h5 -r HIDDEN/scan -o moved.nrrd
segment HIDDEN/scan seeds.nii.gz -o labels.seg.nrrd --features none
synthesize -o synthetic -n 1 --size 16
doctor --no-self-test
finetune --images images --labels labels -o model.safetensors --init scratch --budget 0.01
predict model.safetensors images -o predicted
evaluate --predictions predicted --labels labels -o evaluated --images images
pretrain -c tiny.toml -o trained
export-weights trained/step-0000002 -o exported.safetensors
evaluate-features other.nii.gz other.nii.gz --spacing 4 -o found.csv
register HIDDEN/scan HIDDEN/incomplete -o bad
features HIDDEN/incomplete -o bad.nrrd --debug
"""


@pytest.fixture(scope="module")
def told(files, tmp_path_factory):
    """A folder in which every verb has run on a tagged series, and what was said."""
    if sys.platform == "win32":
        pytest.skip("file names with < are not possible")
    folder = tmp_path_factory.mktemp("patient")
    (folder / HIDDEN).mkdir()
    positions = [(0.0, 0.0, 2.0 * n) for n in range(16)]
    write_series(folder / HIDDEN / "scan", positions, TAGS)
    write_series(folder / HIDDEN / "incomplete", positions[:3] + positions[5:], TAGS)
    scan = sitk.ReadImage(str(files / "other.nii.gz"))
    sitk.WriteImage(scan, str(folder / "other.nii.gz"))
    sitk.WriteImage(sitk.Cast(scan > 60, sitk.sitkUInt8), str(folder / "<b>&x.nii.gz"))
    seeds = sitk.Image(20, 16, 16, sitk.sitkUInt8)
    seeds.SetSpacing((1.0, 1.2, 2.0))
    seeds[8:12, 6:10, 8] = 1
    sitk.WriteImage(seeds, str(folder / "seeds.nii.gz"))
    write_transform(Affine(np.eye(4)), folder / "start.tfm")
    for name, source in {"images": "other.nii.gz", "labels": "<b>&x.nii.gz"}.items():
        (folder / name).mkdir()
        shutil.copy(folder / source, folder / name / "case.nii.gz")
    tiny = TRAINING.replace("steps = 24", "steps = 2").replace("validate_every = 12", "validate_every = 2")
    (folder / "tiny.toml").write_text(tiny.replace("workers = 1", "workers = 0"))
    lines = LINES.strip().replace("HIDDEN", HIDDEN).replace("REST", REST)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], input=lines, cwd=folder, capture_output=True, text=True, check=False
    )
    return folder, done


def test_every_verb_works_without_a_network(told):
    _, done = told
    assert "NETWORK" not in done.stdout
    ended = dict(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("ENDED"))
    verbs = {
        command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands
    }
    assert ended.pop("register") == "2"  # the last one, of a series that has gaps
    assert ended == dict.fromkeys(verbs - {"register", "demo"}, "0"), done.stderr[-2000:]


@pytest.mark.slow
def test_the_demonstration_works_without_a_network(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        input="demo",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "ENDED demo 0"
    assert "NETWORK" not in done.stdout


def test_nothing_of_the_patient_is_in_what_is_said_and_written(told):
    folder, done = told
    results = [path for path in folder.rglob("*") if path.is_file() and HIDDEN not in path.parts]
    assert {"moved.nii.gz", "report.html", "transform.h5", "features.nrrd"} <= {path.name for path in results}
    contents = {path.name: _plain(path.read_bytes()) for path in results}
    contents |= {"standard output": done.stdout.encode(), "standard error": done.stderr.encode()}
    found = [(name, mark) for name, content in contents.items() for mark in MARKS if mark.encode() in content]
    assert not found
    said_without_debug = "\n".join(
        line for line in done.stderr.splitlines() if line.startswith(("Error", "Wrote"))
    )
    for name in ("report.html", "report.json"):
        assert HIDDEN.encode() not in contents[name]
    assert HIDDEN not in said_without_debug
    assert str(folder) not in said_without_debug


def test_the_page_escapes_what_it_shows_and_loads_nothing(told):
    page = (told[0] / "out" / "report.html").read_text(encoding="utf-8")
    assert "<b>&x" not in page
    assert not re.search(r"<(script|link|iframe|object|embed)\b", page)
    assert all(
        source.startswith("data:") for source in re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", page)
    )
    assert not re.search(r"url\((?!['\"]?data:)", page)
    assert "@import" not in page


def _plain(content):
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
