"""What cannot be registered is refused with what to do about it."""

import numpy as np
import pytest
import torch

from SynthFoundationLib.errors import InputError, WeightsError
from SynthFoundationLib.geometry import DisplacementField, Grid, grid_points
from SynthFoundationLib.images import Image, LabelMap
from SynthFoundationLib.registration import RegistrationSession, register

GRID = Grid((8, 8, 8))
SCAN = Image(torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(0)), GRID)
POINTS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [2.0, 6.0, 1.0]])


def empty_mask():
    return LabelMap(torch.zeros(8, 8, 8, dtype=torch.int32), GRID)


def mask_elsewhere():
    far = Grid((8, 8, 8), origin=(500.0, 0.0, 0.0))
    return LabelMap(torch.ones(8, 8, 8, dtype=torch.int32), far)


def folding():
    return DisplacementField(-2 * grid_points(GRID).movedim(-1, 0), GRID)


@pytest.mark.parametrize(
    ("moving", "options", "told"),
    [
        ([SCAN, SCAN], {}, "1 contrasts, the moving 2; give the same contrasts"),
        (SCAN, {"fixed_landmarks": POINTS}, "one image only; give the same places in the other"),
        (SCAN, {"moving_landmarks": POINTS}, "one image only; give the same places in the other"),
        (
            SCAN,
            {"fixed_landmarks": POINTS, "moving_landmarks": POINTS[:2]},
            "3 fixed and 2 moving landmarks cannot be paired; give both sides",
        ),
        (SCAN, {"preset": "slow"}, "'slow' is unknown; allowed are fast, default, accurate"),
        (SCAN, {"transform": "elastic"}, "'elastic'; allowed are rigid, affine, deformable"),
        (SCAN, {"features": "sift"}, "allowed are"),
        (SCAN, {"fixed_mask": empty_mask()}, "the fixed mask is empty.* mark the region"),
        (SCAN, {"moving_mask": mask_elsewhere()}, "the mask of the moving image is empty inside the image"),
        (Image(torch.ones(8, 8, 8), GRID), {}, "the moving image is constant .* give an image"),
        (Image(SCAN.data * torch.nan, GRID), {}, "the moving image has 512 voxels .* NaN.* replace"),
        ("none.nii.gz", {}, "none.nii.gz does not exist"),
        (SCAN.data, {}, "the moving image is given as Tensor; give a path"),
        (SCAN, {"initial_transform": "none.h5"}, "none.h5"),
        (SCAN, {"initial_transform": folding()}, "no inverse.* give the file of the inverse"),
    ],
)
def test_input_that_cannot_be_used_is_one_clear_error(moving, options, told):
    with pytest.raises(InputError, match=told):
        register(SCAN, moving, **options)


def test_a_transform_that_cannot_be_inverted_is_refused_before_the_work():
    with pytest.raises(InputError, match="no inverse"):
        RegistrationSession(SCAN, SCAN, initial_transform=folding())


def test_unknown_weights_are_named():
    with pytest.raises(WeightsError, match="no-such-weights"):
        register(SCAN, SCAN, features="learned", weights="no-such-weights")
