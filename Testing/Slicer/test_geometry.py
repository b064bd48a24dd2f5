"""Transform nodes against the library's transforms and SimpleITK's."""

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import torch
import vtk
from scipy.spatial.transform import Rotation
from SynthFoundationModuleLib.geometry import (
    displacement_transform,
    flipped,
    grid_of,
    matrix_of,
    matrix_of_grid,
    vtk_matrix,
)
from SynthFoundationModuleLib.registration import resampled
from SynthFoundationModuleLib.scans import parent_before, scan_of
from SynthFoundationModuleLib.transforms import earlier_result, initial_matrix, place_result, remove_result

from SynthFoundationLib.geometry import Affine, Composite, DisplacementField, Grid

TURN = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
FLIP = np.diag((-1.0, 1.0, -1.0))
GRID = Grid((10, 12, 9), (6.0, 5.0, 7.0), (-30.0, -25.0, -30.0), tuple((TURN @ FLIP).ravel()))
FIELDS = ("size", "spacing", "origin", "direction")


def oblique_volume(name, seed=0, spacing=(0.4, 0.4, 6.0), shape=(7, 50, 60)):
    matrix = np.eye(4)
    matrix[:3, :3] = TURN.T @ FLIP * spacing
    matrix[:3, 3] = (12, -7, 5)
    array = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return slicer.util.addVolumeFromArray(array, vtk_matrix(matrix), name)


def result(seed=0):
    rng = np.random.default_rng(seed)
    field = 2 * rng.normal(size=(3, *GRID.shape)).astype(np.float32)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (5, 8, -12), degrees=True).as_matrix() * (1.1, 0.95, 1.0)
    affine[:3, 3] = (3, -4, 5)
    grid = {name: getattr(GRID, name) for name in FIELDS}
    inverse = DisplacementField(torch.from_numpy(field), GRID).inverse().data.numpy()
    return {
        "affine": affine.tolist(),
        "displacement": {"array": field, "grid": grid},
        "inverse_displacement": {"array": inverse, "grid": grid},
    }


def library_transform(answer):
    field = DisplacementField(torch.from_numpy(answer["displacement"]["array"]), GRID)
    return Composite([field, Affine(np.array(answer["affine"]))])


def points_inside():
    return GRID.to_physical(np.random.default_rng(1).uniform(0, np.array(GRID.size) - 1, (300, 3)))


def moved_by(transform, points):
    return flipped([transform.TransformPoint(point) for point in flipped(points)])


def linear_parent(scale=1.0):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = TURN * scale, (4, 5, -6)
    node.SetMatrixTransformToParent(vtk_matrix(matrix))
    return node


def grid_parent():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    field = result(3)["displacement"]
    node.SetAndObserveTransformFromParent(displacement_transform(0.2 * field["array"], field["grid"]))
    return node


@pytest.mark.parametrize("parent", [None, linear_parent, grid_parent])
def test_a_result_maps_points_as_the_library_does_under_any_parent(host, parent):
    fixed, moving, answer = oblique_volume("CT"), oblique_volume("MR", 1), result()
    before = parent() if parent else None
    moving.SetAndObserveTransformNodeID(before.GetID() if before else None)
    forward, inverse = place_result(answer, fixed, moving, None, None)
    expected = library_transform(answer).apply(points_inside())
    if before is not None:
        local = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, before, local)
        expected = moved_by(local, expected)
    assert np.abs(moved_by(forward.GetTransformFromParent(), points_inside()) - expected).max() < 1e-3
    assert moving.GetParentTransformNode() is forward
    assert parent_before(moving) is before
    there = library_transform(answer).apply(points_inside()[:20])
    if before is None:
        back = moved_by(inverse.GetTransformFromParent(), there)
        exact = library_transform(answer).transforms
        library = Composite([exact[1].inverse(), DisplacementField(*_inverse_field(answer))]).apply(there)
        assert np.abs(back - library).max() < 1e-3


def _inverse_field(answer):
    return torch.from_numpy(answer["inverse_displacement"]["array"]), GRID


def test_fixed_and_moving_roles_are_set_and_found_again(host):
    fixed, moving = oblique_volume("CT"), oblique_volume("MR", 1)
    nodes = place_result(result(), fixed, moving, None, None)
    roles = slicer.vtkMRMLTransformNode
    assert nodes[0].GetNodeReference(roles.GetFixedNodeReferenceRole()) is fixed
    assert nodes[0].GetNodeReference(roles.GetMovingNodeReferenceRole()) is moving
    assert earlier_result(fixed, moving) == nodes
    assert earlier_result(moving, fixed) == (None, None)
    again = place_result(result(5), fixed, moving, *nodes)
    assert again == nodes


