"""The demo's scans are of one head, in different contrasts, and the truth that comes with them is true."""

import numpy as np
import pytest
import torch

from SynthFoundationLib.demo import make_pair, make_small_pair
from SynthFoundationLib.geometry import Affine, Composite, grid_points, log_jacobian_statistics
from SynthFoundationLib.images import foreground, warp_image


def mutual_information(a, b, bins=32):
    counts = np.histogram2d(a, b, bins)[0] / len(a)
    apart = counts.sum(0, keepdims=True) * counts.sum(1, keepdims=True)
    some = counts > 0
    return (counts[some] * np.log(counts[some] / apart[some])).sum()


@pytest.mark.parametrize("make", [make_small_pair, pytest.param(make_pair, marks=pytest.mark.slow)])
def test_the_true_transform_aligns_the_scans_better_than_any_shift_of_it(make):
    fixed, moving, truth = make(3)
    inside = foreground(fixed)

    def agreement(transform):
        moved = warp_image(moving, transform, fixed.grid)
        return mutual_information(fixed.data[0][inside].numpy(), moved.data[0][inside].numpy())

    best = agreement(truth)
    for axis in range(3):
        for shift in (-2.0, 2.0):
            step = np.eye(4)
            step[axis, 3] = shift
            assert agreement(Composite([Affine(step), truth])) < best
    assert agreement(None) < 0.7 * best


def test_the_same_seed_is_the_same_pair_and_another_is_another():
    first, again, other = make_small_pair(1), make_small_pair(1), make_small_pair(2)
    torch.testing.assert_close(first[0].data, again[0].data, rtol=0, atol=0)
    torch.testing.assert_close(first[1].data, again[1].data, rtol=0, atol=0)
    assert not torch.equal(first[0].data, other[0].data)


def test_contrasts_differ_and_the_deformation_is_real_but_free_of_folds():
    fixed, moving, truth = make_small_pair()
    points = grid_points(fixed.grid)[foreground(fixed)]
    moved = (truth(points) - points).norm(dim=-1)
    assert moved.mean() > 4
    field = truth.transforms[0]
    assert log_jacobian_statistics(field.data, field.grid)["folds_percent"] == 0
    aligned = warp_image(moving, truth, fixed.grid).data[0][foreground(fixed)]
    assert np.corrcoef(fixed.data[0][foreground(fixed)].numpy(), aligned.numpy())[0, 1] < 0.5
