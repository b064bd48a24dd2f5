import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from SynthFoundationLib.synthesis.appearance import smooth3
from SynthFoundationLib.synthesis.fields import smooth_noise, spline

CPU = torch.device("cpu")


def test_a_spline_field_is_that_of_scipy():
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn((4, 5, 6), generator=generator)
    shape = (7, 9, 11)
    ours = spline(coefficients, shape).numpy()
    theirs = coefficients.double().numpy()
    for axis, n in enumerate(shape):
        cells = coefficients.shape[axis] - 3
        knots = np.arange(-3, cells + 4)
        x = (np.arange(n) + 0.5) / n * cells
        basis = np.stack([BSpline(knots, row, 3)(x) for row in np.eye(cells + 3)])
        theirs = np.moveaxis(np.tensordot(theirs, basis, (axis, 0)), -1, axis)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_smooth_noise_has_about_unit_variance():
    fields = smooth_noise(1, (9, 9, 9), (32, 32, 32), CPU, 8)
    assert 0.8 < float(fields.var()) < 1.2


def test_a_field_does_not_depend_on_the_resolution():
    fine = smooth_noise(5, (3, 3, 3), (64, 64, 64), CPU)[0]
    coarse = smooth_noise(5, (3, 3, 3), (32, 32, 32), CPU)[0]
    mean = torch.nn.functional.avg_pool3d(fine[None], 2)[0]
    assert float((mean - coarse).abs().max()) < 0.02


@pytest.mark.parametrize("center", [0.5, 0.7])
def test_three_tap_smoothing_keeps_the_mean_and_constants(center):
    volume = torch.rand((6, 7, 8), generator=torch.Generator().manual_seed(0))
    assert float(smooth3(volume, center).mean()) == pytest.approx(float(volume.mean()), abs=1e-5)
    assert torch.allclose(smooth3(torch.ones(4, 4, 4), center), torch.ones(4, 4, 4))
