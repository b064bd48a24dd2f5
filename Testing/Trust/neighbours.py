"""How long a registration takes on a machine where another program is at work.

    python Testing/Trust/neighbours.py OUT.md [--size 128x128x128] [--spins 300000 10000]

Each cell is the command line in a process of its own, which works with as many threads as there are cores:
alone, beside a program that only counts, and two at once. GOMP_SPINCOUNT=300000 is what GNU OpenMP does by
itself. What takes longer than five minutes is stopped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from memory import make_files

from SynthFoundationLib.files import replacing
from SynthFoundationLib.neighbours import SPINS

LONGEST = 300.0  # seconds


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", default="128x128x128")
    parser.add_argument("--spins", type=int, nargs="+", default=[300_000, SPINS])
    options = parser.parse_args()
    lines = ["| GOMP_SPINCOUNT | alone | beside a program | two at once |", "|---:|---:|---:|---:|"]
    with tempfile.TemporaryDirectory() as folder:
        make_files(tuple(int(n) for n in options.size.split("x")), Path(folder))
        for spins in options.spins:
            alone, both = seconds(Path(folder), spins, 1), seconds(Path(folder), spins, 2)
            with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as program:
                beside = seconds(Path(folder), spins, 1)
                program.kill()
            lines.append(f"| {spins:,} | {alone} | {beside} | {both} |")
            print(lines[-1], flush=True)
    with replacing(options.output) as place:
        place.write_text("\n".join(lines) + "\n", encoding="utf-8")


def seconds(folder: Path, spins: int, count: int) -> str:
    """Until so many registrations that begin together have ended."""
    command = [sys.executable, "-m", "SynthFoundationLib", "register", "fixed.nii.gz", "moving.nii.gz", "-o"]
    environment = {**os.environ, "GOMP_SPINCOUNT": str(spins)}
    start = time.monotonic()
    runs = [
        subprocess.Popen([*command, f"out{n}"], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        for n in range(count)
    ]
    try:
        for run in runs:
            if run.wait(max(0.1, start + LONGEST - time.monotonic())):
                raise SystemExit(f"exit code {run.returncode}")
    except subprocess.TimeoutExpired:
        return f"> {LONGEST:.0f}"
    finally:
        for run in runs:
            run.kill()
            run.wait()
    return f"{time.monotonic() - start:.0f}"


if __name__ == "__main__":
    main()
