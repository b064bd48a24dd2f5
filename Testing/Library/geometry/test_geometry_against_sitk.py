"""Geometry against SimpleITK on oblique, anisotropic, flipped grids with different fields of view."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.geometry import (
    Affine,
    Composite,
    DisplacementField,
    Grid,
    exponential,
    from_sitk,
    grid_points,
    invert,
    log_jacobian_statistics,
    read_transform,
    resample,
    sample,
    smooth,
    to_sitk,
    write_transform,
)


def rotation(*degrees: float) -> np.ndarray:
    t = sitk.Euler3DTransform((0, 0, 0), *[math.radians(d) for d in degrees])
    return np.array(t.GetMatrix()).reshape(3, 3)


OBLIQUE = Grid((23, 17, 11), (0.8, 1.3, 3.1), (-31.0, 12.5, 107.0), rotation(20, -35, 50).ravel())
FLIPPED = Grid(
    (14, 19, 21), (1.7, 1.1, 0.9), (4.0, 31.0, 88.0), (rotation(-10, 15, 5) @ np.diag([-1, 1, -1])).ravel()
)
MIRRORED = Grid((14, 19, 21), (1.7, 1.1, 0.9), (-20.0, 1.0, 111.0), np.diag([1.0, 1.0, -1.0]).ravel())
ONE_SLICE = Grid((9, 8, 1), (1.0, 1.0, 5.0), (0.0, 0.0, 100.0))
GRIDS = [OBLIQUE, FLIPPED, MIRRORED, ONE_SLICE]


def image_on(grid: Grid, array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


def noise(grid: Grid, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=grid.shape).astype(np.float32)


def affine_example() -> sitk.AffineTransform:
    t = sitk.AffineTransform(3)
    t.SetMatrix((rotation(7, 4, -12) @ np.diag([1.1, 0.93, 1.02])).ravel().tolist())
    t.SetTranslation((3.0, -2.0, 6.0))
    return t


def smooth_field(grid: Grid, amplitude: float, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    field = smooth(torch.randn((3, *grid.shape), generator=generator), 2.5)
    return field * amplitude / field.norm(dim=0).max()


@pytest.mark.parametrize("grid", GRIDS)
def test_index_and_physical_coordinates_equal_sitk(grid: Grid):
    image = image_on(grid, noise(grid))
    index = np.array([[0.0, 0.0, 0.0], [3.25, 4.5, 0.0], [-2.0, 7.75, 1.5]])
    physical = np.array([image.TransformContinuousIndexToPhysicalPoint(i.tolist()) for i in index])
    np.testing.assert_allclose(grid.to_physical(index), physical, atol=1e-9)
    np.testing.assert_allclose(grid.to_index(physical), index, atol=1e-9)
    assert Grid.from_sitk(image) == grid
    points = grid_points(grid).numpy()
    last = [n - 1 for n in grid.size]
    np.testing.assert_allclose(points[-1, -1, -1], image.TransformIndexToPhysicalPoint(last), atol=1e-4)


@pytest.mark.parametrize("source", GRIDS)
@pytest.mark.parametrize("target", GRIDS)
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_resampling_under_an_affine_equals_sitk(source: Grid, target: Grid, mode: str):
    moving, reference, t = noise(source), image_on(target, noise(target)), affine_example()
    kind = sitk.sitkLinear if mode == "linear" else sitk.sitkNearestNeighbor
    expected = sitk.GetArrayFromImage(sitk.Resample(image_on(source, moving), reference, t, kind, -7.0))
    actual = resample(torch.from_numpy(moving)[None], source, target, from_sitk(t), mode, fill=-7.0)[
        0
    ].numpy()
    close = np.isclose(actual, expected, atol=2e-3)  # a point on the very edge of a voxel may fall either way
    assert close.mean() > 0.998


def test_resampling_moves_nothing_by_more_than_a_micrometre():
    source = Grid((30, 28, 26), (1.2, 0.9, 2.2), (5, 6, 7), rotation(3, 50, 11).ravel())
    coordinates = grid_points(source).movedim(
        -1, 0
    )  # linear in position, so interpolation must return positions
    target = Grid((9, 8, 7), (1.5, 1.6, 1.1), tuple(source.center - 6), rotation(-30, 10, 5).ravel())
    t = affine_example()
    expected = np.array(
        [t.TransformPoint(p.tolist()) for p in grid_points(target).reshape(-1, 3).double().numpy()]
    )
    index = source.to_index(expected)
    valid = ((index > 0) & (index < np.array(source.size) - 1)).all(1)
    actual = resample(coordinates, source, target, from_sitk(t)).reshape(3, -1).T.numpy()
    assert valid.sum() > 50
    assert np.abs(actual - expected)[valid].max() < 1e-3


def test_displacement_field_and_composite_map_points_as_sitk_does(tmp_path):
    ours = Composite([DisplacementField(smooth_field(OBLIQUE, 4.0), OBLIQUE), from_sitk(affine_example())])
    path = tmp_path / "transform.h5"
    write_transform(ours, path)
    theirs, again = sitk.ReadTransform(str(path)), read_transform(path)
    generator = np.random.default_rng(3)
    points = OBLIQUE.to_physical(generator.uniform(-4, np.array(OBLIQUE.size) + 3, (400, 3)))
    expected = np.array([theirs.TransformPoint(p.tolist()) for p in points])
    np.testing.assert_allclose(ours.apply(points), expected, atol=1e-4)
    np.testing.assert_allclose(again.apply(points), expected, atol=1e-4)
    assert list(tmp_path.iterdir()) == [path]


def test_resampling_through_a_composite_equals_sitk():
    ours = Composite([DisplacementField(smooth_field(OBLIQUE, 4.0), OBLIQUE), from_sitk(affine_example())])
    moving = smooth(torch.from_numpy(noise(FLIPPED))[None], 1.5)
    expected = sitk.Resample(
        image_on(FLIPPED, moving[0].numpy()), image_on(OBLIQUE, noise(OBLIQUE)), to_sitk(ours)
    )
    actual = resample(moving, FLIPPED, OBLIQUE, ours)[0].numpy()
    assert np.isclose(actual, sitk.GetArrayFromImage(expected), atol=1e-3).mean() > 0.998


def linear_transforms() -> list[sitk.Transform]:
    euler = sitk.Euler3DTransform((5.0, -3.0, 9.0), 0.2, -0.1, 0.4, (1.0, 2.0, 3.0))
    versor = sitk.VersorRigid3DTransform((0.0, 0.6, 0.8), 0.5, (1.0, 0.0, 2.0), (4.0, 4.0, 4.0))
    return [
        affine_example(),
        euler,
        versor,
        sitk.TranslationTransform(3, (1.0, 2.0, 3.0)),
        sitk.ScaleTransform(3, (1.1, 0.9, 1.2)),
    ]


@pytest.mark.parametrize("transform", linear_transforms(), ids=lambda t: t.GetName())
@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".mat"])
def test_linear_transform_files_of_every_kind(transform: sitk.Transform, suffix: str, tmp_path):
    if suffix == ".mat" and transform.GetName() in ("TranslationTransform", "ScaleTransform"):
        pytest.skip("ITK cannot write this kind as .mat")
    path = tmp_path / f"t{suffix}"
    sitk.WriteTransform(transform, str(path))
    point = (11.0, -7.0, 3.0)
    np.testing.assert_allclose(
        read_transform(path).apply([point])[0], transform.TransformPoint(point), atol=1e-5
    )


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_bspline_transforms_are_sampled_closely(scale):
    grid = replace(OBLIQUE, spacing=tuple(scale * s for s in OBLIQUE.spacing))
    reference = image_on(grid, noise(grid))
    bspline = sitk.BSplineTransformInitializer(reference, [3, 3, 3])
    bspline.SetParameters(
        np.random.default_rng(0).normal(scale=scale, size=len(bspline.GetParameters())).tolist()
    )
    points = grid.to_physical(np.random.default_rng(1).uniform(1, np.array(grid.size) - 2, (100, 3)))
    expected = np.array([bspline.TransformPoint(p.tolist()) for p in points])
    assert np.abs(from_sitk(bspline).apply(points) - expected).max() < 0.1 * scale


def test_inverse_composes_to_the_identity():
    field = DisplacementField(smooth_field(OBLIQUE, 3.0), OBLIQUE)
    points = torch.from_numpy(OBLIQUE.to_physical(np.random.default_rng(2).uniform(4, 8, (200, 3))))
    assert (field.inverse()(field(points)) - points).abs().max() < 0.05
    affine = from_sitk(affine_example())
    assert (affine.inverse()(affine(points)) - points).abs().max() < 1e-9


def test_exponential_is_a_diffeomorphism_with_the_negative_as_inverse():
    grid = Grid((32, 32, 32), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), rotation(10, 20, 30).ravel())
    window = smooth(torch.ones(1, 20, 20, 20), 0.0)
    taper = smooth(torch.nn.functional.pad(window, [6] * 6), 3.0)
    velocity = smooth_field(grid, 12.0) * taper
    forward, backward = exponential(velocity, grid), exponential(-velocity, grid)
    assert log_jacobian_statistics(forward, grid)["folds_percent"] == 0.0
    residual = forward + resample(backward, grid, grid, DisplacementField(forward, grid))
    assert residual.norm(dim=0).mean() < 0.05


def test_exponential_of_a_linear_velocity_is_the_matrix_exponential():
    grid = Grid((41, 41, 41), (1.0, 1.0, 1.0), (-20.0, -20.0, -20.0))
    rate = np.array([[0.02, -0.15, 0.0], [0.15, -0.03, 0.05], [0.0, -0.05, 0.01]])
    points = grid_points(grid)
    velocity = (points @ torch.tensor(rate.T, dtype=torch.float32)).movedim(-1, 0)
    from scipy.linalg import expm

    expected = points @ torch.tensor((expm(rate) - np.eye(3)).T, dtype=torch.float32)
    actual = exponential(velocity, grid).movedim(0, -1)
    middle = slice(12, 29)
    assert (actual - expected)[middle, middle, middle].abs().max() < 0.02


def test_jacobian_of_an_affine_displacement_is_its_determinant():
    matrix = rotation(20, 5, 3) @ np.diag([1.2, 0.8, 1.1])
    shift = grid_points(OBLIQUE) @ torch.tensor((matrix - np.eye(3)).T, dtype=torch.float32)
    from SynthFoundationLib.geometry.fields import jacobian_determinant

    determinant = jacobian_determinant(shift.movedim(-1, 0), OBLIQUE)
    assert (determinant - np.linalg.det(matrix)).abs().max() < 1e-3
    folded = log_jacobian_statistics(-2 * grid_points(OBLIQUE).movedim(-1, 0), OBLIQUE)
    assert folded["folds_percent"] == 100.0


@pytest.mark.parametrize("scale", [1.0, 0.001])
def test_inversion_of_a_field_equals_sitk_inversion(scale):
    grid = Grid((24, 24, 24), (2.0 * scale,) * 3)
    u = smooth_field(grid, 4.0 * scale)
    image = image_on(grid, np.ascontiguousarray(u.movedim(0, -1).double().numpy()))
    options = {
        "maximumNumberOfIterations": 60,
        "maxErrorToleranceThreshold": 1e-4 * scale,
        "meanErrorToleranceThreshold": 1e-5 * scale,
    }
    expected = sitk.GetArrayFromImage(
        sitk.InvertDisplacementField(image, **options, enforceBoundaryCondition=False)
    )
    inner = (slice(5, 19),) * 3
    difference = np.abs(invert(u, grid).movedim(0, -1).numpy() - expected)[inner]
    assert difference.mean() < 0.02 * scale


def test_sampling_points_outside_gives_the_fill_value():
    volume = torch.ones(1, *OBLIQUE.shape)
    edge = OBLIQUE.to_physical([[-0.4, 0, 0], [-0.6, 0, 0], [22.4, 16.4, 10.4], [22.6, 0, 0]])
    assert sample(volume, OBLIQUE, torch.from_numpy(edge).float(), fill=-1.0).tolist() == [[1, -1, 1, -1]]


def test_smoothing_equals_scipy():
    from scipy.ndimage import gaussian_filter

    array = noise(OBLIQUE)
    expected = gaussian_filter(array, (0.0, 1.2, 2.0), mode="nearest", truncate=3.0)
    actual = smooth(torch.from_numpy(array)[None], (2.0, 1.2, 0.0))[0].numpy()
    np.testing.assert_allclose(actual, expected, atol=2e-3)


def test_grids_of_other_spacing_keep_the_box():
    coarse = OBLIQUE.with_spacing(2.0)
    np.testing.assert_allclose(coarse.center, OBLIQUE.center, atol=1e-6)
    assert (coarse.extent >= OBLIQUE.extent - 1e-2).all()
    assert (coarse.extent <= OBLIQUE.extent + 2.0).all()
    padded = OBLIQUE.padded((1, 2, 3))
    np.testing.assert_allclose(padded.to_physical((1, 2, 3)), OBLIQUE.origin, atol=1e-6)
    whole = OBLIQUE.padded_to_multiple(16)
    assert whole.size == (32, 32, 16)
    np.testing.assert_allclose(whole.center, OBLIQUE.center, atol=1e-6)
    assert OBLIQUE.same_space(OBLIQUE.padded(0))
    assert not OBLIQUE.same_space(padded)
    tiny = Grid((9, 9, 9), (5e-4,) * 3)
    assert not tiny.same_space(replace(tiny, origin=(5e-4, 0.0, 0.0)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("size", (0, 1, 1), "at least one voxel"),
        ("spacing", (1.0, -1.0, 1.0), "positive"),
        ("spacing", (1.0, float("nan"), 1.0), "finite"),
        ("direction", (1, 0.4, 0, 0, 1, 0, 0, 0, 1), "perpendicular"),
        ("direction", (0.0,) * 9, "perpendicular"),
        ("origin", (0.0, 0.0), "3 origins"),
    ],
)
def test_impossible_grids_are_refused(field: str, value: tuple, message: str):
    with pytest.raises(InputError, match=message):
        Grid(**{"size": (4, 5, 6), field: value})


def test_transform_files_that_are_none(tmp_path):
    text = tmp_path / "notes.h5"
    text.write_text("not a transform")
    with pytest.raises(InputError, match="does not exist"):
        read_transform(tmp_path / "missing.h5")
    with pytest.raises(InputError, match="not a transform"):
        read_transform(text)
    with pytest.raises(InputError, match="cannot write"):
        write_transform(Affine(), tmp_path / "nowhere" / "t.h5")
    with pytest.raises(InputError, match="singular"):
        Affine(np.diag([1.0, 1.0, 0.0, 1.0])).inverse()


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_finer_voxels_fill_the_same_box_and_are_made_coarse_again(factor):
    turn = sitk.VersorTransform((1.0, 2.0, -1.0), 0.7).GetMatrix()
    grid = Grid((5, 4, 3), (1.0, 2.0, 3.5), (10.0, -20.0, 5.0), turn)

    finer = grid.refined(factor)

    assert finer.size == tuple(n * factor for n in grid.size)
    np.testing.assert_allclose(finer.extent, grid.extent)
    np.testing.assert_allclose(finer.center, grid.center, atol=1e-9)
    np.testing.assert_allclose(finer.coarsened(factor).matrix, grid.matrix, atol=1e-9)
