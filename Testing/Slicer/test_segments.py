"""Segments are read and written on the voxels of a volume, and only where something changes."""

import numpy as np
import pytest
import slicer
import vtk
from SynthFoundationModuleLib.errors import UserError
from SynthFoundationModuleLib.geometry import matrix_of, vtk_matrix
from SynthFoundationModuleLib.segments import (
    LABEL,
    background,
    new_segmentation,
    numbered,
    prepare,
    read,
    set_status,
    stamp,
    structures,
    write,
)
from SynthFoundationModuleLib.transforms import place_result

SHAPE = (10, 14, 18)
WHOLE = tuple(slice(0, n) for n in SHAPE)


@pytest.fixture
def volume(host):
    matrix = np.diag((-0.7, 0.9, 4.0, 1.0))
    matrix[:3, 3] = (30, -20, 10)
    return slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16), vtk_matrix(matrix), "scan")


@pytest.fixture
def segmentation(volume):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    for name in ("liver", "spleen", "kidney"):
        node.GetSegmentation().AddEmptySegment(name, name.capitalize())
    prepare(node, volume)
    return node


def labels(seed=0):
    return np.random.default_rng(seed).integers(0, 4, SHAPE).astype(np.uint8)


def segment_array(segmentation, volume, name):
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name, volume)


def test_what_is_written_is_what_slicer_reads(segmentation, volume):
    drawn = labels()
    write(segmentation, volume, numbered(segmentation), drawn, WHOLE)
    for number, name in enumerate(("liver", "spleen", "kidney"), 1):
        np.testing.assert_array_equal(segment_array(segmentation, volume, name) != 0, drawn == number)
    np.testing.assert_array_equal(read(segmentation, volume, numbered(segmentation)), drawn)


@pytest.mark.parametrize("shared", [True, False])
def test_a_box_is_written_and_everything_else_stays(segmentation, volume, shared):
    numbers, before, after = numbered(segmentation), labels(), labels(1)
    write(segmentation, volume, numbers, before, WHOLE)
    if shared:
        segmentation.GetSegmentation().CollapseBinaryLabelmaps()
        assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    box = (slice(2, 7), slice(0, 9), slice(5, 18))
    write(segmentation, volume, numbers, after[box], box)
    expected = before.copy()
    expected[box] = after[box]
    np.testing.assert_array_equal(read(segmentation, volume, numbers), expected)


def mask_of(segmentation, volume, name):
    return segment_array(segmentation, volume, name) != 0


@pytest.mark.parametrize("same_voxels", [True, False])
def test_segments_that_lie_over_each_other_go_on_doing_so(segmentation, volume, same_voxels):
    liver, spleen = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    liver[4:6, 2:12, 2:12], spleen[4:6, 4:8, 4:8] = True, True
    step, on = 1, volume
    if not same_voxels:  # drawn on voxels twice as large
        step, matrix = 2, matrix_of(volume) @ np.diag((2.0, 2.0, 2.0, 1.0))
        matrix[:3, 3] += (matrix_of(volume) @ (0.5, 0.5, 0.5, 0.0))[:3]
        on = slicer.util.addVolumeFromArray(np.zeros((5, 7, 9), np.uint8), vtk_matrix(matrix), "coarse")
    for name, mask in (("liver", liver), ("spleen", spleen)):
        drawn = mask[::step, ::step, ::step].astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, segmentation, name, on)
    numbers = numbered(segmentation)
    answer = read(segmentation, volume, numbers)
    answer[6, 2:12, 2:12], answer[4, 2, 2] = 1, 3  # more of the one, and another one in its place
    write(segmentation, volume, numbers, answer, WHOLE)
    np.testing.assert_array_equal(read(segmentation, volume, numbers), answer)
    found = mask_of(segmentation, volume, "liver")
    assert found[spleen].all()
    assert found[4].sum() == liver[4].sum() - 1
    np.testing.assert_array_equal(mask_of(segmentation, volume, "spleen"), spleen)
    answer[spleen] = 1  # undone
    write(segmentation, volume, numbers, answer, WHOLE)
    assert not mask_of(segmentation, volume, "spleen").any()


