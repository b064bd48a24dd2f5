"""Whether a wheel holds every file of the library, and the weights that its registry promises.

python Testing/Trust/wheel.py dist/*.whl
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = "SynthFoundationLib"


def faults(wheel: Path) -> list[str]:
    """What is wrong with it."""
    listed = subprocess.run(
        ["git", "ls-files", LIBRARY], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        found = [f"{name} is missing" for name in listed if name and name not in held and _is_needed(name)]
        registry = json.loads(archive.read(f"{LIBRARY}/features/weights.json"))
        for entry in registry["weights"].values():
            name = f"{LIBRARY}/features/{entry['file']}"
            bundled = entry.get("source") is None
            if bundled and (
                name not in held or hashlib.sha256(archive.read(name)).hexdigest() != entry["sha256"]
            ):
                found.append(f"{name} is not what weights.json promises")
    return found


def _is_needed(name: str) -> bool:
    return not name.endswith(("README.md", "CMakeLists.txt"))


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]))
    print("\n".join(wrong) or "the wheel is whole")
    sys.exit(bool(wrong))
