"""Normal equations and the smooth solve, against numpy and SciPy doing the same the long way."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from SynthFoundationLib.registration.newton import PAIRS, apply_matrix, central_differences, normal_equations
from SynthFoundationLib.registration.smoothness import Smoothness, solve
from SynthFoundationLib.registration.warp import Warp

SHAPE = (5, 6, 7)


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_normal_equations_are_those_of_least_squares_at_each_voxel(channels, lattice):
    rng = np.random.default_rng(channels)
    fixed, moving = rng.normal(size=(2, channels, *SHAPE))
    displacement = rng.uniform(-1.5, 1.5, (3, *SHAPE))
    weight = rng.uniform(size=SHAPE)
    index = lattice(*SHAPE) + np.moveaxis(displacement, 0, -1)
    places = np.moveaxis(index, -1, 0)[::-1]
    warped = np.stack([ndimage.map_coordinates(m, places, order=1, mode="nearest") for m in moving])
    weight_inside = weight * ((index >= -0.5) & (index <= np.array(SHAPE[::-1]) - 0.5)).all(-1)
    residual, both = fixed - warped, (fixed + warped) / 2
    gradient = np.zeros((3, channels, *SHAPE))
    for a, axis in enumerate((3, 2, 1)):
        inner = tuple(slice(1, -1) if n == axis else slice(None) for n in range(4))
        gradient[(a, *inner)] = np.gradient(both, axis=axis)[inner]
    matrix = [(gradient[a] * gradient[b]).mean(0) * weight_inside for a, b in PAIRS]
    vector = (gradient * residual).mean(1) * weight_inside

    a, b, d, w = (torch.from_numpy(x).float() for x in (fixed, moving, displacement, weight[None]))
    found = normal_equations(a, Warp(b), d, w)

    np.testing.assert_allclose(found.matrix, matrix, atol=1e-4)
    np.testing.assert_allclose(found.vector, vector, atol=1e-4)


def test_the_vector_is_half_the_downhill_slope_of_the_error(pattern, lattice):
    """Where both images share their gradient, as near the solution, Gᵀ w r is −½ of the error's slope."""
    index = lattice(9, 9, 9)
    fixed, moving = pattern(index + np.array([0.02, 0.0, 0.0])), pattern(index)
    slopes = []
    for axis in range(3):
        step = np.eye(3)[axis] * 1e-3
        up, down = (((fixed - pattern(index + s)) ** 2).mean(0) for s in (step, -step))
        slopes.append(((up - down) / 2e-3).numpy())
    found = normal_equations(fixed, Warp(moving), None, torch.ones(1, 9, 9, 9))
    inner = (slice(None), slice(1, -1), slice(1, -1), slice(1, -1))
    expected = -0.5 * np.stack(slopes)[inner]
    error = np.abs(found.vector.numpy()[inner] - expected).max()
    assert error < 0.15 * np.abs(expected).max()  # central differences flatten waves of 9 voxels


def test_differences_vanish_at_the_border_and_on_thin_axes():
    thin = torch.arange(12.0).reshape(2, 2, 3)
    x, y, z = central_differences(thin)
    assert x[:, :, 1].eq(2).all()
    assert x[:, :, [0, 2]].eq(0).all()
    assert y.eq(0).all()
    assert z.eq(0).all()


def test_a_symmetric_matrix_is_applied_as_numpy_applies_it():
    rng = np.random.default_rng(0)
    entries, vector = rng.normal(size=(6, *SHAPE)), rng.normal(size=(3, *SHAPE))
    full = np.zeros((3, 3, *SHAPE))
    for entry, (a, b) in zip(entries, PAIRS, strict=True):
        full[a, b] = full[b, a] = entry
    found = apply_matrix(torch.from_numpy(entries), torch.from_numpy(vector))
    np.testing.assert_allclose(found, np.einsum("ab...,b...->a...", full, vector))


@pytest.mark.parametrize(("bending", "stretching"), [(0.0, 1.0), (10.0, 1.0), (2.0, 0.0)])
def test_the_solve_agrees_with_a_dense_one(bending, stretching):
    shape, rng = (3, 4, 5), np.random.default_rng(1)
    voxels = int(np.prod(shape))
    data = rng.normal(size=(voxels, 3, 4))
    data = data @ data.transpose(0, 2, 1) + 0.1 * np.eye(3)
    vector, strength = rng.normal(size=(3, voxels)), 0.7
    laplacian = np.zeros((voxels, voxels))
    for axis, n in enumerate(shape):
        line = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
        parts = [line if a == axis else np.eye(shape[a]) for a in range(3)]
        laplacian += np.kron(np.kron(parts[0], parts[1]), parts[2])
    smooth = bending * laplacian @ laplacian + stretching * laplacian
    dense = strength * np.kron(np.eye(3), smooth)
    for a in range(3):
        for b in range(3):
            dense[a * voxels : (a + 1) * voxels, b * voxels : (b + 1) * voxels] += np.diag(data[:, a, b])
    expected = np.linalg.solve(dense, vector.ravel()).reshape(3, *shape)

    matrix = torch.from_numpy(np.stack([data[:, a, b] for a, b in PAIRS])).reshape(6, *shape)
    right = torch.from_numpy(vector).reshape(3, *shape)
    found = solve(matrix, right, Smoothness(bending, stretching), strength, 400, tolerance=1e-9)

    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_nothing_to_do_is_no_step():
    matrix = torch.ones(6, 4, 4, 4)
    assert not solve(matrix, torch.zeros(3, 4, 4, 4), Smoothness(1.0, 1.0), 1.0, 10).any()
