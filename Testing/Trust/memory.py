"""Peak memory and processor time of every verb that works on scans, by the size of the scan.

    python Testing/Trust/memory.py OUT.md [--threads 2] [--sizes 128x128x128 …] [--verbs register …]

Each cell is one run of the command line in a process of its own: the most memory that the process held, and
the seconds that all its threads computed, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from scans import make_scan, make_seeds

from SynthFoundationLib.files import replacing
from SynthFoundationLib.images import write_image, write_labels

SIZES = ("128x128x128", "192x160x192", "256x256x256", "512x512x300")
VERBS = ("register", "features", "segment")
GIGABYTE = 1e9


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--verbs", nargs="+", default=VERBS, choices=VERBS)
    options = parser.parse_args()
    lines = [
        f"{options.threads} threads, {platform.machine()}, Python {platform.python_version()}",
        "",
        "| voxels | " + " | ".join(f"{verb} GB | {verb} CPU s" for verb in options.verbs) + " |",
        "|---|" + "---:|---:|" * len(options.verbs),
    ]
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            make_files(tuple(int(n) for n in size.split("x")), Path(folder))
            cells = [measured(verb, Path(folder), options.threads) for verb in options.verbs]
        lines.append(f"| {size.replace('x', '×')} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
        with replacing(options.output) as beside:
            beside.write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_files(size: tuple[int, int, int], folder: Path) -> None:
    """Two scans and seeds."""
    write_image(make_scan(size), folder / "fixed.nii.gz")
    write_image(make_scan(size, contrast=1, bend_mm=12.0), folder / "moving.nii.gz")
    write_labels(make_seeds(size), folder / "seeds.nii.gz")


def measured(verb: str, folder: Path, threads: int) -> str:
    """GB and seconds of a run as two cells, or how it failed."""
    arguments = {
        "register": ["fixed.nii.gz", "moving.nii.gz", "-o", "result"],
        "features": ["fixed.nii.gz", "-o", "features.nrrd"],
        "segment": ["fixed.nii.gz", "seeds.nii.gz", "-o", "labels.nii.gz"],
    }[verb]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "SynthFoundationLib", verb, *arguments]
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    if process.returncode:
        return f"exit {process.returncode}: {said.strip()[-200:]} | {seconds:.0f}"
    scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in kilobytes except there
    return f"{usage.ru_maxrss * scale / GIGABYTE:.1f} | {seconds:.0f}"


if __name__ == "__main__":
    main()