def test_label_maps_cropped_to_their_segment_grow_to_hold_the_box(segmentation, volume):
    small = np.zeros(SHAPE, np.uint8)
    small[4, 5, 6] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(small, segmentation, "liver", volume)
    numbers, drawn = numbered(segmentation), labels()
    box = (slice(0, 3), slice(2, 6), slice(7, 18))
    write(segmentation, volume, numbers, drawn[box], box)
    small[box] = drawn[box]
    np.testing.assert_array_equal(read(segmentation, volume, numbers), small)


def test_large_numbers_are_written_like_small_ones(volume):
    table = slicer.util.addVolumeFromArray(
        np.zeros(SHAPE, np.int16), nodeClassName="vtkMRMLLabelMapVolumeNode"
    )
    drawn = labels().astype(np.int32)
    drawn[drawn == 1] = 1000
    node = new_segmentation(drawn, volume, "carried", table)
    ids = list(node.GetSegmentation().GetSegmentIDs())
    for name, value in zip(ids, (2, 3, 1000), strict=True):
        np.testing.assert_array_equal(mask_of(node, volume, name), drawn == value)


def test_segments_left_out_are_not_erased(segmentation, volume):
    numbers = numbered(segmentation)
    write(segmentation, volume, numbers, labels(), WHOLE)
    segmentation.GetSegmentation().CollapseBinaryLabelmaps()
    kidney = segment_array(segmentation, volume, "kidney").copy()
    del numbers[3]
    write(segmentation, volume, numbers, np.zeros(SHAPE, np.uint8), WHOLE)
    np.testing.assert_array_equal(segment_array(segmentation, volume, "kidney"), kidney)
    assert not segment_array(segmentation, volume, "liver").any()


def test_segments_with_other_voxels_are_brought_to_those_of_the_volume(volume, host):
    coarse = slicer.util.addVolumeFromArray(
        np.zeros((5, 7, 9), np.uint8), vtk_matrix(matrix_of(volume) @ np.diag((2.0, 2.0, 2.0, 1.0))), "coarse"
    )
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(coarse)
    node.GetSegmentation().AddEmptySegment("a")
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ones((5, 7, 9), np.uint8), node, "a", coarse)
    prepare(node, volume)
    box = (slice(0, 4), slice(0, 4), slice(0, 4))
    write(node, volume, numbered(node), np.zeros((4, 4, 4), np.uint8), box)
    found = read(node, volume, numbered(node))
    assert not found[box].any()
    assert found[5:8, 5:12, 5:16].all()


def test_numbers_stay_with_their_segments(segmentation):
    assert numbered(segmentation) == {1: "liver", 2: "spleen", 3: "kidney"}
    content = segmentation.GetSegmentation()
    content.RemoveSegment("spleen")
    content.AddEmptySegment("lung")
    assert numbered(segmentation) == {1: "liver", 2: "lung", 3: "kidney"}


@pytest.mark.parametrize("name", ["Background", " BACKGROUND"])
def test_what_is_drawn_around_structures_is_no_structure(segmentation, volume, name):
    segmentation.GetSegmentation().GetSegment("spleen").SetName(name)
    write(segmentation, volume, numbered(segmentation), labels(), WHOLE)
    assert structures(segmentation) == {1: "liver", 3: "kidney"}
    np.testing.assert_array_equal(background(segmentation, volume), labels() == 2)
    drawn = read(segmentation, volume, structures(segmentation))
    np.testing.assert_array_equal(drawn, np.where(labels() == 2, 0, labels()))


def test_answers_do_not_touch_what_is_drawn_around_structures(segmentation, volume):
    segmentation.GetSegmentation().GetSegment("spleen").SetName("Background")
    write(segmentation, volume, numbered(segmentation), labels(), WHOLE)
    answer = np.where(labels() == 2, 0, labels(1) % 2 * 3).astype(np.uint8)
    write(segmentation, volume, structures(segmentation), answer, WHOLE)
    np.testing.assert_array_equal(background(segmentation, volume), labels() == 2)
    np.testing.assert_array_equal(read(segmentation, volume, structures(segmentation)), answer)


def test_without_such_a_segment_nothing_is_background(segmentation, volume):
    write(segmentation, volume, numbered(segmentation), labels(), WHOLE)
    assert structures(segmentation) == numbered(segmentation)
    assert not background(segmentation, volume).any()


