"""The panel Segment, driven as a user would, with the real worker and the real library."""

import os
import signal
import time

import numpy as np
import pytest
import slicer
from scipy.spatial.transform import Rotation
from SynthFoundationModuleLib.geometry import matrix_of, vtk_matrix
from SynthFoundationModuleLib.segments import numbered, read

K, J, I_ = np.indices((40, 56, 56))
BALL = ((K - 20) / 12) ** 2 + ((J - 28) / 18) ** 2 + ((I_ - 28) / 16) ** 2 < 1
CORE = ((K - 20) / 6) ** 2 + ((J - 28) / 8) ** 2 + ((I_ - 28) / 7) ** 2 < 1
LABELS = BALL.astype(np.uint8) + CORE


def scan(name="scan", shift=(0, 0, 0)):
    noise = np.random.default_rng(0).normal(0, 12, BALL.shape)
    voxels = np.rint(np.roll(100.0 * BALL + 80 * CORE, shift, (0, 1, 2)) + noise).astype(np.int16)
    matrix = np.diag((1.0, 1.0, 2.0, 1.0))
    matrix[:3, 3] = (-28, -28, -40)
    return slicer.util.addVolumeFromArray(voxels, vtk_matrix(matrix), name)


class Painter:
    """A user who paints in two segments."""

    def __init__(self, host, module):
        self.host, self.module = host, module
        self.panel, self.controls = module.segment_panel, module.segment_panel.controls
        self.ui, self.parameters = self.controls.ui, self.panel.parameters
        self.node, self.volume = self.parameters.segmentation, self.parameters.volume
        content = self.node.GetSegmentation()
        self.ids = [content.GetNthSegmentID(0), content.AddEmptySegment("core", "Core")]

    def paint(self, segment, mask, value=1):
        array = slicer.util.arrayFromSegmentBinaryLabelmap(self.node, self.ids[segment], self.volume).copy()
        array[mask] = value
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, self.node, self.ids[segment], self.volume)

    def paint_slices(self, *slices):
        for index in slices:
            for segment, label in enumerate((1, 2)):
                mask = np.zeros(BALL.shape, bool)
                mask[index] = LABELS[index] == label
                self.paint(segment, mask)

    def correct(self, index):
        """Paint a slice as it truly is."""
        for segment, label in enumerate((1, 2)):
            mask = np.zeros(BALL.shape, bool)
            mask[index] = True
            self.paint(segment, mask, 0)
            mask[index] = LABELS[index] == label
            self.paint(segment, mask)

    def click(self, button):
        button.click()
        self.host.wait(lambda: not self.controls.busy, 120, "the answer")
        assert self.ui.segmentMessageLabel.text == ""

    def found(self):
        return read(self.node, self.volume, numbered(self.node))

    def dice(self, truth=LABELS):
        found = self.found()
        return min(
            2 * ((found == n) & (truth == n)).sum() / ((found == n).sum() + (truth == n).sum())
            for n in (1, 2)
        )


@pytest.fixture
def painter(host, light):
    scan()
    light.ui.tabs.setCurrentIndex(1)
    return Painter(host, light)


def test_paint_update_undo_correct_accept(host, painter):
    ui = painter.ui
    assert ui.updateButton.enabled
    assert not ui.undoButton.enabled
    assert not ui.acceptButton.enabled
    assert ui.acceptButton.toolTip == "Update first."
    painter.paint_slices(12, 20, 28)
    drawn = painter.found()
    painter.click(ui.updateButton)
    assert painter.dice() > 0.9
    first = painter.found()
    np.testing.assert_array_equal(first[drawn > 0], drawn[drawn > 0])  # what was drawn is kept

    assert "Next slice to correct" in ui.nextSliceButton.text
    axis, index = painter.controls.session.next_slice
    ui.nextSliceButton.click()
    red = slicer.util.getNodesByClass("vtkMRMLSliceNode")[0]
    assert red.GetSliceOffset() == pytest.approx(2 * index - 40 if axis == 0 else red.GetSliceOffset())

    ui.confidenceOverlayBox.checked = True
    doubt = slicer.util.arrayFromVolume(slicer.util.getNode("Doubt*"))
    assert doubt[12, 28, 28] == 0
    assert doubt.max() > 20
    ui.confidenceOverlayBox.checked = False
    assert not slicer.util.getNodes("Doubt*")

    wrong = np.zeros(BALL.shape, bool)
    wrong[16, 20:30, 20:30] = True
    painter.paint(1, wrong)
    start = time.monotonic()
    painter.click(ui.updateButton)
    assert time.monotonic() - start < 5
    assert (painter.found()[wrong] == 2).all()
    painter.click(ui.undoButton)
    np.testing.assert_array_equal(painter.found(), first)

    ui.acceptButton.click()
    assert not ui.segmentMessageLabel.text
    np.testing.assert_array_equal(painter.found(), first)
    assert not ui.undoButton.enabled
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    segment = painter.node.GetSegmentation().GetSegment("core")
    assert logic.GetSegmentStatus(segment) == logic.Completed
    role = painter.node.GetReferenceImageGeometryReferenceRole()
    assert painter.node.GetNodeReference(role) is painter.volume


