"""Writes `files.cmake`: every file of the library and of the modules that Slicer's build installs.

    python Testing/Packaging/file_lists.py

Slicer installs what is listed and nothing else, and it does not tell what is missing.
"""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LISTS = ROOT / "files.cmake"
LIBRARY = "SynthFoundationLib"
NOT_INSTALLED = {"CMakeLists.txt"}


def modules() -> list[str]:
    """The folders that hold a scripted module of their name."""
    return sorted(path.parent.name for path in ROOT.glob("*/*.py") if path.stem == path.parent.name)


def files(folder: str) -> list[Path]:
    """The files of a folder that belong to the project, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        paths = [Path(name) for name in listed.stdout.split("\0") if name]
        paths = [path for path in paths if (ROOT / path).is_file()]
    else:  # a source archive
        paths = [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()]
        paths = [path for path in paths if "__pycache__" not in path.parts]
    return sorted(path for path in paths if path.name not in NOT_INSTALLED)


def text() -> str:
    """What `files.cmake` should hold."""
    parts = ["# Written by Testing/Packaging/file_lists.py; do not edit.\n"]
    parts.append(_variable("SynthFoundation_MODULES", modules()))
    for folder in [LIBRARY, *modules()]:
        base = "." if folder == LIBRARY else folder
        names = [path.relative_to(base).as_posix() for path in files(folder)]
        parts.append(_variable(f"{folder}_SCRIPTS", [name for name in names if name.endswith(".py")]))
        parts.append(_variable(f"{folder}_RESOURCES", [name for name in names if not name.endswith(".py")]))
    return "\n".join(parts)


def _variable(name: str, values: list[str]) -> str:
    lines = "".join(f"  {value}\n" for value in values)
    return f"set({name}\n{lines}  )\n"


if __name__ == "__main__":
    LISTS.write_text(text(), encoding="utf-8", newline="\n")
    print(f"{LISTS.name}: {', '.join([LIBRARY, *modules()])}")
