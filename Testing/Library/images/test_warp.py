"""Warping against SimpleITK's resampler."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.geometry import Affine, Composite, DisplacementField, Grid
from SynthFoundationLib.geometry import to_sitk as transform_to_sitk
from SynthFoundationLib.images import Image, LabelMap, to_sitk, warp_image, warp_labels

MOVING = Grid((18, 16, 14), (1.0, 1.2, 2.0), (-9.0, 3.0, 1.0), (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
FIXED = Grid((15, 17, 12), (1.1, 1.1, 1.9), (-14.0, 6.0, 2.0))


@pytest.fixture
def transform():
    smooth = torch.nn.functional.interpolate(
        torch.randn(1, 3, 3, 3, 3, generator=torch.Generator().manual_seed(0)), FIXED.shape, mode="trilinear"
    )
    matrix = np.eye(4)
    matrix[:3, :3] += 0.05 * np.random.default_rng(0).standard_normal((3, 3))
    return Composite([DisplacementField(smooth[0], FIXED), Affine(matrix)])


def resampled(image, transform, interpolator, default):
    reference = to_sitk(Image(torch.zeros(FIXED.shape), FIXED))
    return sitk.GetArrayFromImage(
        sitk.Resample(image, reference, transform_to_sitk(transform), interpolator, default, sitk.sitkFloat32)
    )


def test_images_are_resampled_as_simpleitk_does_and_filled_with_their_least_value(transform):
    image = Image(torch.randn(MOVING.shape, generator=torch.Generator().manual_seed(1)) - 500, MOVING)
    warped = warp_image(image, transform, FIXED)
    expected = resampled(to_sitk(image), transform, sitk.sitkLinear, float(image.data.min()))
    np.testing.assert_allclose(warped.data[0].numpy(), expected, atol=2e-3)
    assert warped.grid == FIXED


def test_nearest_labels_are_those_of_simpleitk(transform):
    labels = LabelMap(torch.randint(0, 9, MOVING.shape, generator=torch.Generator().manual_seed(2)), MOVING)
    image = to_sitk(Image(labels.data, MOVING))
    expected = resampled(image, transform, sitk.sitkNearestNeighbor, 0)
    warped = warp_labels(labels, transform, FIXED, "nearest").data.numpy()
    assert (warped == expected).mean() > 0.995  # ties between voxels are broken differently


def test_linear_labels_go_to_whoever_covers_most(transform):
    labels = LabelMap(torch.randint(0, 4, MOVING.shape, generator=torch.Generator().manual_seed(2)), MOVING)
    covers = [
        resampled(to_sitk(Image(labels.data == value, MOVING)), transform, sitk.sitkLinear, float(value == 0))
        for value in range(4)
    ]
    warped = warp_labels(labels, transform, FIXED).data.numpy()
    ranked = np.sort(covers, axis=0)
    clear = ranked[-1] - ranked[-2] > 1e-3
    np.testing.assert_array_equal(warped[clear], np.argmax(covers, axis=0)[clear])


def test_of_equal_shares_the_least_label_wins_and_background_none():
    data = torch.zeros(1, 1, 6, dtype=torch.int32)
    data[0, 0] = torch.tensor([0, 7, 0, 4, 2, 2])
    half = Grid((5, 1, 1), origin=(0.5, 0.0, 0.0))
    warped = warp_labels(LabelMap(data, Grid((6, 1, 1))), None, half)
    assert warped.data[0, 0].tolist() == [7, 7, 4, 2, 2]


def test_names_and_large_values_survive_the_identity():
    data = torch.zeros(FIXED.shape, dtype=torch.int32)
    data[3:8, 4:9, 5:10] = 65_535
    labels = LabelMap(data, FIXED, {65_535: "tumour"}, {65_535: (1.0, 0.0, 0.0)})
    for interpolation in ("linear", "nearest"):
        same = warp_labels(labels, None, FIXED, interpolation)
        torch.testing.assert_close(same.data, data)
        assert (same.names, same.colors) == (labels.names, labels.colors)