def test_scribbles_inside_and_in_a_segment_named_background_are_enough(host, painter):
    painter.ids.append(painter.node.GetSegmentation().AddEmptySegment("around", "Background"))
    lines = np.zeros(BALL.shape, bool)
    lines[[11, 20, 29], 28, ::2] = lines[[11, 20, 29], ::2, 28] = True
    for segment, label in enumerate((1, 2, 0)):
        painter.paint(segment, lines & (label == LABELS))
    painter.click(painter.ui.updateButton)
    assert painter.dice() > 0.85
    around = slicer.util.arrayFromSegmentBinaryLabelmap(painter.node, "around", painter.volume)
    np.testing.assert_array_equal(around > 0, lines & (LABELS == 0))  # it gets no answers

    axis, index = painter.controls.session.next_slice
    more = np.zeros(BALL.shape, bool)
    np.moveaxis(more, axis, 0)[index, ::3, ::3] = True
    painter.paint(0, more & (LABELS == 1))
    painter.paint(2, more & (LABELS == 0))
    painter.click(painter.ui.updateButton)
    assert painter.dice() > 0.85  # no slice was taken as complete
    painter.click(painter.ui.undoButton)
    assert painter.dice() > 0.85
    around = slicer.util.arrayFromSegmentBinaryLabelmap(painter.node, "around", painter.volume)
    np.testing.assert_array_equal(around > 0, lines & (LABELS == 0))  # what was painted since is gone
    painter.click(painter.ui.undoButton)
    around = slicer.util.arrayFromSegmentBinaryLabelmap(painter.node, "around", painter.volume)
    np.testing.assert_array_equal(around > 0, lines & (LABELS == 0))  # as what was drawn inside
    painter.click(painter.ui.updateButton)
    assert painter.dice() > 0.85
    painter.ui.acceptButton.click()
    assert "still there" in painter.ui.segmentMessageLabel.text


def test_undoing_the_first_update_leaves_what_was_drawn(host, painter):
    painter.paint_slices(12, 20, 28)
    drawn = painter.found()
    painter.click(painter.ui.updateButton)
    painter.click(painter.ui.undoButton)
    np.testing.assert_array_equal(painter.found(), drawn)
    painter.click(painter.ui.updateButton)
    assert painter.dice() > 0.9


def test_each_stroke_is_answered_when_live(host, painter):
    painter.paint_slices(12, 20, 28)
    painter.ui.liveBox.checked = True
    painter.click(painter.ui.updateButton)
    edits = painter.controls.session.edits
    stroke = np.zeros(BALL.shape, bool)
    stroke[24, 26:30, 40:48] = True
    start = time.monotonic()
    painter.paint(0, stroke, 0)  # erased
    host.wait(lambda: painter.controls.session.edits > edits, 20, "the answer to the stroke")
    assert time.monotonic() - start < 5
    assert (painter.found()[stroke] == 0).all()
    end = time.monotonic() + 0.5
    host.wait(lambda: time.monotonic() > end)
    assert painter.controls.session.edits == edits + 1  # its own writing is no stroke


def test_strokes_painted_while_it_computes_are_kept(host, painter):
    painter.paint_slices(12, 20, 28)
    painter.ui.updateButton.click()
    assert painter.ui.updateButton.text == "Cancel"
    late = np.zeros(BALL.shape, bool)
    late[5, 2:6, 2:6] = True
    painter.paint(1, late)
    host.wait(lambda: not painter.controls.busy, 60, "the answer")
    assert (painter.found()[late] == 2).all()
    assert painter.controls.session.changed()


