"""The workflows cannot run here; what they name has to exist, and their shell code has to parse."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [*sorted((ROOT / ".github" / "workflows").glob("*.yml")), ROOT / ".github/actions/install/action.yml"]
PINS = ROOT / "Resources" / "Constraints"
PATHS = re.compile(r"(?<![\w/$-])((?:Testing|Resources|SynthFoundationLib|\.github)/[\w./-]*\w)")


def read(path):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(content):
    if "runs" in content:
        return content["runs"]["steps"]
    return [step for job in content["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_shell_code_parses(path):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    for step in steps(read(path)):
        assert ("run" in step) != ("uses" in step)
        code = re.sub(r"\$\{\{[^}]*\}\}", "value", step.get("run", ""))
        checked = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_path_that_it_names_exists(path):
    named = set(PATHS.findall(path.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    for step in steps(read(path)):
        if step.get("uses", "").startswith("./"):
            assert (ROOT / step["uses"] / "action.yml").exists()


@pytest.mark.parametrize("path", FILES[:-1], ids=lambda path: path.stem)
def test_it_may_do_no_more_than_it_must(path):
    content = read(path)
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert job["timeout-minutes"] <= 240
        assert "permissions" not in job or (path.stem, name) == ("release", "publish")


def test_every_change_is_tested_on_all_systems_and_versions():
    content = read(ROOT / ".github/workflows/ci.yml")
    matrix = content["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert {system.split("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}
    assert set(content[True]) == {"push", "pull_request"}  # YAML takes the word "on" for true


@pytest.mark.parametrize("path", sorted(PINS.glob("*.txt")), ids=lambda path: path.stem)
def test_every_package_is_pinned_and_hashed(path):
    packages = re.split(r"\n(?=[a-z])", path.read_text(encoding="utf-8").strip())
    assert packages
    for package in packages:
        assert re.match(r"[a-z0-9-]+==[\w.+]+( ;.*)? \\\n", package), package[:60]
        hashes = re.findall(r"--hash=sha256:([0-9a-f]+)", package)
        assert hashes
        assert all(len(one) == 64 for one in hashes)


def test_the_pins_of_the_command_line_are_those_of_the_tests():
    cli, dev = (set(re.findall(r"^\S+==.*$", (PINS / f"{n}.txt").read_text(), re.M)) for n in ("cli", "dev"))
    names = {pin.split("==")[0] for pin in cli}
    assert {pin.split(" ")[0] for pin in cli} <= {pin.split(" ")[0] for pin in dev}
    assert {"numpy", "scipy", "simpleitk", "safetensors", "typer", "matplotlib", "setuptools"} <= names
