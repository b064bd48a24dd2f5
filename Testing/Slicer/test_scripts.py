"""Scripts, without a main window or a panel."""

from pathlib import Path

import numpy as np
import pytest
import slicer
from SynthFoundationModuleLib.errors import UserError
from SynthFoundationModuleLib.geometry import flipped

ROOT = Path(__file__).parents[2]


@pytest.fixture
def logic(host, _lasting_worker):
    host.load(ROOT / "SynthFoundation" / "SynthFoundation.py")
    assert slicer.app.layoutManager() is None
    return slicer.modules.synthfoundation.logic()


def test_register_waits_and_returns_nodes_verdict_and_numbers(logic, pair, truth):
    told = []
    found = logic.register(*pair, preset="fast", progress=lambda *progress: told.append(progress))
    transform = found.forward.GetTransformFromParent()
    places = flipped([transform.TransformPoint(point) for point in flipped(truth[0])])
    assert np.linalg.norm(places - truth[1], axis=1).mean() < 2.0
    assert found.verdict in ("good", "look closely")
    assert found.numbers["similarity"]["after"] > found.numbers["similarity"]["before"]
    assert told
    start = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    again = logic.register(*pair, preset="fast", transform="rigid", features="mind", initial=start)
    assert again.forward.IsA("vtkMRMLLinearTransformNode")
    assert pair[1].GetParentTransformNode() is again.forward


def test_errors_are_raised_in_plain_words(logic, pair):
    with pytest.raises(UserError, match="same volume"):
        logic.register(pair[0], pair[0])
    with pytest.raises(UserError, match="allowed are"):
        logic.register(*pair, preset="perfect")
    assert pair[1].GetParentTransformNode() is None


def test_a_volume_deleted_meanwhile_ends_the_wait(host, logic, pair):
    import qt

    qt.QTimer.singleShot(100, lambda: slicer.mrmlScene.RemoveNode(pair[1]))
    with pytest.raises(UserError, match="T2 was deleted meanwhile"):
        logic.register(*pair, preset="fast")
    assert not [
        node for node in slicer.util.getNodesByClass("vtkMRMLTransformNode") if " to " in node.GetName()
    ]


@pytest.mark.slow
def test_the_module_test_that_slicer_runs_passes(logic):
    import SynthFoundation

    SynthFoundation.SynthFoundationTest().runTest()


def test_loading_the_module_imports_nothing_heavy(tmp_path):
    import subprocess
    import sys

    code = f"""
import sys
sys.path[:0] = [{str(ROOT / "Testing" / "SlicerHost")!r}]
import slicerhost
host = slicerhost.boot()
host.load({str(ROOT / "SynthFoundation" / "SynthFoundation.py")!r})
host.open("SynthFoundation")
heavy = {{"torch", "scipy", "SimpleITK", "safetensors"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
