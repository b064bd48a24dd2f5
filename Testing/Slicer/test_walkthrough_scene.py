"""Sessions as users have them: saved scenes, scenes that close, nodes that go, workers that die."""

import os
import signal

import numpy as np
import pytest
import slicer


@pytest.fixture
def panel(pair, light):
    """The panel Register with the small pair chosen."""
    return light.register_panel


def _under_way(host, panel):
    """Click Register and wait until the worker is at it."""
    panel.ui.registerButton.click()
    host.wait(lambda: panel.ui.progressBar.value > 5, 120, "progress")


def _result(host, panel):
    panel.ui.registerButton.click()
    host.wait(lambda: not panel.busy, 300, "the registration")
    assert panel.ui.messageLabel.text == ""
    return panel.result


def _map(node, points):
    transform = node.GetTransformFromParent()
    return np.array([transform.TransformPoint(point) for point in points])


def _results():
    """The transform nodes that registrations have made; the slice views have some of their own."""
    nodes = slicer.util.getNodesByClass("vtkMRMLTransformNode")
    return [node for node in nodes if node.GetAttribute("SynthFoundation.Result")]


POINTS = np.random.default_rng(2).uniform(-15, 15, (20, 3))


def test_closing_the_scene_stops_a_run_and_the_module_goes_on(host, panel, module, pair):
    _under_way(host, panel)
    slicer.mrmlScene.Clear(0)
    host.wait(lambda: not module.register_panel.busy, 5, "the stop")
    assert _results() == []
    assert not panel.ui.registerButton.enabled
    slicer.util.addVolumeFromArray(np.zeros((4, 4, 4)), name="new")
    host.wait(lambda: panel.parameters is not None, 2, "a new parameter node")


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1], ids=["fixed", "moving"])
def test_deleting_a_volume_during_a_run_leaves_the_rest_alone(host, panel, pair, which):
    _under_way(host, panel)
    slicer.mrmlScene.RemoveNode(pair[which])
    host.wait(lambda: not panel.busy, 5, "the stop")
    other = pair[1 - which]
    assert other.GetScene() is slicer.mrmlScene
    assert other.GetParentTransformNode() is None
    assert _results() == []


def test_a_saved_scene_is_gone_on_with(host, panel, module, pair, tmp_path):
    before, told = _map(_result(host, panel).forward, POINTS), panel.ui.verdictLabel.text
    assert slicer.util.saveScene(str(tmp_path / "work.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "work.mrb"))
    slicer.app.processEvents()
    panel = module.register_panel
    chosen = panel.parameters
    assert (chosen.fixed.GetName(), chosen.moving.GetName()) == ("T1", "T2")
    assert chosen.moving.GetParentTransformNode() is chosen.forward
    np.testing.assert_allclose(_map(chosen.forward, POINTS), before, atol=1e-3)
    assert panel.ui.verdictLabel.text == told
    panel.ui.stiffnessSlider.value = 1  # a correction, as if nothing had been
    host.wait(lambda: panel.busy, 5, "the update")
    host.wait(lambda: not panel.busy, 120, "the update")
    assert np.abs(_map(panel.result.forward, POINTS) - before).mean() < 1.0
    panel.ui.stiffnessSlider.value = 0
    again = _result(host, panel)  # starts from the volume as it was, not from where the result has put it
    np.testing.assert_allclose(_map(again.forward, POINTS), before, atol=1.0)
    assert again.forward is chosen.forward
    panel.ui.restoreButton.click()
    assert chosen.moving.GetParentTransformNode() is None


@pytest.mark.slow
def test_a_worker_killed_between_clicks_is_replaced_without_a_word(host, panel):
    first = _map(_result(host, panel).forward, POINTS)
    os.kill(panel._worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    panel.ui.stiffnessSlider.value = 1  # an update of what the dead one knew
    host.wait(lambda: panel.busy, 10, "the update")
    host.wait(lambda: not panel.busy, 300, "the update")
    assert np.isfinite(_map(panel.result.forward, POINTS)).all()
    assert np.abs(_map(panel.result.forward, POINTS) - first).mean() < 3.0


@pytest.mark.slow
def test_another_module_is_opened_during_a_run(host, panel, module, pair):
    _under_way(host, panel)
    host.main_window.moduleSelector().selectModule("Data")
    host.wait(lambda: not panel.busy, 300, "the registration")
    host.main_window.moduleSelector().selectModule("SynthFoundation")
    assert module.register_panel.parameters.fixed is pair[0]
    assert not host.errors


@pytest.mark.slow
def test_the_module_is_reloaded_during_a_run(host, panel, pair):
    _under_way(host, panel)
    slicer.modules.SynthFoundationWidget.onReload()
    slicer.app.processEvents()
    fresh = slicer.modules.SynthFoundationWidget
    assert not fresh.register_panel.busy
    slicer.modules.synthfoundation.widgetRepresentation().enter()
    assert fresh.register_panel.parameters.fixed is pair[0]


@pytest.mark.slow
def test_the_scene_is_undone_after_a_result(host, panel, pair):
    slicer.mrmlScene.SetUndoOn()
    try:
        pair[1].UndoEnabledOn()
        slicer.mrmlScene.SaveStateForUndo()
        _result(host, panel)
        slicer.mrmlScene.Undo()
        slicer.app.processEvents()
        assert not panel.busy
        panel.ui.registerButton.click()
        host.wait(lambda: not panel.busy, 300, "the registration after the undo")
        assert panel.ui.messageLabel.text == ""
    finally:
        slicer.mrmlScene.ClearUndoStack()
        slicer.mrmlScene.SetUndoOff()


@pytest.mark.slow
@pytest.mark.usefixtures("_lasting_worker")
def test_scripts_register_without_a_main_window(host, pair):
    from pathlib import Path

    host.load(Path(__file__).parents[2] / "SynthFoundation" / "SynthFoundation.py")
    host.finish_startup()
    assert slicer.util.mainWindow() is None
    assert slicer.app.layoutManager() is None
    fixed, moving = pair
    result = slicer.modules.synthfoundation.logic().register(fixed, moving, preset="fast")
    assert moving.GetParentTransformNode() is result.forward
    assert result.verdict in ("good", "look closely", "failed")
