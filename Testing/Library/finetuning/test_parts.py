"""Grids, intensities, network and patches, each against something known."""

import random

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.features.inputs import network_input
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.finetuning.appearance import vary
from SynthFoundationLib.finetuning.grids import canonical
from SynthFoundationLib.finetuning.intensities import Scale, find_scales, scaled
from SynthFoundationLib.finetuning.network import SegmentationNet
from SynthFoundationLib.finetuning.patches import Case, draw, prepare
from SynthFoundationLib.finetuning.plan import Plan, make_plan
from SynthFoundationLib.geometry import Grid, resample
from SynthFoundationLib.images import Image, LabelMap

from .conftest import GRID, TINY, scan

TURNED = Grid((5, 6, 7), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), (0, 0, -1, -1, 0, 0, 0, 1, 0))


def test_canonical_voxels_are_those_of_simpleitk():
    values = np.random.default_rng(0).random(TURNED.shape, dtype=np.float32)
    image = sitk.GetImageFromArray(values)
    for name in ("Spacing", "Origin", "Direction"):
        getattr(image, f"Set{name}")(getattr(TURNED, name.lower()))
    expected = sitk.DICOMOrient(image, "LPS")
    grid = canonical(TURNED)
    assert grid.same_space(Grid.from_sitk(expected))
    ours = resample(torch.from_numpy(values)[None], TURNED, grid)[0]
    np.testing.assert_allclose(ours, sitk.GetArrayFromImage(expected), atol=1e-5)


def test_scans_that_share_a_scale_keep_it_and_others_get_their_own():
    volumes = [torch.randn(1, 20, 20, 20, generator=torch.Generator().manual_seed(n)) * 100 for n in (1, 2)]
    grid = Grid((20, 20, 20))
    masks = [v[0] > 50 for v in volumes]
    shared = [Image(v, grid) for v in volumes]
    (scale,) = find_scales(shared, masks, "auto")
    low, high = np.quantile(
        np.concatenate([v[0][m] for v, m in zip(volumes, masks, strict=True)]), (0.005, 0.995)
    )
    assert scale.low == pytest.approx(low - (high - low) / 2, abs=2)
    assert scale.high == pytest.approx(high + (high - low) / 2, abs=2)
    expected = ((volumes[0] - scale.low) / (scale.high - scale.low)).clip(0, 1)
    torch.testing.assert_close(scaled(shared[0], [scale]), expected)
    other = [shared[0], Image(volumes[1] * 5 + 300, grid)]
    assert find_scales(other, masks, "auto") == [Scale()]
    assert find_scales(shared, masks, "mr") == [Scale()]
    assert find_scales(other, masks, "ct")[0].low is not None
    ours, theirs = scaled(shared[1], [Scale()]), scaled(other[1], [Scale()])
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_a_plan_survives_json_and_coarsens_large_structures(cases):
    import json

    plan = make_plan(cases, TINY)
    assert plan.spacing == pytest.approx((1.0, 1.0, 1.2))
    assert plan.patch == (24, 24, 24)
    assert plan.values == (0, 3, 7)
    assert Plan.from_plain(json.loads(json.dumps(plan.plain()))) == plan
    large = Grid((260, 12, 12), (1.0, 1.0, 1.0))
    labels = LabelMap(torch.ones(large.shape, dtype=torch.int32), large)
    image = Image(torch.rand(large.shape), large)
    assert make_plan([(image, labels)], TINY).spacing == pytest.approx((260 / 128,) * 3, abs=1e-3)
    assert make_plan(cases, TINY, spacing=2.0).spacing == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        UNetConfig(width=4, depth=2),
        UNetConfig(width=4, depth=3, norm="instance", pool="average", upsample="trilinear"),
        UNetConfig(in_channels=2, width=4, depth=2, stem=2),
    ],
)
@pytest.mark.parametrize("contrasts", [1, 2])
def test_any_network_becomes_a_segmenter_that_starts_from_its_features(config, contrasts):
    torch.manual_seed(0)
    pretrained = UNet(config).eval()
    network = SegmentationNet(config, contrasts, 3).eval()
    network.adopt(pretrained)
    volumes = torch.rand(1, contrasts, 32, 32, 32)
    assert network(volumes).shape == (1, 3, 32, 32, 32)
    shown = network._shown(volumes)
    _, ours = network.trunk(torch.cat([shown, torch.zeros_like(volumes)], 1), network.taps)
    _, theirs = pretrained(shown, network.taps)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=5e-2, rtol=5e-2)  # to the epsilon of the norms
    if config is TINY and contrasts == 1:
        torch.testing.assert_close(shown, network_input(volumes, config))
    levels = network.train()(volumes)
    assert [level.shape[-1] for level in levels] == [
        32 // (config.stem if n else 1) // 2**n for n in range(len(levels))
    ]


def test_patches_show_what_they_are_labelled_and_mostly_something(monkeypatch):
    monkeypatch.setattr("SynthFoundationLib.finetuning.patches.vary", lambda volume, labels, rng: volume)
    z, y, x = np.mgrid[:40, :44, :48]
    classes = torch.from_numpy(((x - 10) ** 2 + (y - 30) ** 2 + (z - 20) ** 2 < 30).astype(np.int64))
    case = Case(classes[None].float(), classes, (classes.nonzero(),))
    drawn = [draw([case], (16, 16, 16), random.Random(n)) for n in range(40)]
    for volume, labels in drawn:
        assert ((volume[0] - labels[0]).abs() > 0.5).float().mean() < 0.03
    assert 20 <= sum(bool(labels.any()) for _, labels in drawn) <= 36
    again = draw([case], (16, 16, 16), random.Random(3))
    torch.testing.assert_close(again[0], drawn[3][0])


def test_appearance_varies_within_bounds_and_repeats_with_its_seed():
    image, labels = scan(0)
    volume = scaled(image, [Scale()])
    classes = torch.searchsorted(torch.tensor([0, 3, 7]), labels.data.long())
    looks = [vary(volume, classes, random.Random(n)) for n in range(20)]
    assert all(float(v.min()) >= 0 and float(v.max()) <= 1 and v.isfinite().all() for v in looks)
    changes = [float((v - volume).abs().mean()) for v in looks]
    assert max(changes) > 0.1  # some are painted anew
    assert np.median(changes) < 0.1  # most are the same scan on another day
    torch.testing.assert_close(vary(volume, classes, random.Random(4)), looks[4])


def test_labels_on_a_grid_of_their_own_meet_their_image():
    image, labels = scan(0)
    inner = GRID.cropped((3, 2, 1), (25, 23, 19))
    part = LabelMap(labels.data[1:19, 2:23, 3:25], inner)
    plan = make_plan([(image, labels)], TINY)
    torch.testing.assert_close(prepare(image, part, plan).classes, prepare(image, labels, plan).classes)
