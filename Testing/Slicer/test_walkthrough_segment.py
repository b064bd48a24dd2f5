"""Segmenting as users do: paint a few slices, update, correct, undo, accept; save and go on."""

import numpy as np
import pytest
import slicer

RADIUS = 9.0
SHAPE = (28, 32, 36)
CENTRE = np.array([14.0, 16.0, 18.0])


def _truth():
    k, j, i = np.indices(SHAPE)
    return ((k - CENTRE[0]) ** 2 + (j - CENTRE[1]) ** 2 + (i - CENTRE[2]) ** 2 < RADIUS**2).astype(np.uint8)


@pytest.fixture
def panel(host, module):
    """The panel Segment on a bright ball in noise."""
    rng = np.random.default_rng(1)
    array = (100 * _truth() + 40 + rng.normal(0, 4, SHAPE)).astype(np.float32)
    slicer.util.addVolumeFromArray(array, name="ball")
    module.ui.tabs.setCurrentIndex(1)
    host.application.processEvents()
    return module.segment_panel


def _segment(panel, number=0):
    return panel.parameters.segmentation.GetSegmentation().GetNthSegmentID(number)


def _labels(panel, number=0):
    chosen = panel.parameters
    return slicer.util.arrayFromSegmentBinaryLabelmap(
        chosen.segmentation, _segment(panel, number), chosen.volume
    )


def _paint(panel, labels, number=0):
    chosen = panel.parameters
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        labels, chosen.segmentation, _segment(panel, number), chosen.volume
    )


def _slices(*ks):
    drawn = np.zeros(SHAPE, np.uint8)
    for k in ks:
        drawn[k] = _truth()[k]
    return drawn


def _update(host, panel):
    panel.controls.ui.updateButton.click()
    host.wait(lambda: not panel.controls.busy, 120, "the segmentation")
    assert panel.controls.ui.segmentMessageLabel.text == ""


def _dice(a, b):
    return 2 * np.logical_and(a, b).sum() / (a.sum() + b.sum())


def test_three_slices_make_the_ball_and_undo_brings_the_strokes_back(host, panel):
    drawn = _slices(8, 14, 20)
    _paint(panel, drawn)
    _update(host, panel)
    found = _labels(panel)
    assert _dice(found, _truth()) > 0.85
    assert np.array_equal(found[14], _truth()[14])  # what was drawn stays
    panel.controls.ui.undoButton.click()
    host.wait(lambda: not panel.controls.busy, 60, "the undo")
    assert np.array_equal(_labels(panel), drawn)
    _update(host, panel)
    panel.controls.ui.acceptButton.click()
    slicer.app.processEvents()
    assert _dice(_labels(panel), _truth()) > 0.85


@pytest.mark.slow
def test_a_correction_is_kept(host, panel):
    _paint(panel, _slices(8, 14, 20))
    _update(host, panel)
    corrected = _labels(panel).copy()
    corrected[11] = 0
    corrected[11, 10:20, 10:14] = 1
    _paint(panel, corrected)
    _update(host, panel)
    assert np.array_equal(_labels(panel)[11], corrected[11])


@pytest.mark.slow
def test_two_segments_do_not_overlap(host, panel):
    segmentation = panel.parameters.segmentation.GetSegmentation()
    segmentation.AddEmptySegment("rest", "rest")
    _paint(panel, _slices(8, 14, 20))
    outside = np.zeros(SHAPE, np.uint8)
    outside[14, :6] = 1
    _paint(panel, outside, 1)
    _update(host, panel)
    assert not np.logical_and(_labels(panel), _labels(panel, 1)).any()
    assert _dice(_labels(panel), _truth()) > 0.8


@pytest.mark.slow
def test_a_saved_segmentation_is_gone_on_with(host, panel, module, tmp_path):
    _paint(panel, _slices(8, 14, 20))
    _update(host, panel)
    before = _labels(panel).copy()
    assert slicer.util.saveScene(str(tmp_path / "work.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "work.mrb"))
    slicer.app.processEvents()
    panel = module.segment_panel
    assert panel.parameters.segmentation is not None
    assert np.array_equal(_labels(panel), before)
    _update(host, panel)
    assert _dice(_labels(panel), _truth()) > 0.8


@pytest.mark.slow
def test_the_scene_closes_while_it_segments(host, panel):
    _paint(panel, _slices(8, 14, 20))
    panel.controls.ui.updateButton.click()
    slicer.mrmlScene.Clear(0)
    host.wait(lambda: not panel.controls.busy, 10, "the stop")
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


@pytest.mark.slow
def test_the_result_can_be_exported_as_dicom_seg(host, panel):
    _paint(panel, _slices(8, 14, 20))
    _update(host, panel)
    segmentation, volume = panel.parameters.segmentation, panel.parameters.volume
    role = segmentation.GetReferenceImageGeometryReferenceRole()
    assert segmentation.GetNodeReference(role) is volume
    tag = segmentation.GetSegmentation().GetSegment(_segment(panel))
    assert tag.HasTag(tag.GetTerminologyEntryTagName())
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    parents = [tree.GetItemParent(tree.GetItemByDataNode(node)) for node in (segmentation, volume)]
    assert parents[0] == parents[1]