def test_a_rigid_result_under_a_linear_parent_is_one_linear_node(host):
    fixed, moving, parent = oblique_volume("CT"), oblique_volume("MR", 1), linear_parent()
    moving.SetAndObserveTransformNodeID(parent.GetID())
    answer = {"affine": result()["affine"], "displacement": None, "inverse_displacement": None}
    forward, inverse = place_result(answer, fixed, moving, None, None)
    assert {forward.GetClassName(), inverse.GetClassName()} == {"vtkMRMLLinearTransformNode"}
    point = np.array([[10.0, 20.0, -5.0]])
    there = moved_by(forward.GetTransformFromParent(), point)
    assert np.abs(moved_by(inverse.GetTransformFromParent(), there) - point).max() < 1e-6
    remove_result(moving, [forward, inverse])
    assert moving.GetParentTransformNode() is parent
    assert forward.GetScene() is None


def test_a_grid_goes_there_and_back(host):
    grid = grid_of(matrix_of_grid({name: getattr(GRID, name) for name in FIELDS}), GRID.size)
    for name in FIELDS:
        np.testing.assert_allclose(grid[name], getattr(GRID, name), atol=1e-9)


def test_a_volume_under_a_linear_transform_is_seen_where_it_is_displayed(host):
    volume, parent = oblique_volume("MR"), linear_parent()
    volume.SetAndObserveTransformNodeID(parent.GetID())
    scan = scan_of(volume, "moving")
    world = [0.0, 0.0, 0.0]
    volume.TransformPointToWorld((matrix_of(volume) @ (3, 4, 5, 1))[:3], world)
    np.testing.assert_allclose((scan.matrix @ (3, 4, 5, 1))[:3], world, atol=1e-6)
    assert np.shares_memory(scan.array, slicer.util.arrayFromVolume(volume))


def test_a_volume_under_a_non_linear_transform_is_resampled_on_a_copy(host):
    k, j, i = np.indices((20, 24, 28))
    ramp = (2 * i + 3 * j - k).astype(np.float32)
    volume = slicer.util.addVolumeFromArray(ramp, vtk_matrix(np.eye(4)), "ramp")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    grid = {
        "size": [5, 5, 5],
        "spacing": [20.0] * 3,
        "origin": [-60.0, -60.0, -20.0],
        "direction": np.eye(3).ravel(),
    }
    field = np.broadcast_to(
        np.reshape((-1.0, -2.0, 0.0), (3, 1, 1, 1)), (3, 5, 5, 5)
    )  # LPS: RAS is (1, 2, 0)
    node.SetAndObserveTransformFromParent(displacement_transform(field, grid))
    volume.SetAndObserveTransformNodeID(node.GetID())
    scan = scan_of(volume, "fixed")
    index = np.linalg.inv(scan.matrix) @ (10, 10, 10, 1)
    value = scan.array[tuple(np.rint(index[2::-1]).astype(int))]
    assert value == pytest.approx(2 * 11 + 3 * 12 - 10, abs=0.05)
    assert slicer.util.arrayFromVolume(volume) is not scan.array
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), ramp)


def test_the_moved_volume_is_what_simpleitk_resamples(host, tmp_path):
    fixed, moving, answer = (
        oblique_volume("CT"),
        oblique_volume("MR", 1, (2.0, 2.0, 2.0), (30, 40, 40)),
        result(),
    )
    forward, _inverse = place_result(answer, fixed, moving, None, None)
    found = resampled(moving, fixed)

    def image(volume):
        grid = grid_of(matrix_of(volume), volume.GetImageData().GetDimensions())
        one = sitk.GetImageFromArray(slicer.util.arrayFromVolume(volume))
        one.SetSpacing(grid["spacing"])
        one.SetOrigin(grid["origin"])
        one.SetDirection(grid["direction"])
        return one

    slicer.util.saveNode(forward, str(tmp_path / "forward.h5"))
    lowest = float(slicer.util.arrayFromVolume(moving).min())
    transform = sitk.ReadTransform(str(tmp_path / "forward.h5"))
    expected = sitk.GetArrayFromImage(
        sitk.Resample(image(moving), image(fixed), transform, sitk.sitkLinear, lowest)
    )
    inside = (expected != lowest) & (found != lowest)
    assert inside.mean() > 0.2
    assert np.abs(found - expected)[inside].max() < 1e-2


def test_the_initial_transform_is_the_map_from_fixed_to_moving(host):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = (10, 20, 30)  # moves the moving volume by that much, RAS
    node.SetMatrixTransformToParent(vtk_matrix(matrix))
    np.testing.assert_allclose(np.array(initial_matrix(node))[:3, 3], (10, 20, -30))
