"""Foreground and normalisation on phantoms whose body is known, in the units of every modality."""

import numpy as np
import pytest
import torch

from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, foreground, normalise, read_image

GRID = Grid((48, 44, 40), (3.0, 3.0, 4.0))


def body():
    """An ellipsoid with a hollow inside, such as a lung."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    solid = (x / 0.7) ** 2 + (y / 0.6) ** 2 + (z / 0.75) ** 2 < 1
    hollow = ((x - 0.2) / 0.2) ** 2 + (y / 0.25) ** 2 + (z / 0.3) ** 2 < 1
    return solid, hollow


def phantom(tissue=100.0, air=0.0, spread=12.0, noise=2.0, seed=0):
    """Smooth tissue of two kinds in air, with noise everywhere."""
    rng = np.random.default_rng(seed)
    solid, hollow = body()
    kinds = np.sin(np.arange(GRID.shape[0]) / 2)[:, None, None] * spread
    volume = np.where(solid & ~hollow, tissue + kinds, air)
    return volume + rng.normal(0, noise, GRID.shape), solid


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def image(volume):
    return Image(torch.from_numpy(np.asarray(volume, np.float32)), GRID)


def mri():
    volume, solid = phantom()
    return np.abs(volume), solid


def ct():
    return phantom(tissue=40.0, air=-1000.0, spread=60.0, noise=15.0)


def padded_ct():
    volume, solid = ct()
    _, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    return np.where(x**2 + y**2 > 0.95, -3024.0, volume), solid


def stripped():
    volume, solid = phantom()
    return np.where(solid, volume, 0.0), solid


def ringing_around_zero():
    volume, solid = stripped()
    volume[tuple(np.argwhere(solid)[::500].T)] = -30.0
    return volume, solid


def with_metal():
    volume, solid = ct()
    volume[18:20, 20:23, 20:23] = 30_000.0
    return volume, solid


SCANS = [mri, ct, padded_ct, stripped, ringing_around_zero, with_metal]


@pytest.mark.parametrize("scan", SCANS)
def test_the_body_is_found_with_its_hollows(scan):
    volume, solid = scan()
    assert dice(foreground(image(volume)).numpy(), solid) > 0.95


@pytest.mark.parametrize("scan", SCANS)
def test_tissue_fills_the_scale_and_air_is_black(scan):
    volume, solid = scan()
    scaled = normalise(image(volume))[0].numpy()
    inside = np.percentile(scaled[solid & ~body()[1]], (10, 90))
    assert scaled.min() == 0
    assert scaled.max() == 1
    assert inside[1] - inside[0] > 0.1
    assert np.median(scaled[~solid]) < 0.05


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize(("scale", "offset"), [(1e6, 0), (1e-4, 0), (1, 1024)])
def test_unit_and_offset_make_no_difference(scan, scale, offset):
    volume, _ = scan()
    torch.testing.assert_close(
        normalise(image(volume * scale + offset)), normalise(image(volume)), rtol=0, atol=2e-3
    )


def test_more_background_makes_no_difference():
    volume, _ = stripped()
    wide = Image(torch.from_numpy(np.pad(volume, 20)), Grid(tuple(n + 40 for n in GRID.size), GRID.spacing))
    inner = normalise(wide)[0, 20:-20, 20:-20, 20:-20]
    torch.testing.assert_close(inner, normalise(image(volume))[0], rtol=0, atol=1e-2)


@pytest.mark.parametrize("values", [(100.0, 20.0), (-20.0, 70.0)])
def test_a_crop_without_background_is_foreground_everywhere(values):
    volume = np.random.default_rng(0).normal(*values, GRID.shape)
    volume[10:20, 10:20, 10:20] += 600  # bone
    assert foreground(image(volume)).all()


def test_each_channel_has_its_own_scale():
    (bright, _), (dim, _) = mri(), ct()
    both = Image(torch.from_numpy(np.stack([bright, dim])), GRID)
    scaled = normalise(both, foreground(both))
    torch.testing.assert_close(scaled[1], normalise(image(dim))[0], rtol=0, atol=0.05)


def test_a_mask_sets_the_scale():
    volume, solid = mri()
    mask = torch.from_numpy(solid)
    scaled = normalise(image(volume), mask)
    torch.testing.assert_close(scaled, normalise(image(volume * 3), mask), rtol=0, atol=1e-5)


def test_two_values_are_black_and_white():
    assert sorted(normalise(image(body()[0] * 7.0)).unique().tolist()) == [0, 1]


@pytest.mark.real_data
def test_real_scans_fill_the_scale(real_data):
    scans = [
        "brain_contrasts_mr/001/t2.nii.gz",
        "brain_labels_mr/flair.nii.gz",
        "headneck_ct/images/001.nii.gz",
        "spine_ct_mr/ct.nii.gz",
        "spine_ct_mr/mr.nii.gz",
        "hippocampus_mr/images/007.nii.gz",
    ]
    for name in scans:
        scan = read_image(real_data / name)
        mask = foreground(scan)
        scaled = normalise(scan, mask)[0][mask]
        low, high = scaled.quantile(torch.tensor([0.1, 0.9])) if len(scaled) < 1e7 else (0, 1)
        assert 0.1 < scaled.mean() < 0.7, name
        assert high - low > 0.15, name
        assert (mask.float().mean() > 0.99) == name.startswith(("spine", "hippocampus")), name
