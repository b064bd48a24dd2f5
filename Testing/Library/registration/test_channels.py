"""How channels are weighed, against NumPy's own least squares with known errors."""

import numpy as np
import pytest
import torch

from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.registration.channels import SHRINKAGE, channel_mix, mixed
from SynthFoundationLib.registration.deformable import Level, Velocity, refine_velocity
from SynthFoundationLib.registration.newton import normal_equations
from SynthFoundationLib.registration.smoothness import Smoothness
from SynthFoundationLib.registration.warp import Warp

SHAPE = (12, 15, 18)
ERRORS = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 0.01]])


def pair(seed=0, shape=SHAPE, errors=ERRORS):
    """Features that differ by Gaussian errors with that covariance."""
    rng = np.random.default_rng(seed)
    fixed = rng.normal(size=(len(errors), *shape))
    noise = np.moveaxis(rng.multivariate_normal(np.zeros(len(errors)), errors, size=shape), -1, 0)
    return torch.from_numpy(fixed).float(), torch.from_numpy(fixed - noise).float()


def weight(shape=SHAPE):
    return torch.ones(1, *shape)


def test_the_mix_undoes_the_covariance_of_the_errors_up_to_the_shrinkage():
    mix = channel_mix(*pair(shape=(30, 30, 30)), weight((30, 30, 30))).numpy()
    expected = np.linalg.inv(ERRORS + SHRINKAGE * np.diag(np.diag(ERRORS)))
    found = mix.T @ mix
    np.testing.assert_allclose(found / np.trace(found), expected / np.trace(expected), atol=0.02)
    assert np.linalg.norm(mix) == pytest.approx(np.sqrt(3), rel=1e-5)


def test_errors_are_read_where_the_displacement_points_and_the_weight_is():
    """Moving features lie two voxels along i and one against k; a third of the image is nonsense."""
    fixed, moving = pair()
    moving = torch.roll(moving, (-1, 2), (1, 3))
    displacement = torch.zeros(3, *SHAPE)
    displacement[0], displacement[2] = 2.0, -1.0
    inner = weight()
    inner[:, :1] = inner[..., -2:] = 0
    moving[:, 8:] = 5.0
    inner[:, 9:] = 0
    found = channel_mix(fixed, moving, inner, displacement)
    aligned, wanted = pair(), weight()
    wanted[:, :1] = wanted[..., -2:] = 0
    wanted[:, 9:] = 0
    torch.testing.assert_close(found, channel_mix(*aligned, wanted), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("counts", [0.0, 1.0])
def test_images_that_do_not_differ_or_count_nowhere_weigh_channels_alike(counts):
    fixed, moving = pair()
    moving = fixed if counts else moving
    assert torch.equal(channel_mix(fixed, moving, counts * weight()), torch.eye(3))


def test_a_channel_without_errors_or_without_content_is_not_trusted_beyond_measure():
    fixed, moving = pair()
    fixed[2] = moving[2] = 1.0
    mix = channel_mix(fixed, moving, weight())
    assert torch.isfinite(mix).all()
    # The least variance counts as a thousandth of the mean.
    assert (mix.norm(dim=0)[2] / mix.norm(dim=0)[0]) ** 2 < 2e3


def test_equations_of_mixed_channels_are_those_of_channels_that_were_mixed_before():
    fixed, moving = pair()
    mix = torch.tensor([[1.0, 0.5, 0.0], [0.0, 2.0, -1.0], [0.3, 0.0, 1.0]])
    displacement = 0.3 * torch.ones(3, *SHAPE)
    found = normal_equations(fixed, Warp(moving), displacement, weight(), mix=mix)
    sides = mixed(mix, fixed), Warp(mixed(mix, moving))
    expected = normal_equations(*sides, displacement, weight())
    torch.testing.assert_close(found.matrix, expected.matrix)
    torch.testing.assert_close(found.vector, expected.vector)


def test_a_shift_is_found_better_when_a_noisy_channel_counts_less():
    """Two channels show the same shift, one of them under strong noise."""
    grid = Grid((24, 24, 24))
    axes = np.meshgrid(*[np.arange(24.0)] * 3, indexing="ij")

    def clean(shift):
        return np.sin((axes[2] + shift) / 2) * np.cos(axes[1] / 3) * np.sin(axes[0] / 2.5 + 1)

    rng = np.random.default_rng(0)
    noise = [rng.normal(size=(24, 24, 24)) for _ in range(2)]
    fixed = torch.from_numpy(np.stack((clean(1.0), clean(1.0) + 2 * noise[0]))).float()
    moving = torch.from_numpy(np.stack((clean(0.0), clean(0.0) + 2 * noise[1]))).float()
    velocity = Velocity(torch.zeros(3, 24, 24, 24), grid)
    level = Level(fixed, moving, torch.ones(1, 24, 24, 24), grid)
    found = refine_velocity(velocity, level, 1, 12, 40, Smoothness(1.0, 0.1)).on(grid).data
    inner = (slice(6, -6),) * 3
    assert (found[0][inner] - 1).abs().mean() < 0.1
