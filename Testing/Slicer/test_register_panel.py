"""The panel Register, driven as a user would, with the real worker and the real library."""

import os
import signal
import time

import numpy as np
import pytest
import slicer
from SynthFoundationModuleLib.geometry import flipped, vtk_matrix


@pytest.fixture
def panel(pair, light):
    return light.register_panel


def registered(host, panel):
    panel.ui.registerButton.click()
    host.wait(lambda: not panel.busy, 120, "the registration")
    assert panel.ui.messageLabel.text == ""
    return panel.result


def error_mm(forward, truth):
    transform = forward.GetTransformFromParent()
    found = flipped([transform.TransformPoint(point) for point in flipped(truth[0])])
    return float(np.linalg.norm(found - truth[1], axis=1).mean())


def test_one_click_aligns_the_pair_and_corrections_update_it(host, panel, pair, truth):
    fixed, moving = pair
    ui, chosen = panel.ui, panel.parameters
    assert chosen.fixed is fixed
    assert chosen.moving is moving
    stages = []
    show = panel._show_progress
    panel._show_progress = lambda *progress: (stages.append(progress), show(*progress))
    result = registered(host, panel)
    assert error_mm(result.forward, truth) < 2.0
    assert any(picture for _stage, _fraction, picture in stages)
    assert [fraction for _s, fraction, _p in stages] == sorted(fraction for _s, fraction, _p in stages)
    assert moving.GetParentTransformNode() is result.forward
    assert "<b>" in ui.verdictLabel.text
    assert "Resemblance" in ui.verdictLabel.text
    composite = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[0]
    assert composite.GetBackgroundVolumeID() == fixed.GetID()
    assert composite.GetForegroundVolumeID() == moving.GetID()
    assert composite.GetForegroundOpacity() == pytest.approx(0.5)
    assert not ui.compareSection.collapsed

    ui.blendSlider.value = 20
    assert composite.GetForegroundOpacity() == pytest.approx(0.2)
    ui.checkerboardBox.checked = True
    host.wait(lambda: composite.GetBackgroundVolumeID() != fixed.GetID(), 5, "the checkerboard")
    ui.checkerboardBox.checked = False
    host.wait(lambda: composite.GetBackgroundVolumeID() == fixed.GetID(), 5, "the blend")
    assert not slicer.util.getNodes("Checkerboard*")

    start = time.monotonic()
    ui.stiffnessSlider.value = 2
    host.wait(lambda: panel.busy, 5, "the update for the stiffness")
    assert panel._session.can_update(panel.inputs())
    host.wait(lambda: not panel.busy, 60, "the update")
    assert time.monotonic() - start < 30
    assert panel.result.forward is result.forward
    assert error_mm(panel.result.forward, truth) < 3.0


def test_each_moving_volume_keeps_its_own_result(host, panel, pair, truth):
    ui, chosen = panel.ui, panel.parameters
    first = registered(host, panel)
    told, placed = ui.verdictLabel.text, pair[1].GetParentTransformNode()
    other = slicer.modules.volumes.logic().CloneVolume(pair[1], "T2 again")
    other.SetAndObserveTransformNodeID(None)
    ui.checkerboardBox.checked = True
    host.wait(lambda: panel._board.shown, 5, "the checkerboard")
    chosen.moving = other
    assert not panel._board.shown
    assert ui.verdictLabel.text == ""
    assert not ui.restoreButton.enabled
    second = registered(host, panel)
    assert second.forward is not first.forward
    assert other.GetParentTransformNode() is second.forward
    assert pair[1].GetParentTransformNode() is placed
    assert error_mm(first.forward, truth) < 2.0
    chosen.moving = pair[1]
    assert ui.verdictLabel.text == told
    assert chosen.forward is first.forward
    ui.restoreButton.click()
    assert pair[1].GetParentTransformNode() is None
    assert other.GetParentTransformNode() is second.forward


def test_a_result_that_comes_while_another_pair_is_chosen_goes_to_its_own(host, panel, pair):
    other = slicer.util.addVolumeFromArray(np.zeros((4, 4, 4), np.int16), name="other")
    panel.ui.registerButton.click()
    panel.parameters.moving = other
    host.wait(lambda: not panel.busy, 120, "the registration")
    assert other.GetParentTransformNode() is None
    assert pair[1].GetParentTransformNode() is not None
    assert panel.ui.verdictLabel.text == ""
    assert panel.result is None
    panel.parameters.moving = pair[1]
    assert "<b>" in panel.ui.verdictLabel.text


