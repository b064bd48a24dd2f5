"""Masks, labels and landmarks of the scene on the voxels of a volume."""

import numpy as np
import pytest
import slicer
from scipy.spatial.transform import Rotation
from SynthFoundationModuleLib.errors import UserError
from SynthFoundationModuleLib.geometry import flipped, matrix_of, vtk_matrix
from SynthFoundationModuleLib.scans import fingerprint, image_array, landmark_pairs, mask_on, scan_of
from SynthFoundationModuleLib.transforms import place_result


@pytest.fixture
def volume(host):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("zyx", (30, 20, 10), degrees=True).as_matrix() * (1.0, 1.5, 3.0)
    matrix[:3, 3] = (5, 6, 7)
    array = np.random.default_rng(0).normal(size=(12, 16, 20)).astype(np.float32)
    return slicer.util.addVolumeFromArray(array, vtk_matrix(matrix), "scan")


def shifted(node, by):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = by
    transform.SetMatrixTransformToParent(vtk_matrix(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def block():
    mask = np.zeros((12, 16, 20), np.uint8)
    mask[3:9, 4:10, 5:12] = 1
    return mask


def test_a_segmentation_is_a_mask_where_it_is_displayed(volume):
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = segmentation.GetSegmentation().AddEmptySegment("block")
    slicer.util.updateSegmentBinaryLabelmapFromArray(block(), segmentation, segment, volume)
    np.testing.assert_array_equal(mask_on(segmentation, scan_of(volume, "fixed"), volume, "fixed"), block())
    along = matrix_of(volume)[:3, 0]
    shifted(segmentation, 2 * along)
    moved = mask_on(segmentation, scan_of(volume, "fixed"), volume, "fixed")
    np.testing.assert_array_equal(moved, np.roll(block(), 2, axis=2))


def test_a_label_map_is_a_mask(volume):
    labels = slicer.util.addVolumeFromArray(
        3 * block(), vtk_matrix(matrix_of(volume)), "labels", "vtkMRMLLabelMapVolumeNode"
    )
    np.testing.assert_array_equal(mask_on(labels, scan_of(volume, "fixed"), volume, "fixed"), block())


def test_a_region_is_the_mask_of_the_voxels_in_its_box(volume):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    matrix = matrix_of(volume)
    center, size = matrix[:3] @ (10, 8, 6, 1), np.array((8.2, 9.4, 13.0))
    roi.SetCenter(*center)
    roi.SetSize(*size)
    mask = mask_on(roi, scan_of(volume, "fixed"), volume, "fixed")
    k, j, i = np.indices(mask.shape)
    places = np.stack([i, j, k], -1) @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_array_equal(mask != 0, (np.abs(places - center) <= size / 2).all(-1))


def test_a_mask_outside_the_volume_is_refused_in_plain_words(volume):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    roi.SetCenter(1000, 0, 0)
    roi.SetSize(5, 5, 5)
    with pytest.raises(UserError, match="Nothing of Box lies in the volume"):
        mask_on(roi, scan_of(volume, "fixed"), volume, "fixed")


def test_volumes_without_voxels_or_in_colour_are_refused(host):
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
    with pytest.raises(UserError, match="Nothing holds no image"):
        image_array(empty)
    colour = slicer.util.addVolumeFromArray(
        np.zeros((3, 4, 5, 3), np.uint8), name="Photo", nodeClassName="vtkMRMLVectorVolumeNode"
    )
    with pytest.raises(UserError, match="Photo is in colour"):
        image_array(colour)


def test_the_fingerprint_changes_with_voxels_geometry_and_transforms_only(volume):
    seen = [fingerprint(volume, "fixed")]
    assert fingerprint(volume, "fixed") == seen[0]
    slicer.util.arrayFromVolume(volume)[0, 0, 0] = 99
    slicer.util.arrayFromVolumeModified(volume)
    seen.append(fingerprint(volume, "fixed"))
    volume.SetSpacing(1, 1, 1)
    seen.append(fingerprint(volume, "fixed"))
    parent = shifted(volume, (1, 2, 3))
    seen.append(fingerprint(volume, "fixed"))
    parent.SetMatrixTransformToParent(vtk_matrix(np.eye(4)))
    seen.append(fingerprint(volume, "fixed"))
    assert len(set(seen)) == 5


def points(name, places):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for place in places:
        node.AddControlPointWorld(*place)
    return node


def test_landmarks_are_paired_by_order_and_follow_the_moving_volume(volume):
    fixed = volume
    moving = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.float32), name="MR")
    shift = np.eye(4)
    shift[:3, 3] = (0, 0, 10)
    answer = {"affine": shift.tolist(), "displacement": None, "inverse_displacement": None}
    first = points("f", [(1, 2, 3), (4, 5, 6), (7, 8, 9)])
    second = points("m", [(1, 2, 13), (4, 5, 16)])
    on_fixed, on_moving = landmark_pairs(first, second, moving)
    np.testing.assert_allclose(on_fixed, flipped([(1, 2, 3), (4, 5, 6)]))
    np.testing.assert_allclose(on_moving, flipped([(1, 2, 13), (4, 5, 16)]))
    forward, _ = place_result(answer, fixed, moving, None, None)
    second.SetAndObserveTransformNodeID(forward.GetID())
    assert np.allclose(second.GetNthControlPointPositionWorld(0), (1, 2, 3))  # it moved along with the image
    np.testing.assert_allclose(landmark_pairs(first, second, moving)[1], on_moving)


def test_without_a_complete_pair_there_are_no_landmarks(volume):
    assert landmark_pairs(None, None, volume) is None
    assert landmark_pairs(points("f", [(1, 2, 3)]), points("m", []), volume) is None
