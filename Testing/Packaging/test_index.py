"""What the checks of the Slicer Extensions Index ask for, as far as a source tree can show it."""

import json
import re
import shutil
import struct
import subprocess

import file_lists
import pytest

ROOT = file_lists.ROOT
FIELDS = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "tier": int,
}


@pytest.fixture(scope="module")
def entry():
    return json.loads((ROOT / "SynthFoundation.json").read_text())


@pytest.fixture(scope="module")
def cmake():
    return (ROOT / "CMakeLists.txt").read_text()


def _metadata(cmake, name):
    """The value, which has to stand on one line in double quotes."""
    found = re.findall(rf'^set\(EXTENSION_{name} "([^"\n]+)"\)$', cmake, re.MULTILINE)
    assert len(found) == 1, f"EXTENSION_{name} is not one quoted line"
    return found[0]


def test_the_entry_has_known_fields_only(entry):
    assert set(entry) <= set(FIELDS)
    assert all(isinstance(value, FIELDS[name]) for name, value in entry.items())
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert entry["category"] == "Registration"
    assert 1 <= entry["tier"] <= 5


def test_names_agree(entry, cmake):
    name = re.search(r"^project\((\w+)\)$", cmake, re.MULTILINE)[1]
    assert (ROOT / f"{name}.json").is_file()
    assert not name.startswith("Slicer")
    repository = entry["scm_url"].removesuffix(".git")
    assert re.fullmatch(rf"https://github\.com/[\w-]+/Slicer{name}", repository)
    assert _metadata(cmake, "HOMEPAGE") == repository


def test_dependencies_agree(entry, cmake):
    assert entry["build_dependencies"] == _metadata(cmake, "DEPENDS").split()


def test_texts_are_there(cmake):
    assert _metadata(cmake, "CONTRIBUTORS")
    description = _metadata(cmake, "DESCRIPTION")
    assert 40 < len(description) < 400
    assert "patent" in description


def test_pictures_of_the_urls_are_in_the_repository(entry, cmake):
    repository = entry["scm_url"].removesuffix(".git").removeprefix("https://github.com/")
    base = f"https://raw.githubusercontent.com/{repository}/{entry['scm_revision']}/"
    urls = [_metadata(cmake, "ICONURL"), *_metadata(cmake, "SCREENSHOTURLS").split()]
    for url in urls:
        picture = ROOT / url.removeprefix(base)
        assert url.startswith(base)
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size < 500_000


def test_the_icon_is_square():
    width, height = struct.unpack(">II", (ROOT / "SynthFoundation.png").read_bytes()[16:24])
    assert width == height == 128


def test_licence_is_named_on_the_home_page():
    assert "Apache License" in (ROOT / "LICENSE.txt").read_text()
    assert "Apache-2.0" in (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def tracked():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in names.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_repository_is_small(tracked):
    assert sum(path.stat().st_size for path in tracked) < 100e6


def test_lines_end_as_on_unix(tracked):
    endings = {".py", ".txt", ".json", ".cmake", ".md", ".ui", ".yml"}
    texts = [path for path in tracked if path.suffix in endings]
    assert not [path.name for path in texts if b"\r\n" in path.read_bytes()]


def test_every_module_has_an_icon_and_a_build_file():
    for module in file_lists.modules():
        assert (ROOT / module / "CMakeLists.txt").is_file()
        if module == "SynthFoundation":
            assert (ROOT / module / "Resources" / "Icons" / f"{module}.svg").is_file()


def test_nothing_outside_slicer_is_imported_by_modules_at_file_scope():
    allowed = {"slicer", "qt", "ctk", "vtk", "numpy", "SegmentEditorEffects"}
    for module in file_lists.modules():
        for path in file_lists.files(module):
            if path.suffix == ".py":
                text = (ROOT / path).read_text()
                names = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE))
                assert not (names & {"torch", "safetensors", "monai", "SynthFoundationLib"}), path
                assert names <= allowed | set(_standard_library()) | _own(module), path


def _own(module):
    return {path.name for path in (ROOT / module).iterdir()} | {f.stem for f in (ROOT / module).glob("*.py")}


def _standard_library():
    import sys

    return sys.stdlib_module_names


def test_links_of_the_tutorials_lead_somewhere():
    pages = [
        ROOT / "README.md",
        ROOT / "docs" / "slicer-extension.md",
        *(ROOT / "docs").glob("tutorial-*.md"),
    ]
    assert len(pages) == 5
    for page in pages:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
