"""Displacement fields of known inverse, and fields that have none."""

import numpy as np
import pytest
import torch

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.geometry import DisplacementField, Grid, grid_points

GRID = Grid((24, 22, 20), (1.0, 1.2, 1.5), (-11.5, -12.6, -14.25))


def stretched(factor):
    """y = factor · x about the middle of the grid, as a displacement field."""
    return DisplacementField(((factor - 1) * grid_points(GRID)).movedim(-1, 0), GRID)


@pytest.mark.parametrize("factor", [0.4, 0.8, 1.5, 2.5, 3.5])
def test_the_inverse_of_a_stretch_is_the_stretch_by_the_reciprocal(factor):
    points = np.random.default_rng(0).uniform(-6, 6, (50, 3)) / max(1, factor) * min(1, factor)
    np.testing.assert_allclose(stretched(factor).inverse().apply(points * factor), points, atol=0.02)


@pytest.mark.parametrize("factor", [-1.5, -0.5, 0.0])
def test_a_field_that_folds_is_refused(factor):
    with pytest.raises(InputError, match=r"no inverse: .* fold or tear; give the file of the inverse"):
        stretched(factor).inverse()


def test_a_field_that_came_with_its_inverse_is_not_solved_again():
    field = DisplacementField(torch.ones(3, *GRID.shape), GRID, 7 * torch.ones(3, *GRID.shape))
    assert float(field.inverse().data.mean()) == 7.0


@pytest.mark.parametrize("size", [(8, 8, 1), (8, 1, 8), (2, 8, 8)])
def test_a_field_of_one_slice_has_an_inverse(size):
    grid = Grid(size)
    data = torch.zeros(3, *grid.shape)
    data[1] = 1.5
    middle = grid.to_physical((np.array(size) - 1) / 2)[None]
    np.testing.assert_allclose(DisplacementField(data, grid).inverse().apply(middle), middle - [0, 1.5, 0])
