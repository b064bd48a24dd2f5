"""Transforms of the scene against those of the library: oblique, flipped and thick-sliced volumes."""

import itertools

import numpy as np
import pytest
import slicer
import vtk
from SynthFoundationModuleLib.geometry import flipped, vtk_matrix

from SynthFoundationLib.geometry import DisplacementField, Grid

SCENES = {
    "oblique thick slices": {"spacing": (0.4, 0.4, 6.0), "turn": (20, -15, 30), "flip": (1, 1, 1)},
    "flipped": {"spacing": (3.0, 2.0, 4.0), "turn": (0, 0, 0), "flip": (-1, 1, -1)},
}
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def _ijk_to_ras(size, spacing, turn, flip, centre):
    """Directions, spacing and origin of a volume around a centre."""
    transform = vtk.vtkTransform()
    for angle, axis in zip(turn, ("X", "Y", "Z"), strict=True):
        getattr(transform, f"Rotate{axis}")(angle)
    matrix = np.array([[transform.GetMatrix().GetElement(i, j) for j in range(4)] for i in range(4)])
    matrix[:3, :3] = matrix[:3, :3] @ np.diag(np.multiply(spacing, flip))
    matrix[:3, 3] = centre - matrix[:3, :3] @ ((np.array(size) - 1) / 2)
    return matrix


def _ball(matrix, size, shift, rng):
    """A textured ellipsoid, sampled on the voxels of a volume: (k, j, i)."""
    k, j, i = np.indices(size[::-1])
    ras = np.stack([i, j, k, np.ones_like(i)], axis=-1) @ matrix.T
    x, y, z = np.moveaxis(ras[..., :3] - shift, -1, 0)
    inside = (x / 34) ** 2 + (y / 30) ** 2 + (z / 38) ** 2 < 1
    texture = 40 * np.sin(x / 4) * np.cos(y / 5) + 30 * np.cos(z / 6 + x / 9)
    return np.where(inside, 130 + texture, 0) + rng.normal(0, 2, inside.shape)


@pytest.fixture(params=["oblique thick slices", pytest.param("flipped", marks=pytest.mark.slow)])
def volumes(request, host):
    """A fixed volume of the kind, and a moving one on a plain grid whose contents lie 5 mm elsewhere."""
    rng = np.random.default_rng(3)
    scene = SCENES[request.param]
    sizes = [tuple(int(90 / s) for s in scene["spacing"]), (40, 36, 34)]
    sizes[0] = tuple(min(n, 160) for n in sizes[0])
    matrices = [
        _ijk_to_ras(sizes[0], centre=np.array([10.0, -20.0, 30.0]), **scene),
        _ijk_to_ras(sizes[1], (2.5, 2.5, 2.5), (5, 0, 0), (1, 1, 1), np.array([13.0, -22.0, 33.0])),
    ]
    shifts = (np.array([10.0, -20.0, 30.0]), np.array([13.0, -23.0, 34.0]))
    return [
        slicer.util.addVolumeFromArray(
            _ball(matrix, size, shift, rng).astype(np.float32), vtk_matrix(matrix), name
        )
        for matrix, size, shift, name in zip(matrices, sizes, shifts, ("fixed", "moving"), strict=True)
    ]


def _run(host, module, fixed, moving, **choices):
    """Register in the panel; the answer of the worker and the panel's result."""
    panel = module.register_panel
    chosen = panel.parameters
    chosen.fixed, chosen.moving = fixed, moving
    for name, value in choices.items():
        setattr(chosen, name, value)
    answers, done = [], panel._done
    panel._done = lambda inputs, answer: (answers.append(answer), done(inputs, answer))
    panel.ui.registerButton.click()
    host.wait(lambda: not panel.busy, 300, "the registration")
    assert panel.ui.messageLabel.text == ""
    return answers[-1], panel.result


def _points(fixed, count=60):
    """World points (RAS) inside the fixed volume's image."""
    size = np.array(fixed.GetImageData().GetDimensions())
    ijk = np.random.default_rng(0).uniform(0.1, 0.9, (count, 3)) * (size - 1)
    to_ras = vtk.vtkMatrix4x4()
    fixed.GetIJKToRASMatrix(to_ras)
    local = [to_ras.MultiplyPoint([*p, 1.0])[:3] for p in ijk]
    if fixed.GetParentTransformNode():
        world = vtk.vtkGeneralTransform()
        fixed.GetParentTransformNode().GetTransformToWorld(world)
        local = [world.TransformPoint(p) for p in local]
    return np.array(local)


