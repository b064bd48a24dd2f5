"""Colours from features, against NumPy's singular values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.features.pca import features_to_rgb


def mixed(sides: tuple[int, int, int], seed: int) -> torch.Tensor:
    """Six channels that mix three independent ones of clearly different strength."""
    random = np.random.default_rng(seed)
    parts = random.normal(size=(3, *sides)) * np.array([5, 2, 0.7]).reshape(3, 1, 1, 1)
    mixing = np.random.default_rng(9).normal(size=(6, 3))
    return torch.tensor(np.einsum("ck,kdhw->cdhw", mixing, parts), dtype=torch.float32)


def test_colours_are_the_components_that_numpy_finds():
    features = mixed((8, 9, 10), 0)
    (rgb,) = features_to_rgb([features])
    flat = features.flatten(1).numpy().T.astype(float)
    centred = flat - flat.mean(0)
    _, _, rows = np.linalg.svd(centred, full_matrices=False)
    for colour, row in zip(rgb, rows, strict=False):
        score = centred @ (row * np.sign(row[np.abs(row).argmax()]))
        low, high = np.quantile(score, (0.01, 0.99))
        expected = np.clip((score - low) / (high - low), 0, 1).reshape(8, 9, 10)
        np.testing.assert_allclose(colour.numpy(), expected, atol=1e-4)


def test_equal_features_have_equal_colours_in_both_volumes():
    fixed = mixed((8, 9, 10), 0)
    moving = torch.cat([fixed[:, :, :, 5:], mixed((8, 9, 3), 1)], dim=3)
    first, second = features_to_rgb([fixed, moving])
    torch.testing.assert_close(first[:, :, :, 5:], second[:, :, :, :5])
    assert first.min() == 0
    assert first.max() == 1


def test_mask_decides_what_is_asked():
    features = mixed((8, 8, 8), 0)
    mask = torch.zeros(8, 8, 8, dtype=torch.bool)
    mask[2:6] = True
    (masked,) = features_to_rgb([features], [mask])
    (alone,) = features_to_rgb([features[:, 2:6]])
    torch.testing.assert_close(masked[:, 2:6], alone)


def test_one_channel_gives_shades_of_one_colour():
    (rgb,) = features_to_rgb([torch.rand(1, 4, 4, 4)])
    assert rgb[0].std() > 0
    assert torch.equal(rgb[1:], torch.zeros(2, 4, 4, 4))


def test_constant_features_give_finite_colours():
    (rgb,) = features_to_rgb([torch.ones(4, 3, 3, 3)])
    assert rgb.isfinite().all()


def test_volumes_that_do_not_compare_are_refused():
    with pytest.raises(InputError, match="equally many channels"):
        features_to_rgb([torch.rand(3, 2, 2, 2), torch.rand(4, 2, 2, 2)])
    with pytest.raises(InputError, match="masks with voxels"):
        features_to_rgb([torch.rand(3, 2, 2, 2)], [torch.zeros(2, 2, 2, dtype=torch.bool)])
