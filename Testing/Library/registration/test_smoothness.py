"""The smoothness operator against SciPy's Laplacian, and the solve against the equations it is to satisfy."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from SynthFoundationLib.registration import smoothness
from SynthFoundationLib.registration.newton import apply_matrix
from SynthFoundationLib.registration.smoothness import Smoothness, solve


def field(*shape):
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("at_once", [1, 200, 10**6], ids=["slice by slice", "some slices", "all at once"])
@pytest.mark.parametrize(("bending", "stretching"), [(3.0, 0.5), (0.0, 2.0), (1.5, 0.0)])
def test_the_operator_is_bending_and_stretching(monkeypatch, at_once, bending, stretching):
    monkeypatch.setattr(smoothness, "VOXELS_AT_ONCE", at_once)
    u = field(7, 9, 8)
    once = [-ndimage.laplace(part, mode="constant") for part in u.double().numpy()]
    twice = [-ndimage.laplace(part, mode="constant") for part in once]
    found = Smoothness(bending, stretching)(u)
    expected = bending * np.array(twice) + stretching * np.array(once)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_solution_satisfies_the_equations():
    entries, right = field(6, 8, 7), field(6, 8, 7)
    rows = torch.cat((entries[:1] ** 2 + 2, entries[:2] / 3, entries[1:2] ** 2 + 2, entries[2:3] / 3))
    matrix = torch.cat((rows, entries[2:3] ** 2 + 2))  # in the order xx, xy, xz, yy, yz, zz
    smooth = Smoothness(0.5, 0.2)
    found = solve(matrix, right, smooth, 1.5, 100, tolerance=1e-5)
    left = apply_matrix(matrix, found) + 1.5 * smooth(found)
    np.testing.assert_allclose(left, right, atol=1e-3)
