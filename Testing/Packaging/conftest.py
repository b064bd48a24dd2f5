import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "Testing" / "SlicerHost")]

import file_lists  # noqa: E402

PARTS = ("CMakeLists.txt", "files.cmake", "SynthFoundation.json", "LICENSE.txt", "SynthFoundation.png")


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """The project's files as a fresh clone has them, without what lies around in this working tree."""
    folder = tmp_path_factory.mktemp("source")
    folders = [file_lists.LIBRARY, *file_lists.modules()]
    names = [*PARTS, *(f"{module}/CMakeLists.txt" for module in file_lists.modules())]
    for name in names + [str(path) for folder_name in folders for path in file_lists.files(folder_name)]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture
def configure(tmp_path):
    """Runs cmake with the stand-in of Slicer's build tree; returns the process and the build folder."""
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("cmake or a C++ compiler is not installed")

    def run(source):
        build = tmp_path / "build"
        mock = Path(__file__).parent / "mock_slicer"
        command = ["cmake", "-S", source, "-B", build, f"-DSlicer_DIR={mock}", "-Wno-dev"]
        command += [
            f"-DCMAKE_{language}_COMPILER_FORCED=ON" for language in ("C", "CXX")
        ]  # nothing is compiled
        return subprocess.run(command, capture_output=True, text=True, check=False), build

    return run


@pytest.fixture
def installed(source, configure, tmp_path):
    """The folder of scripted modules that an installation of the extension has."""
    process, build = configure(source)
    assert process.returncode == 0, process.stderr
    target = tmp_path / "installed"
    command = ["cmake", "--install", build, "--prefix", target]
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 0
    return target / "lib" / "Slicer-5.13" / "qt-scripted-modules"
