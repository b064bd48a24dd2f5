"""The linear stage recovers maps that were applied by a formula."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from SynthFoundationLib.registration.linear import _strain, register_linear

SHAPE = (24, 28, 32)
CENTRE = (np.array(SHAPE[::-1]) - 1) / 2
CORNERS = np.array(np.meshgrid(*[(0, n - 1) for n in SHAPE[::-1]])).reshape(3, -1).T


def about_centre(linear, shift):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, CENTRE - linear @ CENTRE + shift
    return matrix


RIGID = about_centre(Rotation.from_euler("xyz", (4, -6, 5), degrees=True).as_matrix(), (1.5, -2.0, 1.0))
AFFINE = about_centre(
    Rotation.from_euler("xyz", (3, -4, 2), degrees=True).as_matrix()
    @ np.array([[1.06, 0.03, 0.0], [0.0, 0.95, -0.02], [0.02, 0.0, 1.04]]),
    (1.0, -1.5, 0.5),
)


def mapped(matrix, index):
    return index @ matrix[:3, :3].T + matrix[:3, 3]


def corner_error(found, truth):
    return np.linalg.norm(mapped(found, CORNERS) - mapped(truth, CORNERS), axis=1).max()


def images(truth, pattern, lattice):
    index = lattice(*SHAPE)
    return pattern(mapped(truth, index)), pattern(index), torch.ones(1, *SHAPE)


def test_a_rigid_map_is_recovered_and_stays_rigid(pattern, lattice):
    step = register_linear(*images(RIGID, pattern, lattice), "rigid", 25, 0.3, tolerance=1e-3)
    assert corner_error(step, RIGID) < 0.1
    np.testing.assert_allclose(step[:3, :3] @ step[:3, :3].T, np.eye(3), atol=1e-6)


def test_an_affine_map_is_recovered(pattern, lattice):
    step = register_linear(*images(AFFINE, pattern, lattice), "affine", 30, 0.0, tolerance=1e-3)
    assert corner_error(step, AFFINE) < 0.1


def test_stiffness_holds_back_stretch(pattern, lattice):
    strain = []
    for stiffness in (0.0, 1.0, 1e4):
        linear = register_linear(*images(AFFINE, pattern, lattice), "affine", 30, stiffness)[:3, :3]
        strain.append(np.abs(np.linalg.svd(linear)[1] - 1).max())
    assert strain[0] > strain[1] > strain[2]
    assert strain[2] < 0.15 * strain[0]


def test_what_earlier_rounds_stretched_is_held_back_as_well(pattern, lattice):
    """Rounds of one step that know of the earlier ones end where one round of many steps does."""
    fixed, _, weight = images(AFFINE, pattern, lattice)
    index = lattice(*SHAPE)

    def in_rounds(stiffness, remembered):
        done = np.eye(4)
        for _ in range(30):
            moved = pattern(mapped(done, index))
            before = done if remembered else None
            done = done @ register_linear(fixed, moved, weight, "affine", 1, stiffness, done_before=before)
        return done

    at_once = register_linear(*images(AFFINE, pattern, lattice), "affine", 30, 3.0, tolerance=1e-3)
    assert corner_error(at_once, AFFINE) > 0.5
    assert corner_error(in_rounds(3.0, remembered=True), at_once) < 0.15
    assert corner_error(in_rounds(3.0, remembered=False), AFFINE) < 0.15


def test_stretch_and_its_opposite_are_held_back_alike():
    for scale in (0.5, 0.8, 1.1):
        there, back = _strain(np.diag([scale, 1, 1])), _strain(np.diag([1 / scale, 1, 1]))
        np.testing.assert_allclose(there, -back, atol=1e-12)
        np.testing.assert_allclose(there, [np.log(scale), 0, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(_strain(RIGID[:3, :3]), 0, atol=1e-12)


def test_what_has_no_weight_does_not_matter(pattern, lattice):
    fixed, moving, weight = images(RIGID, pattern, lattice)
    spoiled = fixed.clone()
    spoiled[:, :10] = pattern(lattice(*SHAPE), seed=7)[:, :10]
    weight[:, :11] = 0
    with_mask = register_linear(spoiled, moving, weight, "rigid", 25, 0.3, tolerance=1e-3)
    without = register_linear(spoiled, moving, torch.ones_like(weight), "rigid", 25, 0.3, tolerance=1e-3)
    assert corner_error(with_mask, RIGID) < 0.2
    assert corner_error(without, RIGID) > 2 * corner_error(with_mask, RIGID)


@pytest.mark.parametrize("kind", ["rigid", "affine"])
def test_images_that_agree_or_hold_nothing_stay_where_they_are(kind, pattern, lattice):
    same = pattern(lattice(*SHAPE))
    for image in (same, torch.zeros_like(same)):
        step = register_linear(image, image, torch.ones(1, *SHAPE), kind, 5, 0.3)
        assert corner_error(step, np.eye(4)) < 1e-3
