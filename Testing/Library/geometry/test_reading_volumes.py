"""Fast ways of reading volumes, against SciPy, NumPy and SimpleITK doing it the plain way."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from SynthFoundationLib.geometry import Affine, Grid, resample, sampling
from SynthFoundationLib.geometry import lookup as lookup_module
from SynthFoundationLib.geometry.fields import warp_by_voxels
from SynthFoundationLib.geometry.lookup import Lookup, pays
from SynthFoundationLib.geometry.sampling import sample_at_index
from SynthFoundationLib.geometry.turns import turned

SHAPES = [(5, 6, 7), (1, 4, 9), (8, 1, 1), (3, 40, 50)]


def scipy_values(volume, index):
    places = np.moveaxis(np.asarray(index, float), -1, 0)[::-1]
    return np.stack([ndimage.map_coordinates(c, places, order=1, mode="nearest") for c in volume.numpy()])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3, 12])
def test_a_lookup_interpolates_as_scipy_does_also_outside(shape, channels, monkeypatch):
    monkeypatch.setattr(lookup_module, "CHUNK", 100)
    generator = torch.Generator().manual_seed(channels)
    volume = torch.randn(channels, *shape, generator=generator)
    index = torch.rand(11, 13, 3, generator=generator) * (torch.tensor(shape[::-1]) + 4) - 2.5
    np.testing.assert_allclose(Lookup(volume)(index), scipy_values(volume, index), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_lookup_moves_voxels_as_scipy_does(shape, monkeypatch):
    monkeypatch.setattr(lookup_module, "CHUNK", 64)
    generator = torch.Generator().manual_seed(0)
    volume = torch.randn(4, *shape, generator=generator)
    displacement = 3 * torch.randn(3, *shape, generator=generator)
    k, j, i = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    index = np.stack((i, j, k), -1) + np.moveaxis(displacement.numpy(), 0, -1)
    np.testing.assert_allclose(Lookup(volume).displaced(displacement), scipy_values(volume, index), atol=1e-5)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("threads", [1, 3])
def test_points_dealt_out_to_threads_are_read_as_scipy_reads_them(mode, threads, monkeypatch):
    """None, one, fewer than there are threads, and numbers that do not divide by them."""
    monkeypatch.setattr(sampling, "_LEAST_POINTS", 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    generator = torch.Generator().manual_seed(2)
    volume = torch.randn(2, 6, 5, 7, generator=generator)
    for count in (0, 1, 2, 25, 101):
        index = torch.rand(count, 3, generator=generator) * 9 - 1.5
        index = index.floor() + 0.4 if mode == "nearest" else index  # halves are rounded either way
        places = index.round() if mode == "nearest" else index
        values = sample_at_index(volume, index, mode)
        np.testing.assert_allclose(values, scipy_values(volume, places), atol=1e-5)


@pytest.mark.parametrize("points", [1, 100, 10**6])
@pytest.mark.parametrize("shape", SHAPES)
def test_few_channels_are_moved_as_scipy_moves_them(shape, points, monkeypatch):
    monkeypatch.setattr(sampling, "_SLICE_POINTS", points)
    generator = torch.Generator().manual_seed(3)
    volume = torch.randn(3, *(n + 2 for n in shape), generator=generator)
    displacement = 3 * torch.randn(3, *shape, generator=generator)
    k, j, i = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    index = np.stack((i, j, k), -1) + np.moveaxis(displacement.numpy(), 0, -1)
    found = warp_by_voxels(volume, displacement)
    # Places are told to `grid_sample` as shares of a side, in single precision: to about 1e-7 of 52 voxels.
    np.testing.assert_allclose(found, scipy_values(volume, index), atol=3e-5)


def test_both_ways_of_reading_agree_and_the_fast_one_is_used_where_it_pays():
    generator = torch.Generator().manual_seed(1)
    volume = torch.randn(8, 9, 8, 7, generator=generator)
    index = torch.rand(500, 3, generator=generator) * 9 - 1
    assert pays(volume, 500)
    assert not pays(volume, 5)
    assert not pays(volume[:1], 500)
    assert not pays(volume.double(), 500)
    one_by_one = torch.cat([sample_at_index(volume[c : c + 1], index, fill=7.0) for c in range(8)])
    torch.testing.assert_close(sample_at_index(volume, index, fill=7.0), one_by_one, atol=1e-5, rtol=0)


def right_angles():
    for order, signs in itertools.product(
        itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)
    ):
        turn = np.zeros((3, 3))
        turn[range(3), order] = signs
        yield turn


def test_turned_voxels_are_those_that_a_resampling_finds():
    volume, grid = torch.randn(2, 5, 5, 5), Grid((5, 5, 5), (1, 1, 1), (-2, -2, -2))
    for turn in right_angles():
        matrix = np.eye(4)
        matrix[:3, :3] = turn
        expected = resample(volume, grid, grid, Affine(matrix))
        torch.testing.assert_close(turned(volume, turn), expected, atol=1e-5, rtol=0)


def test_an_antialiased_volume_is_that_of_a_gaussian_of_the_same_variance():
    """Waves longer than two coarse voxels, smoothed by SimpleITK and read at the coarse voxels."""
    size, spacing = (60, 50, 40), (1.0, 1.0, 2.0)
    grid = Grid(size, spacing, (3.0, -7.0, 11.0))
    z, y, x = np.meshgrid(*[np.arange(n) for n in size[::-1]], indexing="ij")
    wave = np.sin(2 * np.pi * x / 24) * np.cos(2 * np.pi * y / 28) + np.sin(2 * np.pi * z / 20)
    coarse = grid.with_spacing(6.0)
    found = resample(torch.from_numpy(wave).float()[None], grid, coarse, fill=None, antialias=True)[0]
    image = sitk.GetImageFromArray(wave)
    image.SetSpacing(spacing)
    image.SetOrigin(grid.origin)
    sigma = [0.5 * np.sqrt(6.0**2 - s**2) for s in spacing]
    smooth = sitk.DiscreteGaussian(image, [s**2 for s in sigma], 64, 0.001, True)
    reference = sitk.Image(*coarse.size, sitk.sitkFloat64)
    reference.SetSpacing(coarse.spacing)
    reference.SetOrigin(coarse.origin)
    expected = sitk.GetArrayFromImage(sitk.Resample(smooth, reference, sitk.Transform(), sitk.sitkLinear))
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.06)  # of 2: cells are read linearly


def test_antialiasing_keeps_what_lies_outside_the_source():
    source = Grid((31, 29, 30), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    target = Grid((20, 20, 20), (7.0, 7.0, 7.0), (-50.0, -50.0, -50.0))
    found = resample(torch.ones(1, 30, 29, 31), source, target, fill=0.0, antialias=True)[0]
    places = [np.arange(20) * 7.0 - 50 for _ in range(3)]
    held = [(p >= -0.5) & (p <= n - 0.5) for p, n in zip(places, (31, 29, 30), strict=True)]
    expected = held[2][:, None, None] & held[1][:, None] & held[0]
    np.testing.assert_allclose(found, expected.astype(float), atol=1e-5)


@pytest.mark.parametrize("spacing", [2.0, 4.3, 7.1, 13.0, 80.0])
def test_a_volume_stored_the_other_way_round_is_antialiased_alike(spacing):
    """The same voxels in the same places, along other index axes."""
    grid = Grid((31, 26, 1), (1.0, 1.5, 3.0), (5.0, -3.0, 2.0))
    volume = torch.randn(1, *grid.shape)
    last = grid.to_physical((30, 25, 0))
    other = Grid((26, 31, 1), (1.5, 1.0, 3.0), tuple(last), (0, -1, 0, -1, 0, 0, 0, 0, 1))
    stored = volume.flip((2, 3)).transpose(2, 3).contiguous()
    wanted = grid.with_spacing(spacing)
    found = [
        resample(data, where, wanted, fill=None, antialias=True)
        for data, where in ((volume, grid), (stored, other))
    ]
    torch.testing.assert_close(*found, atol=1e-4, rtol=0)


def test_antialiasing_keeps_a_slope_where_it_is():
    """Also where the cells do not divide the voxels evenly, up to what the border repeats."""
    grid = Grid((31, 29, 37), (1.0, 1.0, 1.0))
    slope = torch.arange(31.0).expand(1, 37, 29, 31)
    for spacing in (4.0, 5.5, 8.0):
        coarse = grid.with_spacing(spacing)
        found = resample(slope, grid, coarse, fill=None, antialias=True)[0]
        expected = torch.from_numpy(coarse.to_physical([(n, 0, 0) for n in range(coarse.size[0])])[:, 0])
        inner = (expected > 2 * spacing) & (expected < 30 - 2 * spacing)
        torch.testing.assert_close(found[0, 0, inner].double(), expected[inner], atol=1e-2, rtol=0)
