"""Landmarks against SciPy, and folds against the definition."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from SynthFoundationLib.geometry import Affine, DisplacementField, Grid
from SynthFoundationLib.geometry.fields import exponential
from SynthFoundationLib.registration.deformable import Level, Velocity, refine_velocity
from SynthFoundationLib.registration.folding import unfolded
from SynthFoundationLib.registration.landmarks import (
    landmark_error,
    pull_of_landmarks,
    rigid_from_landmarks,
)
from SynthFoundationLib.registration.smoothness import Smoothness

RNG = np.random.default_rng(0)
TURN = Rotation.from_euler("xyz", (20, -35, 50), degrees=True)
SHIFT = np.array([30.0, -12.0, 7.0])


@pytest.mark.parametrize("count", [3, 4, 20])
def test_landmarks_give_the_rigid_transform_that_scipy_finds(count):
    fixed = RNG.uniform(-50, 50, (count, 3))
    moving = TURN.apply(fixed) + SHIFT + RNG.normal(0, 1.5, (count, 3))
    found = rigid_from_landmarks(fixed, moving)
    expected, _ = Rotation.align_vectors(moving - moving.mean(0), fixed - fixed.mean(0))
    np.testing.assert_allclose(found.matrix[:3, :3], expected.as_matrix(), atol=1e-6)
    np.testing.assert_allclose(found.apply(fixed).mean(0), moving.mean(0), atol=1e-9)


def test_mirrored_landmarks_never_give_a_reflection():
    fixed = RNG.uniform(-50, 50, (8, 3))
    found = rigid_from_landmarks(fixed, fixed * (-1, 1, 1))
    assert np.linalg.det(found.matrix[:3, :3]) == pytest.approx(1)


@pytest.mark.parametrize(
    "fixed",
    [
        np.array([[1.0, 2.0, 3.0]]),
        np.array([[0.0, 0, 0], [10, 0, 0]]),
        np.outer(np.arange(5.0), (1, 2, 3)),
        np.ones((4, 3)),
    ],
    ids=["one", "two", "on a line", "all in one place"],
)
def test_landmarks_that_fix_no_rotation_give_the_shift(fixed):
    found = rigid_from_landmarks(fixed, fixed + SHIFT)
    np.testing.assert_allclose(found.matrix[:3, :3], np.eye(3))
    np.testing.assert_allclose(found.matrix[:3, 3], SHIFT)


def test_the_error_is_a_mean_distance():
    fixed = np.zeros((2, 3))
    assert landmark_error(Affine(), fixed, np.array([[3.0, 4, 0], [0, 0, 1]])) == pytest.approx(3)


def test_landmarks_bend_what_the_images_do_not_show(pattern, lattice):
    """Two unrelated noisy images hold nothing to align: what moves is moved by the landmarks."""
    n = 24
    grid = Grid((n, n, n), (2.0, 2.0, 2.0), (5.0, -3.0, 8.0), (0.6, -0.8, 0, 0.8, 0.6, 0, 0, 0, 1))
    level = Level(*(pattern(lattice(n, n, n), seed=s) for s in (1, 2)), torch.ones(1, n, n, n), grid)
    fixed = grid.to_physical([[8.0, 8.0, 8.0], [15.2, 15.7, 9.1], [12.0, 9.3, 16.0]])
    targets = fixed + np.array([[3.0, 0, 0], [0, -3.0, 0], [0, 0, 3.0]])
    velocity = refine_velocity(
        Velocity(torch.zeros(3, *grid.shape), grid), level, 1, 4, 40, Smoothness(10.0, 1.0),
        pull_of_landmarks(fixed, targets, 1e4),
    )  # fmt: skip
    displacement = exponential(velocity.data, velocity.grid)
    transform = DisplacementField(displacement, velocity.grid)
    assert landmark_error(Affine(), fixed, targets) == pytest.approx(3)
    assert landmark_error(transform, fixed, targets) < 0.5


def determinants(displacement, grid):
    """Jacobian determinants at inner voxels by numpy's differences."""
    rows = [np.gradient(u, grid.spacing[0])[::-1] for u in displacement.numpy()]
    jacobian = np.moveaxis(np.array(rows), (0, 1), (-2, -1)) + np.eye(3)
    return np.linalg.det(jacobian)[1:-1, 1:-1, 1:-1]


def test_folds_go_and_the_rest_stays():
    grid = Grid((24, 24, 24), (2.0, 2.0, 2.0))
    data = torch.zeros(3, 24, 24, 24)
    noise = torch.randn(3, 7, 7, 7, generator=torch.Generator().manual_seed(3))
    data[:, 3:10, 3:10, 3:10] = 8 * noise
    data[0, 16:22, 16:22, 16:22] = 0.3
    before = Velocity(data, grid)
    assert (determinants(exponential(data, grid), grid) <= 0).any()
    after = unfolded(before).velocity
    for sign in (1, -1):
        assert determinants(exponential(sign * after.data, grid), grid).min() > 0
    assert torch.equal(after.data[:, 16:, 16:, 16:], data[:, 16:, 16:, 16:])


def test_a_gentle_velocity_is_left_alone():
    grid = Grid((12, 12, 12))
    data = 0.2 * torch.randn(3, 12, 12, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unfolded(Velocity(data, grid)).velocity.data, data)