def test_a_result_elsewhere_has_no_empty_segment_for_what_was_drawn_around(segmentation, volume):
    segmentation.GetSegmentation().GetSegment("spleen").SetName("Background")
    found = np.where(labels() == 2, 0, labels()).astype(np.uint8)
    assert list(numbered(new_segmentation(found, volume, "made", segmentation))) == [1, 3]
    assert list(numbered(new_segmentation(labels(), volume, "carried", segmentation))) == [1, 2, 3]


def test_surfaces_are_brought_up_to_date(segmentation, volume):
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[3:7, 4:9, 5:12] = 1
    write(segmentation, volume, numbered(segmentation), drawn, WHOLE)
    segmentation.CreateClosedSurfaceRepresentation()
    before = segmentation.GetClosedSurfaceInternalRepresentation("liver").GetBounds()
    drawn[7:9] = 1
    write(segmentation, volume, numbered(segmentation), drawn, WHOLE)
    after = segmentation.GetClosedSurfaceInternalRepresentation("liver").GetBounds()
    assert after[5] - after[4] > before[5] - before[4] + 4


def test_the_stamp_changes_with_voxels_only(segmentation, volume):
    first = stamp(segmentation)
    segmentation.GetSegmentation().GetSegment("liver").SetName("Hepar")
    assert stamp(segmentation) == first
    write(segmentation, volume, numbered(segmentation), labels(), WHOLE)
    assert stamp(segmentation) != first


def test_dicom_export_finds_geometry_and_source(segmentation, volume):
    role = segmentation.GetReferenceImageGeometryReferenceRole()
    assert segmentation.GetNodeReference(role) is volume
    converter = segmentation.GetSegmentation().GetConversionParameter("Reference image geometry")
    assert "13;" in converter


def test_a_segmentation_elsewhere_is_refused_in_plain_words(segmentation, volume):
    write(segmentation, volume, numbered(segmentation), labels(), WHOLE)
    parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(parent.GetID())
    with pytest.raises(UserError, match="organs and scan are under different transforms"):
        prepare(segmentation, volume)


def test_a_new_segmentation_has_names_colours_and_terms_of_the_old_one(segmentation, volume):
    term = "Segmentation category and type~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~x~^^~^^"
    segment = segmentation.GetSegmentation().GetSegment("liver")
    segment.SetTag(segment.GetTerminologyEntryTagName(), term)
    segment.SetColor(0.2, 0.4, 0.6)
    copy = new_segmentation(labels(), volume, "copy", segmentation)
    copied = copy.GetSegmentation().GetSegment("liver")
    assert copied.GetName() == "Liver"
    np.testing.assert_allclose(copied.GetColor(), (0.2, 0.4, 0.6))
    text = vtk.reference("")
    assert copied.GetTag(copied.GetTerminologyEntryTagName(), text)
    assert str(text) == term
    assert copied.GetTag(LABEL, text)
    np.testing.assert_array_equal(read(copy, volume, numbered(copy)), labels())


def test_a_label_map_becomes_segments_named_after_its_values(volume):
    source = slicer.util.addVolumeFromArray(
        labels(), vtk_matrix(matrix_of(volume)), "labels", "vtkMRMLLabelMapVolumeNode"
    )
    made = new_segmentation(labels(), volume, "made", source)
    assert made.GetSegmentation().GetNumberOfSegments() == 3
    np.testing.assert_array_equal(read(made, volume, numbered(made)), labels())


def test_segments_are_marked_as_in_progress_and_completed(segmentation):
    logic, content = slicer.vtkSlicerSegmentationsModuleLogic, segmentation.GetSegmentation()
    set_status(segmentation, numbered(segmentation), done=False)
    assert logic.GetSegmentStatus(content.GetSegment("liver")) == logic.InProgress
    set_status(segmentation, numbered(segmentation), done=True)
    assert logic.GetSegmentStatus(content.GetSegment("kidney")) == logic.Completed


def test_a_segmentation_goes_along_with_a_volume_that_was_registered_since(volume, segmentation):
    other = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16), name="fixed")
    shift = np.eye(4)
    shift[0, 3] = 5
    answer = {"affine": shift.tolist(), "displacement": None, "inverse_displacement": None}
    forward, _inverse = place_result(answer, other, volume, None, None)
    prepare(segmentation, volume)
    assert segmentation.GetParentTransformNode() is forward
    elsewhere = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    segmentation.SetAndObserveTransformNodeID(elsewhere.GetID())
    with pytest.raises(UserError, match="under different transforms"):
        prepare(segmentation, volume)
