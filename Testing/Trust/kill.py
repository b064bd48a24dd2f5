"""Kill runs at random moments and look at what they leave.

    python Testing/Trust/kill.py OUT.md [--times 50] [--seed 0] [--verbs register pretrain]

Every second run is ended by SIGTERM, the others by SIGKILL. After each, files in the folder of results are
those of the run before or of this one, byte for byte; a report means that all of them are of one run;
nothing of the run's process group lives on. A run that then goes on to the end leaves no unfinished file,
and a training that was killed again and again ends with the same bits as one that was not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from scans import make_scan

from SynthFoundationLib.files import UNFINISHED, replacing
from SynthFoundationLib.images import write_image

VERBS = ("register", "pretrain")
TRAINING = """
[data]
side = 16
margin = 8
pairs = 1
workers = 1
[network]
width = 4
depth = 1
stem = 1
norm = "instance"
norm_eps = 1e-3
[loss]
anchors = 16
head_width = 8
place_anchors = 16
place_neighbours = 4
[run]
steps = 24
threads = 1
save_every = 2
validate_every = 12
validation_pairs = 1
"""
PATIENCE = 60.0  # seconds in which the children of a killed run must end


def main() -> None:
    """Kill and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", nargs="+", default=VERBS, choices=VERBS)
    options = parser.parse_args()
    lines = [
        f"{options.times} runs each, seed {options.seed}, {platform.platform(terse=True)}",
        "",
        "| verb | killed | ended before | faults |",
        "|---|---:|---:|---|",
    ]
    for verb in options.verbs:
        with tempfile.TemporaryDirectory() as folder:
            killed, faults = {"register": kill_register, "pretrain": kill_pretrain}[verb](
                Path(folder), options.times, random.Random(options.seed)
            )
        cell = "; ".join(sorted(set(faults))) or "none"
        lines.append(f"| {verb} | {killed} | {options.times - killed} | {cell} |")
        print(lines[-1], flush=True)
        with replacing(options.output) as beside:
            beside.write_text("\n".join(lines) + "\n", encoding="utf-8")


def kill_register(folder: Path, times: int, rng: random.Random) -> tuple[int, list[str]]:
    """How many runs were killed, and what was wrong afterwards."""
    for name, contrast in {"fixed": 0, "moving": 1, "other": 2}.items():
        write_image(make_scan((24, 20, 16), contrast, 6.0 * contrast), folder / f"{name}.nii.gz")
    command = ["register", "fixed.nii.gz", "moving.nii.gz", "-o", "out", "--preset", "fast"]
    before = completed(folder, ["register", "fixed.nii.gz", "other.nii.gz", *command[3:]], "out")
    shutil.move(folder / "out", folder / "before")
    start = time.monotonic()
    after = completed(folder, command, "out")
    seconds = time.monotonic() - start
    killed, faults = 0, []
    for number in range(times):
        shutil.rmtree(folder / "out")
        shutil.copytree(folder / "before", folder / "out")
        killed += was_killed(folder, command, rng.uniform(0, 1.1 * seconds), number % 2 == 1, faults)
        faults += mixed(hashes(folder / "out"), before, after)
    completed(folder, command, "out")
    return killed, faults + leftovers(folder)


def kill_pretrain(folder: Path, times: int, rng: random.Random) -> tuple[int, list[str]]:
    """The same for a training, which goes on from what the killed run left."""
    (folder / "tiny.toml").write_text(TRAINING)
    start = time.monotonic()
    wanted = completed(folder, ["pretrain", "-c", "tiny.toml", "-o", "whole"], "whole/step-0000024")
    seconds = time.monotonic() - start
    killed, faults = 0, []
    command = ["pretrain", "-c", "tiny.toml", "-o", "out", "--resume"]
    for number in range(times):
        killed += was_killed(folder, command, rng.uniform(0, 1.1 * seconds), number % 2 == 1, faults)
        if (folder / "out" / "step-0000024").exists() or number == times - 1:
            found = completed(folder, command, "out/step-0000024")
            if found["weights.safetensors"] != wanted["weights.safetensors"]:
                faults.append("the resumed training ended with other weights")
            faults += leftovers(folder)
            shutil.rmtree(folder / "out")
    return killed, faults


def completed(folder: Path, arguments: Sequence[str], result: str) -> dict[str, str]:
    """Run to the end; the files of the result and their digests."""
    done = subprocess.run(_command(arguments), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return hashes(folder / result)


def was_killed(folder: Path, arguments: Sequence[str], after: float, gently: bool, faults: list[str]) -> bool:
    """Run and kill after so many seconds; whether it still ran then."""
    process = subprocess.Popen(
        _command(arguments),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM if gently else signal.SIGKILL)
        process.wait()
        if not _group_ends(process.pid):
            faults.append("a process lived on")
            os.killpg(process.pid, signal.SIGKILL)
        said = process.stderr.read().decode() if process.stderr else ""
        if "Traceback" in said and gently:
            faults.append("SIGTERM ended in a traceback")
        return True
    if process.returncode:
        faults.append(f"exit {process.returncode} before it was killed")
    return False


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each finished file."""
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def mixed(found: dict[str, str], before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What is wrong with a folder that held the results `before` when a run that gives `after` was killed."""
    timed = ("report.html", "report.json")  # they say how long it took
    faults = [
        f"{name} is of neither run"
        for name, digest in found.items()
        if name not in timed and digest not in (before.get(name), after.get(name))
    ]
    whole = [all(found.get(n) == h for n, h in run.items() if n not in timed) for run in (before, after)]
    if "report.html" in found and not any(whole):
        faults.append("there is a report although the files are of two runs")
    return faults


def leftovers(folder: Path) -> list[str]:
    """Unfinished files and locks that a run left although it went to the end."""
    left = [
        *folder.rglob(f"{UNFINISHED}*"),
        *folder.rglob(".in-use"),
        *folder.rglob("*.partial"),
        *folder.rglob("*.old"),
    ]
    return [f"{path.name.partition('-')[0]} is left" for path in left]


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "SynthFoundationLib", *arguments]


def _group_ends(group: int) -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


if __name__ == "__main__":
    main()
