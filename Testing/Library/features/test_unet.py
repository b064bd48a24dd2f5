"""The network's parameter counts, keys, layer numbers and borders, against the published description."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from SynthFoundationLib.errors import InputError, WeightsError
from SynthFoundationLib.features.unet import UNet, UNetConfig, space_to_depth

DEV = UNetConfig(
    out_channels=32, width=32, depth=5, norm="instance", norm_eps=1e-2, pool="average", upsample="trilinear"
)
TINY = UNetConfig(out_channels=3, width=2, depth=1)


def count(network: UNet) -> int:
    return sum(p.numel() for p in network.parameters())


def test_iclr_network_has_the_published_parameters_and_keys():
    network = UNet()
    convolutions = [0, *(3 + 7 * i for i in range(5)), *(6 + 7 * i for i in range(5))]
    convolutions += [10 + 28 + 7 * j for j in range(4)] + [13 + 28 + 7 * j for j in range(4)]
    keys = {f"model.{i}.weight" for i in [*convolutions, 65]}
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    keys |= {f"model.{i + 1}.{part}" for i in convolutions for part in parts}
    assert count(network) == 5_899_344
    assert set(network.state_dict()) == keys
    assert len(keys) == 115
    assert network.model[65].weight.shape == (16, 16, 3, 3, 3)


def test_dev_network_has_the_published_parameters():
    with torch.device("meta"):
        network = UNet(DEV)
    assert count(network) == 94_369_568
    assert len(network.state_dict()) == 48
    assert all(layer.eps == 1e-2 for layer in network.model if isinstance(layer, torch.nn.InstanceNorm3d))


def test_levels_of_the_contrastive_loss_have_the_published_channels():
    config = UNetConfig()
    with torch.device("meta"):
        _, taps = UNet(config)(torch.zeros(1, 1, 128, 128, 128), config.levels)
    assert config.levels == (27, 31, 38, 45, 52, 65)
    assert [(t.shape[1], t.shape[-1]) for t in taps] == [
        (128, 16), (256, 8), (128, 16), (64, 32), (32, 64), (16, 128)
    ]  # fmt: skip


def test_convolution_agrees_with_scipy_at_reflecting_borders():
    network = UNet(TINY)
    image = torch.rand(1, 1, 4, 6, 8)
    _, (tap,) = network(image, [0])
    for kernel, output in zip(network.model[0].weight[:, 0], tap[0], strict=True):
        expected = ndimage.correlate(image[0, 0].numpy(), kernel.detach().numpy(), mode="mirror")
        np.testing.assert_allclose(output.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_half_resolution_output_is_centred_between_its_two_input_voxels():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8, 8)
    parts = space_to_depth(ramp, 2)
    assert parts.shape == (1, 8, 4, 4, 4)
    torch.testing.assert_close(parts.mean(1)[0, 0, 0], 2 * torch.arange(4.0) + 0.5)
    config = UNetConfig(width=2, depth=2, stem=2)
    assert config.stride == 8
    assert UNet(config)(torch.rand(2, 1, 16, 16, 24)).shape == (2, 16, 8, 8, 12)


def test_tapped_layers_are_not_rewritten_by_the_layers_after_them():
    network = UNet(TINY).eval()
    _, (conv, norm) = network(torch.rand(1, 1, 4, 4, 4), [0, 1])
    torch.testing.assert_close(norm, network.model[1](conv))
    assert norm.min() < 0


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "module._orig_mod."])
def test_state_of_a_wrapped_network_loads_strictly(prefix: str):
    source, target = UNet(TINY), UNet(TINY)
    target.load({prefix + key: value for key, value in source.state_dict().items()})
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value)


def test_state_that_does_not_fit_is_refused_with_the_key():
    state = UNet(TINY).state_dict()
    with pytest.raises(WeightsError, match=r"missing model\.0\.weight"):
        UNet(TINY).load({k: v for k, v in state.items() if k != "model.0.weight"})
    with pytest.raises(WeightsError, match=r"unknown extra"):
        UNet(TINY).load({**state, "extra": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"model\.0\.weight is \(1,\), not \(2, 1, 3, 3, 3\)"):
        UNet(TINY).load({**state, "model.0.weight": torch.zeros(1)})


@pytest.mark.parametrize("shape", [(1, 1, 5, 4, 4), (1, 2, 4, 4, 4), (1, 4, 4, 4), (1, 1, 2, 4, 4)])
def test_input_that_does_not_fit_is_refused(shape: tuple[int, ...]):
    with pytest.raises(InputError):
        UNet(TINY)(torch.zeros(shape))


@pytest.mark.parametrize("change", [{"norm": "layer"}, {"stem": 3}, {"depth": 0}, {"norm_eps": 0.0}])
def test_config_that_describes_no_network_is_refused(change: dict):
    with pytest.raises(InputError, match=next(iter(change))):
        UNetConfig(**change)
