"""From an image to features: grids, padding, contrasts, backends."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch.nn import functional as F

from SynthFoundationLib.errors import InputError, WeightsError
from SynthFoundationLib.features.extract import compute_features, extract_features
from SynthFoundationLib.features.mind import MindConfig, mind_ssc
from SynthFoundationLib.features.registry import Registry
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weight_files import save_network
from SynthFoundationLib.features.weights import Weights
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, from_sitk, normalise, to_sitk

ANGLE = math.radians(20)
OBLIQUE = (math.cos(ANGLE), -math.sin(ANGLE), 0, math.sin(ANGLE), math.cos(ANGLE), 0, 0, 0, 1)
GRID = Grid((20, 17, 9), (1.0, 1.0, 2.0), (5, -7, 30), OBLIQUE)


def weights(**change) -> Weights:
    torch.manual_seed(0)
    config = UNetConfig(**{"out_channels": 4, "width": 2, "depth": 1, **change})
    return Weights(UNet(config).eval(), "made", "0" * 64, "none")


def scan(channels: int = 1, grid: Grid = GRID) -> Image:
    """Smooth structure on an oblique, anisotropic grid."""
    noise = torch.rand(1, channels, 5, 6, 7, generator=torch.Generator().manual_seed(1))
    return Image(100 * F.interpolate(noise, grid.shape, mode="trilinear")[0], grid)


def test_features_lie_on_an_isotropic_grid_over_the_same_box():
    features = extract_features(scan(), "mind")
    assert features.grid.spacing == (1, 1, 1)
    assert features.data.shape == (12, *features.grid.shape)
    np.testing.assert_allclose(features.grid.center, GRID.center, atol=1e-9)
    np.testing.assert_allclose(features.grid.extent, GRID.extent)
    assert extract_features(scan(), "mind", spacing=1.5).grid.spacing == (1.5, 1.5, 1.5)


def test_image_is_resampled_as_simpleitk_does():
    image = scan()
    features = extract_features(image, "mind", spacing=0.5)
    target = to_sitk(Image(torch.zeros(features.grid.shape), features.grid))
    moved = from_sitk(sitk.Resample(to_sitk(image), target, sitk.Transform(), sitk.sitkLinear))
    expected = mind_ssc(normalise(moved)[None])[0]
    inside = (..., *(slice(4, n - 4) for n in features.grid.shape))
    assert (features.data - expected)[inside].abs().mean() < 0.02


def test_mind_of_an_isotropic_image_is_that_of_its_normalised_voxels():
    image = scan(grid=replace(GRID, spacing=(2, 2, 2)))
    config = MindConfig(radius=2, dilation=1, noise_floor=0.1)
    features = extract_features(image, "mind", mind=config)
    assert features.grid == image.grid
    assert features.parts == (("mind", 12),)
    assert features.weights is None
    assert torch.equal(features.data, mind_ssc(normalise(image)[None], 2, 1, 0.1)[0])


def test_network_of_twelve_channels_is_shown_mind_of_each_contrast():
    used = weights(in_channels=12, stem=2)
    image = Image(torch.rand(2, 16, 16, 16), Grid((16, 16, 16)))
    features = compute_features(image, "learned", used, precision="float32")
    shown = mind_ssc(image.data[:, None], noise_floor=0.02)
    with torch.no_grad():
        expected = F.normalize(used.network(shown), dim=1).flatten(0, 1)
    torch.testing.assert_close(features.data, expected, rtol=1e-4, atol=5e-5)


def test_learned_features_are_the_networks_of_unit_length():
    used = weights(depth=2)
    image = Image(torch.rand(1, 16, 16, 16), Grid((16, 16, 16)))
    features = compute_features(image, "learned", used, precision="float32")
    with torch.no_grad():
        expected = F.normalize(used.network(image.data[None])[0], dim=0)
    torch.testing.assert_close(features.data, expected, rtol=1e-4, atol=1e-5)
    assert features.weights is used


def test_image_of_any_size_is_continued_to_what_the_network_takes():
    image = Image(torch.rand(1, 13, 5, 18), Grid((18, 5, 13)))
    used = weights(depth=2)
    features = compute_features(image, "learned", used, precision="float32")
    padded = F.pad(image.data[None], (0, 2, 0, 3, 0, 3), mode="replicate")
    whole = compute_features(Image(padded[0], Grid((20, 8, 16))), "learned", used, precision="float32")
    assert torch.equal(features.data, whole.data[:, :13, :5, :18])
    assert features.grid == image.grid


def test_half_resolution_features_lie_between_their_voxels():
    image = scan(grid=replace(GRID, spacing=(1, 1, 1)))
    features = extract_features(image, "learned+mind", weights(stem=2))
    assert features.parts == (("learned", 4), ("mind", 12))
    assert features.data.shape == (16, 5, 9, 10)
    assert features.grid.size == (10, 9, 5)
    assert features.grid.spacing == (2, 2, 2)
    for voxel in ([0, 0, 0], [9, 8, 4], [3, 1, 2]):
        between = image.grid.to_physical(2 * np.array(voxel) + 0.5)
        np.testing.assert_allclose(features.grid.to_physical(voxel), between, atol=1e-9)
    assert image.grid.coarsened(1) == image.grid


def test_contrasts_are_concatenated_or_averaged():
    image, used = scan(channels=2), weights()
    single = [Image(channel, image.grid) for channel in image.data]
    options = {"weights": used, "precision": "float32"}
    for backend in ("mind", "learned"):
        parts = [extract_features(one, backend, **options).data for one in single]
        both = extract_features(image, backend, **options)
        mean = extract_features(image, backend, contrasts="average", **options)
        torch.testing.assert_close(both.data, torch.cat(parts))
        expected = torch.stack(parts).mean(0)
        expected = F.normalize(expected, dim=0) if backend == "learned" else expected
        torch.testing.assert_close(mean.data, expected, rtol=1e-4, atol=1e-5)


def test_network_of_several_contrasts_sees_them_together():
    assert extract_features(scan(2), "learned", weights(in_channels=2)).parts == (("learned", 4),)
    with pytest.raises(InputError, match="take 2 contrasts; the image has 3"):
        extract_features(scan(3), "learned", weights(in_channels=2))


def test_less_memory_changes_nothing_but_is_refused_when_it_is_too_little():
    image, used = Image(torch.rand(1, 48, 48, 48), Grid((48, 48, 48))), weights(depth=2)
    options = {"backend": "learned", "weights": used, "precision": "float32"}
    free, bounded = (
        compute_features(image, **options),
        compute_features(image, max_memory_gb=0.007, **options),
    )
    torch.testing.assert_close(free.data, bounded.data, rtol=1e-4, atol=1e-5)
    for backend in ("mind", "learned"):
        with pytest.raises(InputError, match=r"allowed are 0\.001 GB"):
            compute_features(image, backend, used, max_memory_gb=0.001)


def test_reduced_precision_keeps_the_direction_of_features():
    image, used = scan(), weights(depth=2)
    exact = extract_features(image, "learned", used, precision="float32").data
    rough = extract_features(image, "learned", used, precision="bfloat16").data
    assert (exact * rough).sum(0).mean() > 0.998


def test_auto_uses_weights_where_there_are_any(tmp_path: Path):
    names = [name for name, _ in extract_features(scan()).parts]
    assert names == (["mind"] if Registry.read().default is None else ["learned", "mind"])
    save_network(weights().network, tmp_path / "net.safetensors")
    features = extract_features(scan(), weights=tmp_path / "net.safetensors")
    assert features.parts == (("learned", 4), ("mind", 12))
    assert features.weights.id == "net.safetensors"


def test_wrong_options_are_refused_with_what_is_allowed():
    with pytest.raises(InputError, match="backend is 'vgg'; allowed are auto, mind"):
        extract_features(scan(), "vgg")
    with pytest.raises(InputError, match="precision"):
        extract_features(scan(), "mind", precision="int8")
    with pytest.raises(WeightsError):
        extract_features(scan(), "learned", "unknown-weights")
