"""MIND-SSC against its definition, written slowly in NumPy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import ndimage

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.features.mind import MindConfig, mind_ssc, pooled_mind, turned_mind
from SynthFoundationLib.geometry.turns import turned
from SynthFoundationLib.registration.search import right_angle_turns


def slow_mind(image: np.ndarray, radius: int, dilation: int, noise_floor: float = 0.0) -> np.ndarray:
    """The definition in float64: one image per pair of neighbours; channels in any order."""
    neighbours = [sign * np.eye(3, dtype=int)[axis] * dilation for axis in range(3) for sign in (-1, 1)]
    pairs = [(p, q) for p, q in combinations(neighbours, 2) if ((p - q) ** 2).sum() == 2 * dilation**2]
    pad = dilation + radius
    padded = np.pad(image.astype(float), pad, mode="edge")
    distances = []
    for p, q in pairs:
        squared = (np.roll(padded, -p, (0, 1, 2)) - np.roll(padded, -q, (0, 1, 2))) ** 2
        mean = ndimage.uniform_filter(squared, 2 * radius + 1)
        distances.append(mean[pad:-pad, pad:-pad, pad:-pad])
    distances = np.stack(distances)
    distances -= distances.min(0)
    variance = distances.mean(0)
    low, high = (max(factor * variance.mean(), 2 * noise_floor**2) for factor in (1e-3, 1e3))
    return np.exp(-distances / np.clip(variance, low, high))


def matching_channels(result: np.ndarray, expected: np.ndarray) -> np.ndarray:
    errors = np.abs(result[:, None] - expected[None]).max((2, 3, 4))
    assert sorted(errors.argmin(1)) == list(range(12)), "every pair once"
    return errors.min(1)


@pytest.mark.parametrize(("radius", "dilation"), [(1, 2), (2, 1), (0, 3)])
@pytest.mark.parametrize("noise_floor", [0.0, 0.2])
def test_descriptor_follows_its_definition(radius: int, dilation: int, noise_floor: float):
    image = np.random.default_rng(0).random((9, 11, 14))
    image[:, :3] = 0
    result = mind_ssc(torch.tensor(image)[None, None], radius, dilation, noise_floor)[0].numpy()
    assert matching_channels(result, slow_mind(image, radius, dilation, noise_floor)).max() < 1e-12


def test_single_precision_is_close_to_the_definition():
    image = np.random.default_rng(1).random((10, 10, 10))
    result = mind_ssc(torch.tensor(image, dtype=torch.float32)[None, None])[0].numpy()
    assert matching_channels(result, slow_mind(image, 1, 2)).max() < 1e-4


def test_contrast_and_offset_do_not_matter():
    image = torch.rand(1, 1, 8, 9, 10, dtype=torch.float64)
    torch.testing.assert_close(mind_ssc(100 - 7 * image), mind_ssc(image))


def test_items_of_a_batch_do_not_influence_each_other():
    batch = torch.rand(2, 1, 6, 7, 8) * torch.tensor([1.0, 50.0]).view(2, 1, 1, 1, 1)
    both = mind_ssc(batch)
    assert torch.equal(both, torch.cat([mind_ssc(batch[:1]), mind_ssc(batch[1:])]))


def test_constant_image_gives_ones():
    assert torch.equal(mind_ssc(torch.full((1, 1, 5, 5, 5), 3.0)), torch.ones(1, 12, 5, 5, 5))


def test_noise_floor_keeps_air_near_one():
    generator = torch.Generator().manual_seed(0)
    image = 0.01 * torch.randn(1, 1, 24, 24, 24, generator=generator)
    image[..., 12:] += torch.rand(24, 24, 12, generator=generator)
    air = (..., slice(0, 6))
    assert mind_ssc(image)[air].min() < 0.1
    assert mind_ssc(image, noise_floor=0.03)[air].min() > 0.6


@pytest.mark.parametrize(
    ("image", "parameters"),
    [
        (torch.zeros(1, 2, 4, 4, 4), {}),
        (torch.zeros(4, 4, 4), {}),
        (torch.zeros(1, 1, 4, 4, 4, dtype=torch.int32), {}),
        (torch.zeros(1, 1, 4, 4, 4), {"radius": -1}),
        (torch.zeros(1, 1, 4, 4, 4), {"dilation": 0}),
        (torch.zeros(1, 1, 4, 4, 4), {"noise_floor": -0.1}),
    ],
)
def test_input_that_makes_no_sense_is_refused(image: torch.Tensor, parameters: dict):
    with pytest.raises(InputError, match="MIND"):
        mind_ssc(image, **parameters)


def test_the_descriptor_of_a_turned_image_is_the_turned_descriptor():
    image = torch.rand(1, 9, 9, 9, generator=torch.Generator().manual_seed(3))
    descriptor = mind_ssc(image[None], dilation=1)[0]
    for turn in right_angle_turns():
        expected = mind_ssc(turned(image, turn)[None], dilation=1)[0]
        torch.testing.assert_close(turned_mind(descriptor, turn), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("pooling", [1, 2, 3])
@pytest.mark.parametrize("mind", [MindConfig(), MindConfig(radius=0, dilation=1)])
def test_pooled_in_pieces_it_is_the_mean_over_cells(pooling, mind):
    shape = (30, 54, 18)  # more slices and rows than one piece
    image = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(1))
    whole = mind_ssc(image, *mind).numpy()
    cells = whole.reshape(2, 12, 30 // pooling, pooling, 54 // pooling, pooling, 18 // pooling, pooling)

    found = pooled_mind(image, pooling, mind)

    np.testing.assert_allclose(found, cells.mean((3, 5, 7)), atol=1e-5)


def test_pooled_the_air_beside_a_patient_is_as_flat_as_in_the_whole():
    image = torch.full((1, 1, 96, 10, 10), 0.1)
    image += 1e-4 * torch.rand(image.shape, generator=torch.Generator().manual_seed(2))
    image[:, :, :24] = torch.rand(1, 1, 24, 10, 10, generator=torch.Generator().manual_seed(3))
    whole = mind_ssc(image)

    found = pooled_mind(image, 2, MindConfig())

    assert whole[:, :, 40:].min() > 0.9
    assert found[:, :, 20:].min() > 0.9
