"""Run the commands and the Python of README.md on scans made on the spot.

    python Testing/Trust/readme.py

Of the shell blocks those lines are run that begin with `synthfoundation` and name no placeholder in capitals.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from SynthFoundationLib.demo import make_small_pair
from SynthFoundationLib.images import LabelMap, write_image, write_labels

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b")


def commands(text: str) -> list[list[str]]:
    """What the page tells to run, as arguments of this Python."""
    found = []
    for kind, block in BLOCK.findall(text):
        if kind == "python":
            found.append(["-c", block])
        if kind == "sh":
            lines = block.replace("\\\n", " ").splitlines()
            found += [
                ["-m", "SynthFoundationLib", *shlex.split(line, comments=True)[1:]]
                for line in lines
                if line.startswith("synthfoundation ") and not PLACEHOLDER.search(line.partition("#")[0])
            ]
    return found


def make_files(folder: Path) -> None:
    """The files that the page speaks of."""
    fixed, moving, _ = make_small_pair()
    for name, image in {"fixed": fixed, "moving": moving, "ct": fixed, "mr": moving, "scan": fixed}.items():
        write_image(image, folder / f"{name}.nii.gz")
    labels = (fixed.data[0] > 100).int() + 1
    for index in range(len(labels)):
        if index % 12:
            labels[index] = 0
    write_labels(LabelMap(labels, fixed.grid), folder / "seeds.nii.gz")


def main() -> None:
    """Run them all; the exit code tells whether one failed."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder))
        for arguments in commands(README.read_text(encoding="utf-8")):
            print(" ".join(arguments)[:100], flush=True)
            done = subprocess.run([sys.executable, *arguments], cwd=folder, check=False, env=dict(os.environ))
            failed += done.returncode != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
