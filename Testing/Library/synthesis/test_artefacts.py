import json
import random

import numpy as np
import pytest
import torch
from scipy import ndimage

from SynthFoundationLib.synthesis.artefacts import ARTEFACTS, apply, sample_artefacts
from SynthFoundationLib.synthesis.artefacts.chain import unit_range
from SynthFoundationLib.synthesis.artefacts.intensity import curve, noise
from SynthFoundationLib.synthesis.artefacts.kspace import gibbs, motion, spike
from SynthFoundationLib.synthesis.artefacts.resolution import coarse, gaussian


def volume(shape=(16, 18, 20), seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ARTEFACTS)
def test_every_artefact_changes_the_volume_reproducibly_and_keeps_the_input(name):
    x = volume()
    before = x.clone()
    changed = 0
    for seed in range(6):
        p = ARTEFACTS[name].sample(random.Random(seed))
        assert json.loads(json.dumps(p)) == p
        once, again = ARTEFACTS[name].apply(x, p), ARTEFACTS[name].apply(x, p)
        assert torch.equal(once, again)
        assert torch.isfinite(once).all()
        assert once.shape == x.shape
        changed += not torch.allclose(once, x)
    assert changed >= 4
    assert torch.equal(x, before)


def test_gaussian_blur_is_that_of_scipy_inside():
    x = volume((20, 20, 20))
    ours = gaussian(x, [1.0, 0.7, 1.4]).numpy()
    theirs = ndimage.gaussian_filter(x.numpy(), [1.0, 0.7, 1.4], truncate=8)
    np.testing.assert_allclose(ours[7:-7, 7:-7, 7:-7], theirs[7:-7, 7:-7, 7:-7], atol=2e-3)


def test_gibbs_equals_a_truncated_fourier_transform():
    x = volume((16, 16, 16))
    cut = 0.6
    spectrum = torch.fft.fftn(x)
    frequency = torch.fft.fftfreq(16).abs()
    keep = frequency < 0.5 * cut + 1e-9
    spectrum *= keep[:, None, None] & keep[None, :, None] & keep[None, None, :]
    expected = torch.fft.ifftn(spectrum).real
    assert torch.allclose(gibbs(x, {"cut": cut, "axes": [0, 1, 2]}), expected, atol=1e-5)


def test_a_spike_is_one_pair_of_points_in_k_space():
    out = spike(torch.zeros(16, 16, 16), {"waves": [[3, -2, 5, 0.4, 0.5]]})
    power = torch.fft.fftn(out).abs()
    assert int((power > 1).sum()) == 2
    assert power[3, -2, 5] == pytest.approx(0.25 * 16**3, rel=1e-3)


def test_motion_without_movement_changes_nothing():
    x = volume()
    still = motion(x, {"axis": 1, "edges": [0.1, 0.3], "shifts": [[0, 0, 0], [0, 0, 0]]})
    assert torch.allclose(still, x, atol=1e-5)


def test_thick_slices_vary_only_between_slices():
    x = volume((16, 16, 16))
    out = coarse(x, {"factors": [4.0, 1.0, 1.0], "gap": 1.0, "blocky": True})
    blocks = out.reshape(4, 4, 16, 16)
    assert torch.allclose(blocks, blocks[:, :1].expand_as(blocks), atol=1e-6)
    assert torch.equal(coarse(x, {"factors": [1.0] * 3, "gap": 1.0, "blocky": True}), x)


def test_a_tone_curve_goes_through_its_knots():
    knots = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).reshape(1, 1, 5)
    values = [0.1, 0.9, 0.3, 0.6, 0.2]
    assert torch.allclose(curve(knots, {"values": values}).flatten(), torch.tensor(values))
    assert curve(torch.tensor([0.125]).reshape(1, 1, 1), {"values": values}).item() == pytest.approx(0.5)


def test_rician_noise_of_nothing_has_the_rayleigh_mean():
    out = noise(torch.zeros(32, 32, 32), {"kind": "rician", "seed": 1, "size": 0.1})
    assert float(out.mean()) == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.02)


def test_the_chain_ends_in_the_unit_range_even_for_a_constant():
    for x in (volume() * 900 - 300, torch.full((8, 8, 8), 5.0)):
        out = apply(x, sample_artefacts(random.Random(0)))
        assert torch.isfinite(out).all()
        assert out.min() >= 0
        assert out.max() <= 1


def test_rescaling_ignores_single_outliers():
    x = volume((20, 20, 20))
    x[0, 0, 0] = 1e6
    assert float(unit_range(x).median()) == pytest.approx(0.5, abs=0.05)