def _library(answer, points):
    """The library's own map of world points (RAS) from its answer: the displacement, then the affine."""
    lps = flipped(points)
    if answer.get("displacement"):
        found = answer["displacement"]
        grid = found["grid"] if isinstance(found["grid"], Grid) else Grid(**found["grid"])
        import torch

        field = DisplacementField(torch.as_tensor(np.array(found["array"]), dtype=torch.float32), grid)
        lps = np.asarray(field.apply(lps))
    affine = np.asarray(answer["affine"], float)
    return flipped(lps @ affine[:3, :3].T + affine[:3, 3])


def _to_moving_local(node, points):
    """Fixed world points through a transform node that the moving volume is under, to its own coordinates."""
    transform = vtk.vtkGeneralTransform()
    node.GetTransformFromWorld(transform)
    return np.array([transform.TransformPoint(point) for point in points])


def test_the_scene_holds_what_the_library_found(host, light, volumes):
    """One run, three oracles: the library's map, where the contents truly lie, SciPy's interpolation."""
    fixed, moving = volumes
    answer, result = _run(host, light, fixed, moving)
    points = _points(fixed)
    expected = _library(answer, points)
    moved = _to_moving_local(result.forward, points)
    np.testing.assert_allclose(moved, expected, atol=1e-3)
    back = vtk.vtkGeneralTransform()
    result.inverse.GetTransformFromWorld(back)
    returned = np.array([back.TransformPoint(point) for point in expected])
    assert np.linalg.norm(returned - points, axis=1).max() < 0.5  # two fields, each sampled on its grid

    inside = np.linalg.norm((points - [10, -20, 30]) / [34, 30, 38], axis=1) < 0.9
    error = np.linalg.norm(moved - points - [3, -3, 4], axis=1)[inside]
    assert error.mean() < max(1.5, 0.4 * max(fixed.GetSpacing()))

    light.register_panel.parameters.makeMoved = True
    light.register_panel.ui.outputsButton.click()
    host.wait(lambda: slicer.util.getNodes("moving moved*"), 60, "the moved volume")
    (output,) = slicer.util.getNodes("moving moved*").values()
    assert output.GetImageData().GetDimensions() == fixed.GetImageData().GetDimensions()
    expected = _sampled(moving, _to_moving_local(result.forward, _world(output)))
    found = slicer.util.arrayFromVolume(output).ravel()
    tissue = expected > 20
    assert tissue.sum() > 500
    assert np.abs(found[tissue] - expected[tissue]).max() < 1.0


def _world(volume):
    """The world position (RAS) of every voxel, in the order of the array."""
    to_ras = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(to_ras)
    matrix = np.array([[to_ras.GetElement(i, j) for j in range(4)] for i in range(4)])
    k, j, i = np.indices(volume.GetImageData().GetDimensions()[::-1])
    return (np.stack([i, j, k, np.ones_like(i)], -1).reshape(-1, 4) @ matrix.T)[:, :3]


def _sampled(volume, points):
    """Linear interpolation by SciPy of a volume at its own coordinates (RAS)."""
    from scipy.ndimage import map_coordinates

    matrix = vtk.vtkMatrix4x4()
    volume.GetRASToIJKMatrix(matrix)
    array = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    ijk = np.c_[points, np.ones(len(points))] @ array.T
    return map_coordinates(slicer.util.arrayFromVolume(volume), ijk[:, 2::-1].T, order=1, cval=0.0)


def _linear(matrix, name):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(vtk_matrix(np.asarray(matrix, float)))
    return node


TURNED = [[0.0, -1.0, 0.0, 5.0], [1.0, 0.0, 0.0, -8.0], [0.0, 0.0, 1.0, 12.0], [0.0, 0.0, 0.0, 1.0]]


@pytest.mark.slow
@pytest.mark.parametrize(("role", "hardened"), list(itertools.product(("fixed", "moving"), (False, True))))
def test_volumes_under_transforms_are_aligned_where_they_are_shown(host, light, pair, truth, role, hardened):
    fixed, moving = pair
    there = dict(zip(("fixed", "moving"), pair, strict=True))[role]
    there.SetAndObserveTransformNodeID(_linear(TURNED, "turned").GetID())
    if hardened:
        there.HardenTransform()
    start = np.array(TURNED) if role == "fixed" else np.linalg.inv(TURNED)  # as `moving` has to be moved
    _answer, result = _run(host, light, fixed, moving, initialTransform=_linear(start, "start"))
    points, expected = (flipped(points) for points in truth)
    matrix = np.array(TURNED)
    if role == "fixed":
        points = points @ matrix[:3, :3].T + matrix[:3, 3]
    elif hardened:
        expected = expected @ matrix[:3, :3].T + matrix[:3, 3]
    found = _to_moving_local(moving.GetParentTransformNode(), points)
    assert np.linalg.norm(found - expected, axis=1).mean() < 2.0
    assert moving.GetParentTransformNode() is result.forward
