from pathlib import Path

import numpy as np
import pytest
import slicer

EXAMPLE = Path(__file__).parent / "example" / "HostExample.py"


@pytest.fixture
def widget(host):
    host.load(EXAMPLE)
    host.finish_startup()
    return host.open("HostExample")


def test_a_module_is_where_slicer_has_it(host, widget):
    module = slicer.modules.hostexample
    assert module.title == "Host example"
    assert Path(module.path) == EXAMPLE
    assert slicer.modules.HostExampleInstance.starts == 1
    assert slicer.modules.HostExampleWidget is widget
    assert slicer.util.getModuleLogic("HostExample") is widget.logic
    assert module.logic().IsA("vtkMRMLAbstractLogic")
    assert module.logic() is module.logic()
    with pytest.raises(AttributeError):
        module.no_such_thing = 1


def test_widgets_and_parameters_follow_each_other(host, widget):
    volume = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5)), name="scan")
    widget.ui.volumeSelector.setCurrentNode(volume)
    assert widget.parameters.volume is volume
    widget.ui.levelSlider.value = 12.0
    assert widget.parameters.numbers.level == 12.0
    widget.parameters.numbers.level = 55.0
    assert widget.ui.levelSlider.value == 55.0
    widget.ui.activeBox.click()
    assert widget.parameters.active is False
    assert not widget.ui.applyButton.enabled
    widget.ui.qualityBox.setCurrentIndex(1)
    assert widget.parameters.quality.name == "GOOD"


def test_parameters_are_checked_and_kept(host, widget):
    parameters = widget.parameters
    parameters.names = ["a", "b"]
    assert widget.logic.getParameterNode().names == ["a", "b"]
    with pytest.raises(ValueError, match="quintic"):
        parameters.method = "quintic"
    with pytest.raises(ValueError, match="101"):
        parameters.numbers.level = 101.0
    assert parameters.method == "cubic"


def test_only_wired_selectors_know_the_scene(host, widget):
    slicer.util.addVolumeFromArray(np.zeros((3, 4, 5)))
    assert widget.ui.volumeSelector.nodeCount() == 1
    assert widget.ui.unwiredSelector.nodeCount() == 0


def test_closing_the_scene_leaves_no_binding(host, widget):
    slicer.mrmlScene.Clear(0)
    widget.ui.levelSlider.value = 1.0
    assert widget.parameters is None


def test_reload_cleans_up_and_makes_a_new_widget(host, widget):
    slicer.util.reloadScriptedModule("HostExample")
    assert widget.cleaned
    assert slicer.modules.HostExampleWidget is not widget


def test_self_test_runs_by_name(host, widget):
    slicer.selfTests["HostExample"]()
    import HostExample

    assert HostExample.HostExampleTest.ran == 1


def test_parameters_survive_a_scene_bundle(host, widget, tmp_path):
    widget.parameters.numbers.rounds = 7
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert widget.logic.getParameterNode().numbers.rounds == 7


def test_screenshot_of_a_panel(host, widget, tmp_path):
    import qt

    host.screenshot(widget.parent, tmp_path / "panel.png")
    assert qt.QImage(str(tmp_path / "panel.png")).width() == 420


def test_the_interpreter_of_workers_is_on_the_path(host):
    import shutil
    import subprocess

    run = subprocess.run([shutil.which("PythonSlicer"), "-c", "print(6 * 7)"], capture_output=True, text=True)
    assert run.stdout.strip() == "42"
