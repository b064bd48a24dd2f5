"""One pair in other clothes: what the header or the sampling says must not change where things end."""

import numpy as np
import pytest

from SynthFoundationLib.geometry import Affine, Composite, Grid, resample
from SynthFoundationLib.images import Image
from SynthFoundationLib.registration import register


def on_matrix(data, matrix):
    """`data` as an image whose 4×4 index → mm matrix is this one."""
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    size = tuple(data.shape[:0:-1])
    return Image(data.contiguous(), Grid(size, spacing, matrix[:3, 3], (matrix[:3, :3] / spacing).ravel()))


def reordered(image, order, flipped):
    """The same voxels in the same places, stored in another order."""
    data = image.data.permute(0, *(3 - order[2 - n] for n in range(3)))
    into = np.zeros((4, 4))
    into[3, 3] = 1
    for new, old in enumerate(order):
        into[old, new] = -1 if flipped[new] else 1
        into[old, 3] = image.grid.size[old] - 1 if flipped[new] else 0
    data = data.flip([3 - n for n in range(3) if flipped[n]])
    return on_matrix(data, image.grid.matrix @ into)


def cropped(image, start, stop):
    (i, j, k), (x, y, z) = start, stop
    return Image(image.data[:, k:z, j:y, i:x].contiguous(), image.grid.cropped(start, stop))


def resampled(image, spacing):
    grid = image.grid.with_spacing(spacing)
    return Image(resample(image.data, image.grid, grid, fill=None, antialias=True), grid)


def lying_elsewhere(axis=0, degrees=0.0, shift=(0.0, 0.0, 0.0)):
    """4×4: a turn about the origin, then a shift, as a wrong header would have it."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    angle, matrix = np.deg2rad(degrees), np.eye(4)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[b, a], matrix[a, b] = np.sin(angle), -np.sin(angle)
    matrix[:3, 3] = shift
    return matrix


def apart(one, other, body):
    return np.linalg.norm(one.apply(body) - other.apply(body), axis=1)


def test_reordering_keeps_every_voxel_in_its_place(pair):
    moving = pair[1]
    other = reordered(moving, (2, 0, 1), (1, 0, 1))
    back = resample(other.data, other.grid, moving.grid, fill=None)
    np.testing.assert_allclose(back, moving.data, atol=0.1)


@pytest.mark.parametrize(
    ("order", "flipped"),
    [
        ((2, 0, 1), (0, 1, 0)),
        pytest.param((0, 1, 2), (1, 1, 0), marks=pytest.mark.slow),
        pytest.param((1, 0, 2), (1, 1, 1), marks=pytest.mark.slow),
    ],
)
def test_the_order_of_voxels_does_not_matter(pair, body, result, order, flipped):
    found = register(pair[0], reordered(pair[1], order, flipped))
    assert apart(found.transform, result.transform, body).max() < 0.1


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        pytest.param((0, 0, 8), (52, 52, 52), id="below"),
        pytest.param((14, 0, 0), (52, 52, 52), id="side", marks=pytest.mark.slow),
    ],
)
def test_a_smaller_field_of_view_ends_in_the_same_place(pair, body, result, start, stop):
    found = register(pair[0], cropped(pair[1], start, stop))
    assert apart(found.transform, result.transform, body).mean() < 1


@pytest.mark.parametrize(
    "spacing",
    [
        pytest.param((2, 2, 5), id="thick slices"),
        pytest.param((1.5, 4, 2), id="thick columns", marks=pytest.mark.slow),
    ],
)
def test_anisotropic_voxels_end_in_the_same_place(pair, body, result, spacing):
    found = register(pair[0], resampled(pair[1], spacing))
    assert apart(found.transform, result.transform, body).mean() < 1


@pytest.mark.slow
def test_a_coarse_fixed_image_ends_in_the_same_place(pair, body, result):
    found = register(resampled(pair[0], (2, 2, 5)), pair[1])
    assert apart(found.transform, result.transform, body).mean() < 1


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(lying_elsewhere(shift=(80, -80, 80)), id="80 mm away"),
        pytest.param(lying_elsewhere(2, 45), id="45° about z", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_header_is_seen_through(pair, body, result, elsewhere):
    moving = pair[1]
    found = register(pair[0], on_matrix(moving.data, elsewhere @ moving.grid.matrix))
    expected = Composite([result.transform, Affine(elsewhere)])
    assert apart(found.transform, expected, body).mean() < 1
