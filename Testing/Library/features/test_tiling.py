"""Tiled and folded inference against the network itself."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.features.fold import fold, phases
from SynthFoundationLib.features.tiling import boxes, infer, plan
from SynthFoundationLib.features.unet import UNet, UNetConfig

VARIANTS = {
    "iclr": {},
    "half resolution": {"stem": 2},
    "dev": {"pool": "average", "upsample": "trilinear", "norm": "instance", "norm_eps": 1e-2},
    "instance, nearest": {"norm": "instance"},
    "two channels in": {"in_channels": 2, "upsample": "trilinear"},
}


def network(**change) -> UNet:
    """A small network whose batch norms have statistics as after training."""
    torch.manual_seed(0)
    unet = UNet(UNetConfig(**{"out_channels": 5, "width": 4, "depth": 2, **change})).eval()
    for layer in unet.modules():
        if isinstance(layer, nn.BatchNorm3d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
            nn.init.normal_(layer.weight, 1, 0.2)
            nn.init.normal_(layer.bias, 0, 0.1)
    return unet


@torch.no_grad()
def error(unet: UNet, volume: Tensor, **options) -> float:
    """Largest difference to the network on the whole volume, relative to its largest feature."""
    expected = unet(volume[None])[0]
    return ((infer(unet, volume, **options) - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("tiled", [False, True])
def test_inference_equals_the_network_on_the_whole_volume(change: dict, tiled: bool):
    unet = network(**change)
    stem = unet.config.stem
    volume = torch.rand(unet.config.in_channels, 64 * stem, 48, 72)
    limit = None
    if tiled:
        shape = tuple(side // stem for side in volume.shape[1:])
        limit = least_memory(unet.config, shape)
        assert math.prod(plan(unet.config, shape, 4, limit).tiles[0]) >= 4
    assert error(unet, volume, max_memory_gb=limit) < 1e-5


def least_memory(config: UNetConfig, shape: tuple[int, int, int]) -> float:
    """The smallest limit that is not refused, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        try:
            plan(config, shape, 4, middle)
            high = middle
        except InputError:
            low = middle
    return high


def test_reduced_precision_stays_close():
    assert error(network(), torch.rand(1, 32, 32, 32), dtype=torch.bfloat16) < 0.03


def test_result_can_be_used_where_gradients_are_taken():
    features = infer(network(), torch.rand(1, 16, 16, 16))
    points = torch.zeros(1, 1, 1, 3, 3, requires_grad=True)
    F.grid_sample(features[None], points, align_corners=False).sum().backward()
    assert points.grad is not None


def test_batch_norms_are_folded_exactly():
    unet = network().double()
    x = torch.rand(1, 1, 16, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        _, (expected,) = unet(x, [8])
        for convolution in fold(unet)[0]:
            x = F.pad(x, (1,) * 6, mode="reflect")
            x = F.conv3d(x, convolution.weight, convolution.bias).relu()
    torch.testing.assert_close(x, expected, rtol=1e-12, atol=1e-12)


def test_phase_kernels_do_what_upsampling_and_convolution_do():
    weight, coarse = torch.rand(3, 2, 3, 3, 3), torch.rand(1, 2, 4, 5, 6)
    fine = F.pad(F.interpolate(coarse, scale_factor=2, mode="nearest"), (1,) * 6, mode="reflect")
    expected = F.conv3d(fine, weight)
    result = F.conv3d(F.pad(coarse, (1,) * 6, mode="replicate"), phases(weight))
    even, odd = result[:, :3], result[:, -3:]
    torch.testing.assert_close(even[:, :, :-1, :-1, :-1], expected[:, :, ::2, ::2, ::2])
    torch.testing.assert_close(odd[:, :, 1:, 1:, 1:], expected[:, :, 1::2, 1::2, 1::2])


@pytest.mark.parametrize(("shape", "cut"), [((64, 48, 72), (4, 2, 5)), ((6, 10, 14), (3, 4, 1))])
def test_tiles_cover_the_volume_once_and_start_at_even_voxels(shape, cut):
    seen = torch.zeros(shape)
    for box in boxes(shape, cut):
        box.crop(seen).add_(1)
        assert all(start % 2 == 0 for start in box.start)
    assert torch.equal(seen, torch.ones(shape))


def test_less_memory_gives_more_tiles_and_the_plan_keeps_within_it():
    config, shape = UNetConfig(), (256, 256, 512)
    counts = []
    for limit in (None, 8.0, 5.0, 4.0):
        steps = plan(config, shape, 4, limit)
        counts.append(sum(a * b * c for a, b, c in steps.tiles))
        assert limit is None or steps.bytes <= limit * 1e9
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


MEASURE = """
import pathlib, re, torch
from SynthFoundationLib.features.tiling import infer, plan
from SynthFoundationLib.features.unet import UNet, UNetConfig
torch.set_num_threads(1)
network, volume, limit = UNet(UNetConfig(width=8, depth=2)).eval(), torch.rand(1, 96, 96, 96), 0.15
infer(network, torch.rand(1, 32, 32, 32))
def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024 / 1e9
before = peak()
assert infer(network, volume, limit).shape == (16, 96, 96, 96)
print((peak() - before) / limit)
assert plan(network.config, (96, 96, 96), 4, limit).tiles[0] != (1, 1, 1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_limit_is_kept_in_a_process_of_its_own():
    # one heap, and what is freed goes back at once: the plan counts what is held, not what malloc keeps
    plain = {
        **os.environ,
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_TRIM_THRESHOLD_": "0",
        "MALLOC_MMAP_THRESHOLD_": "65536",
    }
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, env=plain
    )
    assert 0.5 < float(done.stdout) <= 1.1


def test_too_little_memory_says_how_much_is_needed():
    with pytest.raises(InputError, match=r"at least 2\.\d+ GB; allowed are 1\.0 GB"):
        plan(UNetConfig(), (256, 256, 512), 4, 1.0)


def test_sides_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="multiple of 4"):
        infer(network(), torch.rand(1, 30, 32, 32))


def test_inference_can_be_stopped():
    class Enough(Exception):
        pass

    def stop() -> None:
        raise Enough

    with pytest.raises(Enough):
        infer(UNet(UNetConfig(width=2, depth=1)).eval(), torch.rand(1, 8, 8, 8), beat=stop)