def test_landmarks_are_asked_for_one_after_the_other_and_pull_the_result(host, panel, pair, truth):
    ui, chosen = panel.ui, panel.parameters
    registered(host, panel)
    ui.landmarkButton.click()
    assert "fixed" in ui.landmarkLabel.text
    composite = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[0]
    assert composite.GetForegroundOpacity() == 0
    place, target = (points[100] for points in truth)
    wrong = np.add(target, (6, 0, 0))  # a landmark in the wrong place must pull the result there
    chosen.fixedLandmarks.AddControlPointWorld(*flipped(place)[0])
    assert "moving" in ui.landmarkLabel.text
    assert composite.GetForegroundOpacity() == 1
    moving_list = chosen.movingLandmarks
    assert moving_list.GetParentTransformNode() is panel.result.forward
    displayed = panel.result.forward.GetTransformToParent().TransformPoint(flipped(wrong)[0])
    moving_list.AddControlPointWorld(*displayed)
    assert ui.landmarkLabel.text == ""
    host.wait(lambda: panel.busy, 5, "the update for the landmarks")
    host.wait(lambda: not panel.busy, 60, "the update")
    assert panel.ui.messageLabel.text == ""
    assert "Landmarks" in ui.verdictLabel.text
    found = flipped(panel.result.forward.GetTransformFromParent().TransformPoint(flipped(place)[0]))[0]
    assert np.linalg.norm(found - wrong) < 3.0
    np.testing.assert_allclose(flipped(moving_list.GetNthControlPointPosition(0))[0], wrong, atol=0.01)
    moving_list.SetNthControlPointPosition(0, *flipped(target)[0])  # dragged back
    host.wait(lambda: panel.busy, 5, "the update for the drag")
    host.wait(lambda: not panel.busy, 60, "the update")
    found = flipped(panel.result.forward.GetTransformFromParent().TransformPoint(flipped(place)[0]))[0]
    assert np.linalg.norm(found - target) < 2.0


@pytest.mark.slow
def test_landmarks_added_while_it_runs_are_taken_up_afterwards(host, panel, pair, truth):
    ui, chosen = panel.ui, panel.parameters
    ui.registerButton.click()
    host.wait(lambda: ui.progressBar.value > 5, 60, "progress")
    ui.landmarkButton.click()
    chosen.fixedLandmarks.AddControlPointWorld(*flipped(truth[0][100])[0])
    chosen.movingLandmarks.AddControlPointWorld(*flipped(truth[1][100])[0])
    host.wait(lambda: "Landmarks" in ui.verdictLabel.text, 120, "the update for the landmarks")
    host.wait(lambda: not panel.busy, 60, "the end")


def test_cancelling_leaves_the_scene_untouched(host, panel, pair):
    ui = panel.ui
    ui.registerButton.click()
    assert ui.registerButton.text == "Cancel"
    host.wait(lambda: ui.progressBar.value > 10, 60, "progress")
    start = time.monotonic()
    ui.registerButton.click()
    host.wait(lambda: not panel.busy, 5, "the cancellation")
    assert time.monotonic() - start < 1.5
    assert ui.registerButton.text == "Register"
    assert "Cancelled" in ui.messageLabel.text
    assert pair[1].GetParentTransformNode() is None
    assert not slicer.util.getNodes("T? to T?")


def test_cancelling_a_second_run_leaves_the_result_of_the_first(host, panel):
    ui = panel.ui
    first = registered(host, panel)
    told = ui.verdictLabel.text
    ui.registerButton.click()
    ui.registerButton.click()
    host.wait(lambda: not panel.busy, 5, "the cancellation")
    assert ui.verdictLabel.text == told
    assert panel.result is first


def test_what_holds_no_image_is_told_and_is_no_mask(host, panel, pair):
    ui, chosen = panel.ui, panel.parameters
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "nothing")
    chosen.autoUpdate = False
    registered(host, panel)
    chosen.fixedMask = empty
    assert not host.errors
    chosen.fixedMask = None
    chosen.fixed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    ui.fixedBoxButton.click()
    assert "empty" in ui.messageLabel.text
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")
    assert not host.errors


def test_a_checkerboard_goes_with_its_panel(host, panel):
    registered(host, panel)
    panel.ui.checkerboardBox.checked = True
    host.wait(lambda: panel._board.shown, 5, "the checkerboard")
    panel.release()  # as before a reload
    assert not slicer.util.getNodes("Checkerboard*")


