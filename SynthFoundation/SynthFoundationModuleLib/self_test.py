"""The checks of `SynthFoundationTest`: they run inside Slicer, and on the test host."""

from __future__ import annotations

import numpy as np
import slicer

from .geometry import displacement_transform, flipped, grid_of, vtk_matrix
from .process import shared_worker
from .sample_data import volume_of
from .scripting import register, segment
from .segments import numbered, read


def check_geometry() -> None:
    """A displacement field in an oblique, flipped grid moves points by exactly what it holds."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[0, 0, 3.0], [-2.0, 0, 0], [0, 1.0, 0]])
    matrix[:3, 3] = (5, -7, 11)
    rng = np.random.default_rng(0)
    field = rng.normal(size=(3, 5, 6, 7)).astype(np.float32)
    transform = displacement_transform(field, grid_of(matrix, (7, 6, 5)))
    for i, j, k in rng.integers(0, (7, 6, 5), (20, 3)):
        point = matrix[:3] @ (i, j, k, 1)
        moved = flipped(transform.TransformPoint(point))[0] - flipped(point)[0]
        assert np.abs(moved - field[:, k, j, i]).max() < 1e-4


def check_registration() -> None:
    """A small pair is brought together: the volumes resemble each other more, and forth and back agree."""
    pair = shared_worker().wait("sample_pair", {"small": True})
    fixed, moving = volume_of(pair["fixed"], "fixed"), volume_of(pair["moving"], "moving")
    found = register(fixed, moving, preset="fast")
    assert found.verdict in ("good", "look closely")
    assert moving.GetParentTransformNode() is found.forward
    numbers = found.numbers["similarity"]
    assert numbers["after"] > numbers["before"]
    there, back = found.forward.GetTransformFromParent(), found.inverse.GetTransformFromParent()
    for point in ((0, 0, 0), (20, -10, 5), (-15, 12, -20)):
        returned = back.TransformPoint(there.TransformPoint(point))
        assert np.linalg.norm(np.subtract(returned, point)) < 1.0


def check_segmentation() -> None:
    """A bright ball, painted on two slices, is found in between."""
    k, j, i = np.indices((32, 40, 40))
    ball = (k - 16) ** 2 + (j - 20) ** 2 + (i - 20) ** 2 < 100
    noise = np.random.default_rng(0).normal(0, 10, ball.shape)
    volume = slicer.util.addVolumeFromArray(
        np.rint(100 * ball + noise).astype(np.int16), vtk_matrix(np.diag((1.0, 1.0, 1.5, 1.0))), "ball"
    )
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment_id = segmentation.GetSegmentation().AddEmptySegment("ball", "Ball")
    painted = np.zeros(ball.shape, np.uint8)
    painted[[12, 20]] = ball[[12, 20]]
    slicer.util.updateSegmentBinaryLabelmapFromArray(painted, segmentation, segment_id, volume)
    segment(volume, segmentation)
    found = read(segmentation, volume, numbered(segmentation)) > 0
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.8
