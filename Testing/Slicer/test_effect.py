"""The Segment Editor effect Few-shot, in the host's Segment Editor widget, with the real worker."""

from pathlib import Path

import numpy as np
import pytest
import slicer
from SynthFoundationModuleLib.segments import numbered, read

ROOT = Path(__file__).parents[2]


@pytest.fixture
def editor(host, light):
    """A Segment Editor with a ball, painted on two slices."""
    host.load(ROOT / "SegmentEditorFewShot" / "SegmentEditorFewShot.py")
    host.finish_startup()
    k, j, i = np.indices((30, 40, 40))
    ball = ((k - 15) / 10) ** 2 + ((j - 20) / 13) ** 2 + ((i - 20) / 13) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 10, ball.shape)
    volume = slicer.util.addVolumeFromArray(np.rint(100 * ball + noise).astype(np.int16), name="scan")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation.GetSegmentation().AddEmptySegment("ball", "Ball")
    painted = np.zeros(ball.shape, np.uint8)
    painted[[10, 20]] = ball[[10, 20]]
    slicer.util.updateSegmentBinaryLabelmapFromArray(painted, segmentation, "ball", volume)
    widget = slicer.qMRMLSegmentEditorWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    widget.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    widget.setSegmentationNode(segmentation)
    widget.setSourceVolumeNode(volume)
    yield widget, segmentation, volume, ball
    widget.setActiveEffect(None)
    widget.setMRMLScene(None)


def dice(segmentation, volume, truth):
    found = read(segmentation, volume, numbered(segmentation)) > 0
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def test_update_undo_and_the_editors_undo(host, editor):
    widget, segmentation, volume, ball = editor
    widget.setActiveEffectByName("Few-shot")
    effect = widget.activeEffect().self()
    controls, before = effect.controls, dice(segmentation, volume, ball)
    assert before < 0.3
    controls.ui.updateButton.click()
    host.wait(lambda: not controls.busy, 60, "the answer")
    assert controls.ui.segmentMessageLabel.text == ""
    assert dice(segmentation, volume, ball) > 0.9
    widget.undo()
    assert dice(segmentation, volume, ball) == before
    controls.ui.updateButton.click()
    host.wait(lambda: not controls.busy, 60, "the answer")
    assert dice(segmentation, volume, ball) > 0.9
    controls.ui.acceptButton.click()
    assert not controls.ui.acceptButton.enabled


def test_the_panel_and_the_effect_share_one_session(host, light, editor):
    widget, segmentation, volume, _ball = editor
    widget.setActiveEffectByName("Few-shot")
    controls = widget.activeEffect().self().controls
    parameters = light.segment_panel.parameters
    parameters.volume, parameters.segmentation = volume, segmentation
    assert light.segment_panel.controls.session is controls.session
    controls.ui.liveBox.checked = True
    assert light.segment_panel.controls.ui.liveBox.checked


def test_an_effect_that_is_not_used_makes_no_sessions(host, editor):
    from SynthFoundationModuleLib.few_shot_sessions import _sessions

    widget, _segmentation, _volume, _ball = editor
    widget.setActiveEffectByName("Few-shot")
    controls = widget.activeEffect().self().controls
    widget.setActiveEffect(None)
    count = len(_sessions)
    other = slicer.util.addVolumeFromArray(np.zeros((4, 4, 4), np.int16), name="other")
    widget.setSourceVolumeNode(other)
    assert len(_sessions) == count
    widget.setActiveEffectByName("Few-shot")
    assert controls.session.volume is other
    widget.setActiveEffect(None)
    slicer.mrmlScene.RemoveNode(other)
    widget.setSourceVolumeNode(None)
    assert controls._session is None  # which would keep the volume in memory


@pytest.mark.usefixtures("_lasting_worker")
def test_the_scene_closes_while_the_effect_is_used_and_the_panel_was_never_opened(host):
    host.load(ROOT / "SynthFoundation" / "SynthFoundation.py")
    host.load(ROOT / "SegmentEditorFewShot" / "SegmentEditorFewShot.py")
    host.finish_startup()
    volume = slicer.util.addVolumeFromArray(np.zeros((4, 4, 4), np.int16))
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.GetSegmentation().AddEmptySegment("ball")
    widget = slicer.qMRMLSegmentEditorWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    widget.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    widget.setSegmentationNode(segmentation)
    widget.setSourceVolumeNode(volume)
    widget.setActiveEffectByName("Few-shot")
    controls = widget.activeEffect().self().controls
    assert controls.session.volume is volume
    assert controls.ui.updateButton.enabled
    slicer.mrmlScene.Clear(0)
    assert controls._session is None
    assert not controls.ui.updateButton.enabled
    assert not host.errors
    widget.setActiveEffect(None)
    widget.setMRMLScene(None)


def test_the_module_test_that_slicer_runs_passes(host, editor):
    import SegmentEditorFewShot

    editor[0].setActiveEffect(None)
    SegmentEditorFewShot.SegmentEditorFewShotTest().runTest()
