"""The panel Model, with the real worker."""

import sys
import types

import numpy as np
import pytest
import slicer
from SynthFoundationModuleLib import dependencies, model_panel
from SynthFoundationModuleLib.parameters import Device, MachineSettings


@pytest.fixture
def panel(pair, module):
    module.ui.tabs.setCurrentIndex(2)
    return module.model_panel


def click(host, panel, button):
    button.click()
    host.wait(lambda: not panel.busy, 60, "the answer")
    return panel.ui.modelMessageLabel.text


@pytest.mark.slow
def test_the_self_test_tells_versions_device_weights_and_what_passed(host, panel):
    ui = panel.ui
    assert "installed" in ui.stateLabel.text
    assert ui.installButton.text == "Repair the installation"
    assert click(host, panel, ui.testButton) == ""
    report = ui.reportLabel.text
    assert f"numpy {np.__version__}" in report
    assert "Device cpu" in report
    assert "Test of registration: passed" in report
    assert "Weights" in report or "No network is installed" in report


ANSWER = {"version": "1", "packages": {}, "devices": [], "weights": []}


def test_the_names_of_tests_are_translated(monkeypatch):
    monkeypatch.setattr(
        model_panel, "_", lambda text: {"features": "rasgos", "passed": "bien"}.get(text, text)
    )
    tests = [{"name": name, "passed": True, "seconds": 1.0, "message": ""} for name in ("features", "other")]
    lines = list(model_panel.report_lines(ANSWER | {"self_test": tests}))
    assert lines[-2:] == ["Test of rasgos: bien in 1.0 s", "Test of other: bien in 1.0 s"]


@pytest.mark.parametrize("in_use", [False, True])
def test_a_restart_is_wanted_only_where_torch_was_in_use_before(panel, monkeypatch, in_use):
    """PyTorchUtils imports what it has installed."""
    torch = types.ModuleType("torch")
    if in_use:
        monkeypatch.setitem(sys.modules, "torch", torch)
    else:
        monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(dependencies, "missing", lambda: ["torch"])
    monkeypatch.setattr(dependencies, "ensure", lambda _: monkeypatch.setitem(sys.modules, "torch", torch))
    panel.on_install()
    assert ("Restart Slicer" in panel.ui.modelMessageLabel.text) is in_use


def test_features_are_shown_as_colours_and_the_cache_is_cleared(host, panel, pair):
    panel.parameters.picturedVolume = pair[0]
    assert click(host, panel, panel.ui.pictureButton) == ""
    node = slicer.util.getNode("Features of T1")
    colours = slicer.util.arrayFromVolume(node)
    assert colours.shape[-1] == 3
    assert colours.std() > 10
    bounds = [np.zeros(6), np.zeros(6)]
    for volume, one in zip((pair[0], node), bounds, strict=True):
        volume.GetBounds(one)
    np.testing.assert_allclose(*bounds, atol=3)
    composite = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[0]
    assert composite.GetBackgroundVolumeID() == node.GetID()
    assert "Freed" in click(host, panel, panel.ui.clearButton)


def test_device_and_weights_are_remembered_by_this_computer(host, module, panel):
    panel.ui.modelDeviceBox.setCurrentIndex(list(Device).index(Device.CPU))
    panel.ui.modelWeightsPath.currentPath = "/nowhere/net.safetensors"
    assert MachineSettings().network() == {
        "weights": "/nowhere/net.safetensors",
        "features": "auto",
        "device": "cpu",
    }
    module.enter()
    assert module.register_panel.ui.deviceBox.currentIndex == list(Device).index(Device.CPU)
    assert module.register_panel.ui.weightsPath.currentPath == "/nowhere/net.safetensors"


def test_weights_that_are_not_there_are_told_in_one_sentence(host, module, panel):
    panel.ui.modelWeightsPath.currentPath = "/nowhere/net.safetensors"
    register = module.register_panel
    host.wait(lambda: register.ui.registerButton.enabled, 5, "the choice of volumes")
    register.ui.registerButton.click()
    host.wait(lambda: not register.busy, 60, "the refusal")
    text = register.ui.messageLabel.text
    assert "net.safetensors" in text
    assert "Traceback" not in text