def test_a_killed_worker_is_told_and_the_next_click_starts_a_new_one(host, panel, pair, truth):
    ui = panel.ui
    ui.registerButton.click()
    host.wait(lambda: ui.progressBar.value > 10, 60, "progress")
    os.kill(panel._worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    host.wait(lambda: not panel.busy, 5, "the news of the death")
    assert "scene is untouched" in ui.messageLabel.text
    assert pair[1].GetParentTransformNode() is None
    assert error_mm(registered(host, panel).forward, truth) < 2.0


@pytest.mark.slow
def test_a_deleted_volume_stops_the_run(host, panel, pair):
    panel.ui.registerButton.click()
    host.wait(lambda: panel.ui.progressBar.value > 10, 60, "progress")
    slicer.mrmlScene.RemoveNode(pair[1])
    host.wait(lambda: not panel.busy, 5, "the stop")
    assert not panel.ui.registerButton.enabled
    assert "Choose" in panel.ui.registerButton.toolTip or "two" in panel.ui.registerButton.toolTip


@pytest.mark.slow
def test_closing_the_scene_stops_the_run_and_the_panel_goes_on(host, panel, pair):
    panel.ui.registerButton.click()
    host.wait(lambda: panel.ui.progressBar.value > 10, 60, "progress")
    slicer.mrmlScene.Clear(0)
    assert not panel.busy
    end = time.monotonic() + 1.5
    host.wait(lambda: time.monotonic() > end)
    assert panel.ui.messageLabel.text == ""
    assert not panel.ui.progressBar.isVisibleTo(panel.widget)
    assert panel.parameters.fixed is None
    assert not panel.ui.registerButton.enabled


@pytest.mark.slow
def test_a_result_goes_back_and_a_second_run_starts_from_the_original_place(host, panel, pair, truth):
    parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shift = np.eye(4)
    shift[:3, 3] = (15, -10, 5)
    parent.SetMatrixTransformToParent(vtk_matrix(shift))
    pair[1].SetAndObserveTransformNodeID(parent.GetID())
    panel.parameters.initialTransform = None  # the start has to be found: the parent puts it out of reach
    first = registered(host, panel)
    assert error_mm(first.forward, truth) < 2.0  # the parent is part of the result
    before = flipped(first.forward.GetTransformFromParent().TransformPoint((5, 5, 5)))
    second = registered(host, panel)
    assert second.forward is first.forward
    after = flipped(second.forward.GetTransformFromParent().TransformPoint((5, 5, 5)))
    np.testing.assert_allclose(after, before, atol=1e-3)
    panel.ui.restoreButton.click()
    assert pair[1].GetParentTransformNode() is parent
    assert not slicer.util.getNodes("T? to T?")
    assert not panel.ui.restoreButton.enabled


@pytest.mark.slow
def test_outputs_are_made_from_the_result(host, panel, pair, truth):
    ui, chosen = panel.ui, panel.parameters
    registered(host, panel)
    os.kill(panel._worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # the next one makes them anew
    host.wait(lambda: not panel._worker.generation, 5, "the death")
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "spots")
    points.AddControlPointWorld(*flipped(truth[1][50])[0])
    bright = (slicer.util.arrayFromVolume(pair[1]) > 400).astype(np.uint8)
    labels = slicer.util.addVolumeFromArray(bright, name="bright", nodeClassName="vtkMRMLLabelMapVolumeNode")
    labels.CopyOrientation(pair[1])
    chosen.pointsToCarry, chosen.labelsToCarry = points, labels
    chosen.makeMoved = chosen.makeJacobian = chosen.makeConfidence = True
    assert ui.outputsButton.enabled
    ui.outputsButton.click()
    host.wait(lambda: slicer.util.getNodes("bright in*"), 60, "the labels")
    moved = slicer.util.getNode("T2 moved")
    carried = slicer.util.getNode("spots in T1")
    found = flipped(carried.GetNthControlPointPositionWorld(0))[0]
    assert np.linalg.norm(found - truth[0][50]) < 3.0
    jacobian = slicer.util.arrayFromVolume(slicer.util.getNode("Volume change*"))
    assert 0.3 < np.median(jacobian) < 3
    confidence = slicer.util.arrayFromVolume(slicer.util.getNode("Confidence*"))
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    segmentation = slicer.util.getNode("bright in T1")
    segment = segmentation.GetSegmentation().GetNthSegmentID(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, pair[0]) != 0
    moved_bright = slicer.util.arrayFromVolume(moved) > 400
    assert 2 * (mask & moved_bright).sum() / (mask.sum() + moved_bright.sum()) > 0.8
    made = "T2 moved, spots in T1, Volume change, T2 to T1, Confidence, T2 to T1, bright in T1"
    assert panel.ui.messageLabel.text == f"Made: {made}."


def inside(host, panel, role):
    """Make a box in a volume and wait for the update; the box."""
    button = {"fixed": panel.ui.fixedBoxButton, "moving": panel.ui.movingBoxButton}[role]
    button.click()
    host.wait(lambda: panel.busy, 5, "the update for the box")
    host.wait(lambda: not panel.busy, 60, "the update")
    assert panel.ui.messageLabel.text == ""
    return panel.parameters.getValue(f"{role}Mask")


@pytest.mark.slow
def test_boxes_say_where_to_look_and_go_along_with_their_volume(host, panel, pair, truth):
    registered(host, panel)
    requests, ask = [], panel._worker.ask
    panel._worker.ask = lambda method, params, *rest: (requests.append(params), ask(method, params, *rest))[1]
    try:
        boxes = [inside(host, panel, role) for role in ("fixed", "moving")]
        for box, volume, role in zip(boxes, pair, ("fixed", "moving"), strict=True):
            mask = requests[-1][f"{role}_mask"]
            assert mask.shape == slicer.util.arrayFromVolume(volume).shape
            assert mask.mean() == pytest.approx(0.6**3, abs=0.03)
            assert box.GetParentTransformNode() is volume.GetParentTransformNode()
        count = len(requests)
        end = time.monotonic() + 1
        host.wait(lambda: time.monotonic() > end)
        assert len(requests) == count  # what goes along with the volume is no new choice
        boxes[1].SetSize(30, 30, 30)
        host.wait(lambda: len(requests) > count, 5, "the update for the smaller box")
        host.wait(lambda: not panel.busy, 60, "the update")
        # 30 mm in voxels of 2 mm: 15 along each side, 16 where both ends meet voxel centres
        assert 15**3 <= int(requests[-1]["moving_mask"].sum()) <= 16**3
    finally:
        panel._worker.ask = ask
    assert error_mm(panel.result.forward, truth) < 4.0
    panel.ui.restoreButton.click()
    assert boxes[1].GetParentTransformNode() is None


@pytest.mark.slow
def test_points_placed_over_the_moved_volume_mean_its_places_there(host, panel, pair, truth):
    result = registered(host, panel)
    place, target = (points[100] for points in truth)
    lists = [
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name) for name in ("fixed", "moving")
    ]
    shown = result.forward.GetTransformToParent().TransformPoint(flipped(target)[0])
    lists[0].AddControlPointWorld(*flipped(place)[0])
    lists[1].AddControlPointWorld(*shown)
    panel.parameters.fixedLandmarks, panel.parameters.movingLandmarks = lists
    host.wait(lambda: panel.busy, 5, "the update for the points")
    host.wait(lambda: not panel.busy, 60, "the update")
    assert lists[1].GetParentTransformNode() is panel.result.forward
    np.testing.assert_allclose(flipped(lists[1].GetNthControlPointPosition(0))[0], target, atol=0.01)
    shown = lists[1].GetNthControlPointPositionWorld(0)
    assert np.linalg.norm(np.subtract(shown, flipped(place)[0])) < 1.5


def test_buttons_say_why_they_are_disabled(host, module):
    ui = module.register_panel.ui
    assert not ui.registerButton.enabled
    assert ui.registerButton.toolTip == "Choose a fixed and a moving volume."
    assert not ui.restoreButton.enabled
    assert ui.restoreButton.toolTip == "There is no result yet."


def test_volumes_loaded_while_the_module_is_open_are_chosen(host, module, pair):
    chosen = module.register_panel.parameters
    host.wait(lambda: chosen.moving, 5, "the choice")
    assert [chosen.fixed, chosen.moving] == pair
    assert module.register_panel.ui.registerButton.enabled


@pytest.mark.slow
def test_leaving_the_module_does_not_lose_the_result(host, panel, pair, module, truth):
    panel.ui.registerButton.click()
    host.wait(lambda: panel.ui.progressBar.value > 5, 60, "progress")
    module.exit()
    host.wait(lambda: not panel.busy, 60, "the registration")
    assert error_mm(pair[1].GetParentTransformNode(), truth) < 2.0
    module.enter()
    assert "<b>" in panel.ui.verdictLabel.text