def test_the_editors_undo_starts_anew(host, painter):
    painter.paint_slices(12, 20, 28)
    painter.click(painter.ui.updateButton)
    for segment, label in enumerate((1, 2)):
        mask = np.zeros(BALL.shape, bool)
        mask[[12, 20, 28]] = LABELS[[12, 20, 28]] == label
        painter.paint(segment, np.ones(BALL.shape, bool), 0)
        painter.paint(segment, mask)
    painter.click(painter.ui.updateButton)
    assert painter.dice() > 0.9


def test_nothing_painted_is_told_in_plain_words(host, painter):
    painter.ui.updateButton.click()
    assert painter.ui.segmentMessageLabel.text == "Paint a structure on two or three slices first."


def test_a_killed_worker_costs_nothing_that_was_drawn(host, painter):
    painter.paint_slices(12, 20, 28)
    painter.click(painter.ui.updateButton)
    before = painter.found()
    os.kill(painter.controls._worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    host.wait(lambda: not painter.controls._worker.generation, 5, "the death")
    np.testing.assert_array_equal(painter.found(), before)
    painter.correct(16)
    corrected = painter.found() != before
    assert corrected.any()
    painter.click(painter.ui.updateButton)
    np.testing.assert_array_equal(painter.found()[corrected], LABELS[corrected])
    assert painter.dice() > 0.9


@pytest.fixture
def folder(painter, tmp_path):
    """Three files that wait to be segmented; the second one is no scan."""
    painter.paint_slices(12, 28)
    painter.click(painter.ui.updateButton)
    for name in ("a", "c"):
        small = np.rint(100.0 * BALL[::2, ::4, ::4] + 80 * CORE[::2, ::4, ::4]).astype(np.int16)
        node = slicer.util.addVolumeFromArray(small, vtk_matrix(np.diag((4.0, 4.0, 4.0, 1.0))), name)
        slicer.util.saveNode(node, str(tmp_path / f"{name}.nrrd"))
        slicer.mrmlScene.RemoveNode(node)
    (tmp_path / "b.nrrd").write_text("garbage")
    painter.panel.ui.folderPath.currentPath = str(tmp_path)
    assert painter.panel.ui.folderButton.enabled
    return tmp_path


def volumes():
    return [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]


def test_a_file_that_is_no_scan_does_not_end_the_folder(host, painter, folder):
    before = volumes()
    painter.panel.ui.folderButton.click()
    host.wait(lambda: painter.panel._folder is None, 120, "the folder")
    assert painter.ui.segmentMessageLabel.text == (
        "Saved 2 segmentations in the folder. Not segmented: b.nrrd."
    )
    assert {path.name for path in folder.glob("*.seg.nrrd")} == {"a.seg.nrrd", "c.seg.nrrd"}
    assert volumes() == before


def test_a_stopped_folder_leaves_nothing_behind(host, painter, folder):
    before = volumes()
    painter.panel.ui.folderButton.click()
    host.wait(lambda: painter.controls.busy, 10, "the first scan")
    assert painter.panel.ui.folderButton.text == "Cancel"
    painter.panel.ui.folderButton.click()
    host.wait(lambda: painter.panel._folder is None, 10, "the stop")
    assert painter.ui.segmentMessageLabel.text == "Stopped. Saved 0 segmentations in the folder."
    assert volumes() == before
    assert not painter.ui.segmentProgressBar.isVisibleTo(painter.panel.widget)


def test_a_worker_that_dies_ends_the_folder(host, painter, folder):
    before = volumes()
    painter.panel.ui.folderButton.click()
    host.wait(lambda: painter.controls.busy, 10, "the first scan")
    os.kill(painter.controls._worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    host.wait(lambda: painter.panel._folder is None, 10, "the end")
    assert "Saved 0 segmentations in the folder." in painter.ui.segmentMessageLabel.text
    assert "Not segmented" not in painter.ui.segmentMessageLabel.text
    assert volumes() == before
    assert not painter.panel.ui.folderButton.enabled


def test_a_scan_deleted_while_it_is_segmented_is_told(host, painter):
    painter.paint_slices(12, 28)
    painter.click(painter.ui.updateButton)
    painter.parameters.target = scan("other")
    painter.panel.ui.transferButton.click()
    slicer.mrmlScene.RemoveNode(painter.parameters.target)
    host.wait(lambda: not painter.controls.busy, 60, "the end")
    assert painter.ui.segmentMessageLabel.text == "other was deleted meanwhile; nothing was changed."
    assert painter.ui.updateButton.text == "Update"
    assert not painter.ui.segmentProgressBar.isVisibleTo(painter.panel.widget)


@pytest.mark.slow
def test_the_labels_are_carried_to_another_scan_and_to_a_folder(host, painter, tmp_path):
    painter.paint_slices(12, 20, 28)
    painter.click(painter.ui.updateButton)
    other = scan("other", (2, 4, -3))
    moved = np.roll(LABELS, (2, 4, -3), (0, 1, 2))
    painter.parameters.target = other
    assert painter.panel.ui.transferButton.enabled
    painter.click(painter.panel.ui.transferButton)
    made = slicer.util.getNode("*in other")
    found = read(made, other, numbered(made))
    for n in (1, 2):
        assert 2 * ((found == n) & (moved == n)).sum() / ((found == n).sum() + (moved == n).sum()) > 0.85
    assert made.GetSegmentation().GetSegment("core").GetName() == "Core"

    slicer.util.saveNode(other, str(tmp_path / "patient one.nii.gz"))
    slicer.util.saveNode(scan("third", (-2, 3, 0)), str(tmp_path / "second.nrrd"))
    count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    painter.panel.ui.folderPath.currentPath = str(tmp_path)
    painter.panel.ui.folderButton.click()
    host.wait(lambda: painter.panel._folder is None, 120, "the folder")
    assert painter.ui.segmentMessageLabel.text == "Saved 2 segmentations in the folder."
    names = {path.name for path in tmp_path.iterdir()}
    assert {"patient one.seg.nrrd", "second.seg.nrrd"} <= names
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == count


@pytest.mark.slow
def test_a_saved_scene_is_gone_on_with(host, painter, tmp_path):
    painter.paint_slices(12, 20, 28)
    painter.click(painter.ui.updateButton)
    before = painter.found()
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    assert not painter.ui.updateButton.enabled
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    again = painter.panel.parameters
    node, volume = again.segmentation, again.volume
    np.testing.assert_array_equal(read(node, volume, numbered(node)), before)
    painter.node, painter.volume = node, volume
    painter.correct(16)
    corrected = painter.found() != before
    assert corrected.any()
    painter.click(painter.ui.updateButton)
    np.testing.assert_array_equal(painter.found()[corrected], LABELS[corrected])
    assert painter.dice() > 0.9


def test_deleting_what_is_segmented_stops_the_run(host, painter):
    painter.paint_slices(12, 20, 28)
    painter.ui.updateButton.click()
    slicer.mrmlScene.RemoveNode(painter.node)
    host.wait(lambda: not painter.controls.busy, 5, "the stop")
    assert not painter.ui.updateButton.enabled


def test_planes_along_the_patient_are_enough_in_a_scan_that_lies_obliquely(host, painter):
    """Slice views follow the patient, not the scan, unless they are told to."""
    tilt = np.eye(4)
    tilt[:3, :3] = Rotation.from_euler("xyz", (15, -8, 5), degrees=True).as_matrix()
    matrix = tilt @ matrix_of(painter.volume)
    painter.volume.SetIJKToRASMatrix(vtk_matrix(matrix))
    superior = matrix[2, 0] * I_ + matrix[2, 1] * J + matrix[2, 2] * K
    middle = superior[BALL].mean()
    planes = np.any([np.abs(superior - middle - mm) < 1 for mm in (-14, 0, 14)], 0)
    for segment, label in enumerate((1, 2)):
        painter.paint(segment, planes & (label == LABELS))
    painter.click(painter.ui.updateButton)
    assert painter.dice() > 0.85
    wrong = BALL & ~planes & (painter.found() != LABELS)
    for segment, label in enumerate((1, 2)):
        painter.paint(segment, wrong & (K == 17) & (label == LABELS))
    painter.click(painter.ui.updateButton)
    assert painter.dice() > 0.85  # the planes are still known
