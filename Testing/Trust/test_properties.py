"""Random grids, types and contents: every entry succeeds with a usable result or raises the documented error.

`SYNTHFOUNDATION_FUZZ=20` runs that many times as many examples, with scans up to 70 voxels wide.
"""

import os

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.features.extract import extract_features
from SynthFoundationLib.geometry import (
    Affine,
    Composite,
    DisplacementField,
    Grid,
    read_transform,
    write_transform,
)
from SynthFoundationLib.images import LabelMap, as_image, warp_image, warp_labels
from SynthFoundationLib.registration import register
from SynthFoundationLib.segmentation import segment

MORE = int(os.environ.get("SYNTHFOUNDATION_FUZZ", "1"))
LARGEST = 14 if MORE == 1 else 70
KINDS = ("uint8", "int16", "uint16", "int32", "float32", "float64")
CONTENTS = ("noise", "body", "ramp", "one voxel", "constant", "nan", "huge", "two values")
counts: dict[str, list[int]] = {}


def examples(count):
    return settings(
        max_examples=count * MORE, deadline=None, derandomize=MORE == 1, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def told():
    """Print how many examples were used and refused."""
    yield
    for name, (used, refused) in counts.items():
        print(f"\n{name}: {used} used, {refused} refused", end="")


@st.composite
def grids(draw, largest=LARGEST):
    size = draw(st.tuples(*[st.integers(8, largest)] * 3))
    spacing = draw(st.tuples(*[st.floats(0.3, 8.0)] * 3))
    turn = Rotation.random(random_state=draw(st.integers(0, 2**31 - 1))).as_matrix()
    turn[:, 0] *= draw(st.sampled_from((1, -1)))
    origin = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    return Grid(size, spacing, origin, tuple(turn.ravel()))


@st.composite
def scans(draw):
    grid, rng = draw(grids()), np.random.default_rng(draw(st.integers(0, 2**31 - 1)))
    content = draw(st.sampled_from(CONTENTS))
    array = np.zeros(grid.shape)
    if content in ("noise", "nan", "huge"):
        array = rng.integers(0, 200, grid.shape).astype(float)
    elif content == "body":
        place = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in grid.shape], indexing="ij"))
        array = np.where((place**2).sum(0) < 0.6, 100 + 20 * rng.integers(0, 4, grid.shape), 0)
    elif content == "ramp":
        array = np.indices(grid.shape).sum(0)
    elif content == "two values":
        array = 100 * (rng.random(grid.shape) < 0.3)
    array = array.astype(draw(st.sampled_from(KINDS)) if content not in ("nan", "huge") else "float64")
    if content in ("one voxel", "nan", "huge"):
        array.flat[rng.integers(array.size)] = {"one voxel": 7, "nan": np.nan, "huge": 1e30}[content]
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


@st.composite
def transforms(draw):
    """An affine map, a displacement field, or both."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31 - 1)))
    matrix = np.eye(4)
    matrix[:3, :3] += rng.uniform(-0.2, 0.2, (3, 3))
    matrix[:3, 3] = rng.uniform(-30, 30, 3)
    grid = draw(grids(10))
    field = DisplacementField(torch.from_numpy(rng.normal(size=(3, *grid.shape)).astype(np.float32)), grid)
    return draw(st.sampled_from((Affine(matrix), field, Composite([field, Affine(matrix)]))))


def tried(name, call):
    """What the call returns; None where it refused in one line."""
    tally = counts.setdefault(name, [0, 0])
    try:
        result = call()
    except InputError as error:
        refusal = str(error)
    else:
        tally[0] += 1
        return result
    tally[1] += 1
    assert refusal
    assert "\n" not in refusal
    return None


@given(scan=scans())
@examples(20)
def test_features_are_finite_and_on_a_grid_over_the_image(scan):
    volume = tried("features", lambda: extract_features(scan, "mind"))
    if volume is not None:
        assert bool(volume.data.isfinite().all())
        assert tuple(volume.data.shape[1:]) == volume.grid.shape
        grid = Grid.from_sitk(scan)
        np.testing.assert_allclose(volume.grid.center, grid.center, atol=max(volume.grid.spacing))
        assert (volume.grid.extent >= grid.extent - 1e-3).all()


@given(scan=scans(), grid=grids(), transform=transforms())
@examples(25)
def test_apply_gives_finite_values_within_those_of_the_scan(scan, grid, transform):
    image = tried("apply", lambda: as_image(scan))
    if image is not None:
        moved = warp_image(image, transform, grid)
        assert tuple(moved.data.shape[1:]) == grid.shape
        low, high = (float(v) for v in image.data.aminmax())
        slack = 1e-4 * (high - low)
        assert low - slack <= float(moved.data.min())
        assert float(moved.data.max()) <= high + slack


@given(grid=grids(), target=grids(), transform=transforms(), seed=st.integers(0, 999), way=st.booleans())
@examples(25)
def test_label_maps_never_gain_a_label(grid, target, transform, seed, way):
    data = torch.from_numpy(np.random.default_rng(seed).choice([0, 1, 2, 7, 65_535], grid.shape))
    labels = LabelMap(data, grid)
    moved = warp_labels(labels, transform, target, "linear" if way else "nearest")
    assert set(moved.values) <= set(labels.values)
    counts.setdefault("labels", [0, 0])[0] += 1


@given(transform=transforms(), suffix=st.sampled_from((".h5", ".tfm")), seed=st.integers(0, 999))
@examples(15)
def test_a_transform_survives_its_file(transform, suffix, seed, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / f"transform{suffix}"
    write_transform(transform, path)
    points = np.random.default_rng(seed).uniform(-300, 300, (200, 3))
    np.testing.assert_allclose(read_transform(path).apply(points), transform.apply(points), atol=1e-4)
    counts.setdefault("transform files", [0, 0])[0] += 1


@given(fixed=scans(), moving=scans())
@examples(3)
def test_a_registration_is_finite_fold_free_and_on_the_fixed_grid(fixed, moving):
    result = tried("register", lambda: register(fixed, moving, preset="fast"))
    if result is not None:
        assert result.moved.grid.same_space(Grid.from_sitk(fixed))
        assert bool(result.moved.data.isfinite().all())
        assert result.report["folds_percent"] == 0
        corners = result.fixed.grid.to_physical(np.array([[0, 0, 0], np.array(result.fixed.grid.size) - 1]))
        assert np.isfinite(result.transform.apply(corners)).all()
        assert np.isfinite(result.inverse.apply(corners)).all()


@given(scan=scans(), seed=st.integers(0, 999), labels=st.sampled_from(((1,), (1, 2), (3, 200, 40_000), ())))
@examples(3)
def test_a_segmentation_has_only_the_labels_of_its_seeds(scan, seed, labels):
    grid, rng = Grid.from_sitk(scan), np.random.default_rng(seed)
    seeds = np.zeros(grid.shape, np.int32)
    for label in labels:
        seeds[rng.integers(grid.shape[0])][rng.random(grid.shape[1:]) < 0.3] = label
    result = tried("segment", lambda: segment(scan, (seeds, grid)))
    if result is not None:
        assert result.labels.grid.same_space(grid)
        assert set(result.labels.values) <= set(labels)
        assert bool(result.confidence.data.isfinite().all())
