"""What the slice views show is answered first, and taken back where the rest never comes."""

import numpy as np
import pytest
import slicer
from scipy.spatial.transform import Rotation
from SynthFoundationModuleLib import few_shot
from SynthFoundationModuleLib.display import jump_to, show_blend, visible_slices
from SynthFoundationModuleLib.geometry import matrix_of, vtk_matrix
from SynthFoundationModuleLib.process import WorkerError

from .test_segment_panel import BALL, painter, scan

__all__ = ["painter"]

SLICE = (slice(16, 17), slice(0, 56), slice(0, 56))
PART = {"box": [[one.start, one.stop] for one in SLICE], "labels": np.full((1, 56, 56), 2, np.uint8)}


def test_the_slices_in_view_are_found_by_axis(host):
    host.show_main_window()
    volume = scan()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    for axis, index in ((0, 11), (1, 30), (2, 17)):
        jump_to(volume, axis, index)
    assert visible_slices(volume) == [(0, 11), (1, 30), (2, 17)]
    turned = np.eye(4)
    turned[:2, :2] = [[0, -1], [1, 0]]
    turned[:3, 3] = (5, -3, 2)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(vtk_matrix(turned))
    volume.SetAndObserveTransformNodeID(node.GetID())
    for axis, index in ((0, 12), (1, 9), (2, 40)):
        jump_to(volume, axis, index)
    assert visible_slices(volume) == [(0, 12), (1, 9), (2, 40)]
    oblique = np.eye(4)
    oblique[:2, :2] = np.array([[3, -4], [4, 3]]) / 5
    node.SetMatrixTransformToParent(vtk_matrix(oblique))
    assert [axis for axis, _index in visible_slices(volume)] == [0]  # the others cut it at a slant


@pytest.mark.parametrize("hung", [False, True], ids=["its own header", "a transform"])
def test_views_across_an_oblique_scan_are_turned_to_the_slice_they_are_to_show(host, hung):
    host.show_main_window()
    volume, tilt = scan(), np.eye(4)
    tilt[:3, :3] = Rotation.from_euler("xyz", (15, -20, 10), degrees=True).as_matrix()
    if hung:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        node.SetMatrixTransformToParent(vtk_matrix(tilt))
        volume.SetAndObserveTransformNodeID(node.GetID())
    else:
        volume.SetIJKToRASMatrix(vtk_matrix(tilt @ matrix_of(volume)))
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    assert visible_slices(volume) == []
    for axis, index in ((0, 11), (1, 30), (2, 17)):
        jump_to(volume, axis, index)
    assert visible_slices(volume) == [(0, 11), (1, 30), (2, 17)]


def test_views_go_where_both_volumes_are(host):
    host.show_main_window()
    whole, organ = scan("whole"), scan("organ")
    show_blend(whole, organ, 50)
    middle = visible_slices(whole)
    assert len(middle) == 3
    narrow = np.diag((1 / 8, 1 / 8, 1 / 8, 1))
    narrow[:3, 3] = (20, -18, 25)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(vtk_matrix(narrow))
    organ.SetAndObserveTransformNodeID(node.GetID())
    show_blend(whole, organ, 50)
    assert not set(visible_slices(whole)) & set(middle)
    assert len(visible_slices(organ)) == 3  # inside of it
    assert all(abs(index - BALL.shape[axis] / 2) < 3 for axis, index in visible_slices(organ))


def test_slices_in_view_come_first_and_the_answer_has_the_last_word(host, painter):
    painter.paint_slices(12, 28)
    painter.click(painter.ui.updateButton)
    session, seen = painter.controls.session, []
    session._seconds = few_shot.SLOW + 1
    jump_to(painter.volume, 0, 19)
    glance = session._glance

    def look(part, drawn):
        glance(part, drawn)
        box = tuple(slice(*ends) for ends in part["box"])
        np.testing.assert_array_equal(painter.found()[box], part["labels"])
        seen.append(part["box"])

    session._glance = look
    painter.correct(20)
    painter.click(painter.ui.updateButton)
    assert [[19, 20], [0, 56], [0, 56]] in seen
    np.testing.assert_array_equal(painter.found(), session._answers.labels)
    assert painter.dice() > 0.9
    assert session.edits == 2
    painter.click(painter.ui.undoButton)
    np.testing.assert_array_equal(painter.found(), session._answers.labels)


@pytest.fixture
def asked(host, painter, monkeypatch):
    """A session that waits for the answer to its second update: it, and what the worker would call."""
    painter.paint_slices(12, 28)
    painter.click(painter.ui.updateButton)
    session, calls = painter.controls.session, []
    monkeypatch.setattr(session._worker, "ask", lambda method, *rest: calls.append(rest) or 1)
    painter.correct(20)
    session.update(lambda: None, lambda error: None, before_writing=lambda: calls.append("saved"))
    (_params, done, failed, _progress, part) = calls.pop(0)
    return session, done, failed, part, calls


def test_what_was_shown_is_taken_back_when_the_rest_never_comes(painter, asked):
    session, _done, failed, part, calls = asked
    before = painter.found()
    part(PART)
    assert (painter.found()[SLICE] == 2).all()
    assert calls == ["saved"]  # for the Segment Editor's undo
    stroke = np.zeros(BALL.shape, bool)
    stroke[16, :4, :4] = stroke[25, :4, :4] = True
    painter.paint(1, stroke, 0)
    painter.paint(0, stroke)
    failed(WorkerError({"kind": "died", "message": "gone"}))
    expected = np.where(stroke, 1, before)
    np.testing.assert_array_equal(painter.found(), expected)
    assert session.changed()


def test_the_answer_replaces_what_was_shown_also_outside_its_box_but_no_stroke(painter, asked):
    session, done, _failed, part, calls = asked
    answered = session._answers.labels.copy()
    part(PART)
    stroke = np.zeros(BALL.shape, bool)
    stroke[16, :4, :4] = True
    painter.paint(1, stroke, 0)
    painter.paint(0, stroke)
    answered[20] = painter.found()[20]
    answer = {
        "box": [[20, 21], [0, 56], [0, 56]],
        "labels": answered[20:21],
        "confidence": np.zeros((1, 56, 56), np.uint8),
        "next_slice": None,
        "complete_slices": [],
        "planes": [],
        "edits": 2,
        "near": False,
        "seconds": 0.1,
    }
    done(answer)
    np.testing.assert_array_equal(painter.found(), np.where(stroke, 1, answered))
    assert calls == ["saved"]
