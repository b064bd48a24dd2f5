"""The workflow cannot run here; what it names has to exist and its shell code has to parse."""

import re
import shutil
import subprocess

import file_lists
import pytest

WORKFLOW = file_lists.ROOT / ".github" / "workflows" / "slicer.yml"


@pytest.fixture(scope="module")
def workflow():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(WORKFLOW.read_text())


def test_it_runs_on_three_systems(workflow):
    job = workflow["jobs"]["test"]
    assert set(job["strategy"]["matrix"]["system"]) == {"linux", "win", "macosx"}
    assert {row["system"] for row in job["strategy"]["matrix"]["include"]} == {"linux", "win", "macosx"}


def test_its_shell_code_parses(workflow):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    for step in workflow["jobs"]["test"]["steps"]:
        code = re.sub(r"\$\{\{[^}]*\}\}", "value", step.get("run", ""))
        checked = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_every_path_and_step_it_names_exists(workflow):
    text = WORKFLOW.read_text()
    script = (file_lists.ROOT / "Testing" / "Packaging" / "in_slicer.py").read_text()
    assert "Testing/Packaging/in_slicer.py" in workflow["jobs"]["test"]["env"]["ARGUMENTS"]
    for module in file_lists.modules():
        assert f'"$PWD/{module}"' in text
        assert f'"{module}"' in script
    for step in re.findall(r"\$ARGUMENTS (\w+)", text):
        assert f"def {step}(" in script
