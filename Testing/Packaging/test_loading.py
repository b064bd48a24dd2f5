"""The module as users have it, installed, and as developers have it, from its folder in the source tree."""

import subprocess
import sys

import file_lists
import pytest
from slicerhost import why_not

SCRIPT = """
import sys
import slicerhost
host = slicerhost.boot()
import slicer
for path in sys.argv[1:]:
    host.load(path)
assert not {"torch", "SynthFoundationLib.registration"} & set(sys.modules), "imported at load"
host.finish_startup()
host.open("SynthFoundation")
from SynthFoundationModuleLib.library import library_parent
print(library_parent())
assert not host.errors, host.errors
slicer.mrmlScene.Clear(0)
"""


def _load(folders, tmp_path):
    """Load every module on a host of its own; the folder that the bundled library was found in."""
    if reason := why_not():
        pytest.skip(reason)
    paths = [str(folder / f"{module}.py") for module, folder in folders.items()]
    host = str(file_lists.ROOT / "Testing" / "SlicerHost")
    process = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {host!r}){SCRIPT}", *paths],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.split()[-1]


def test_the_installed_extension_loads(installed, tmp_path):
    found = _load(dict.fromkeys(file_lists.modules(), installed), tmp_path)
    assert found == str(installed)


def test_the_source_folder_loads(source, tmp_path):
    found = _load({module: source / module for module in file_lists.modules()}, tmp_path)
    assert found == str(source)
