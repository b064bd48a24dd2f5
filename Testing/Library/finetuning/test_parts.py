"""Grids, intensities, network and patches, each against something known."""

import random

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.metrics import compute_dice
from monai.networks.utils import one_hot

from SynthFoundationLib.errors import Cancelled
from SynthFoundationLib.features.inputs import network_input
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.finetuning import prediction
from SynthFoundationLib.finetuning import trainer as trainer_module
from SynthFoundationLib.finetuning.appearance import vary
from SynthFoundationLib.finetuning.grids import canonical, largest
from SynthFoundationLib.finetuning.intensities import Scale, find_scales, scaled
from SynthFoundationLib.finetuning.network import SegmentationNet
from SynthFoundationLib.finetuning.patches import Case, draw, prepare
from SynthFoundationLib.finetuning.plan import Plan, make_plan
from SynthFoundationLib.finetuning.trainer import Budget, State, Trainer
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


def test_a_case_without_labels_has_no_say_in_the_scale():
    grid = Grid((20, 20, 20))
    volumes = [torch.randn(1, 20, 20, 20, generator=torch.Generator().manual_seed(n)) - 900 for n in range(3)]
    for volume in volumes:
        volume[0, 5:15, 5:15, 5:15] += 940
    organ = torch.zeros(grid.shape, dtype=torch.bool)
    organ[8:12, 8:12, 8:12] = True
    images = [Image(volume, grid) for volume in volumes]
    (alone,) = find_scales(images[:2], [organ, organ], "ct")
    (scale,) = find_scales(images, [organ, organ, ~organ & organ], "ct")
    assert scale == alone
    (without,) = find_scales(images, [~organ & organ] * 3, "ct")
    assert without.low is not None


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


@pytest.fixture
def idle(cases, monkeypatch):
    """A trainer that counts its steps but learns nothing, and what sets the scores of its validations."""
    plan = make_plan(cases, TINY)
    prepared = [prepare(*case, plan) for case in cases]
    trainer = Trainer(SegmentationNet(TINY, 1, 3), plan, prepared, prepared, torch.device("cpu"))

    def advance(used):
        trainer.state.step += 1
        return 0.0

    monkeypatch.setattr(trainer, "_advance", advance)
    return trainer, lambda score: monkeypatch.setattr(trainer_module, "mean_dice", lambda *_: score(trainer))


def test_a_training_resumed_with_more_time_goes_on_to_validate(idle):
    trainer, scores = idle
    scores(lambda trainer: trainer.state.step / 100)
    trainer.run(Budget(1.0, 10), lambda: None, lambda *_: None)
    trainer.run(Budget(1.0, 30), lambda: None, lambda *_: None)
    assert trainer.state.step == 30
    assert [row["step"] for row in trainer.state.history if row["step"] > 10] == [13, 16, 19, 22, 25, 28, 30]


def test_a_training_resumed_with_less_time_uses_it(idle):
    trainer, scores = idle
    scores(lambda trainer: 1 / trainer.state.step)

    def stop(stage, used):
        if used >= 0.15:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        trainer.run(Budget(1.0, 100), lambda: None, stop)
    trainer.run(Budget(1.0, 20), lambda: None, lambda *_: None)
    assert trainer.state.step == 19  # four tenths of the budget after the best, at step 10


def test_patience_counts_validations_and_not_the_time_between_them(idle):
    trainer, scores = idle
    scores(lambda trainer: 0.5)
    trainer.state = State(5, 0.0, [{"step": 1, "elapsed": 0.0, "dice": 0.4}], 0.4)
    trainer.run(Budget(1.0, 8), lambda: None, lambda *_: None)
    assert trainer.state.step == 8
    assert trainer.state.best == 0.5


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_pretrained_trunk_learns_more_slowly_than_what_is_new(cases, pretrained):
    plan = make_plan(cases, TINY)
    network = SegmentationNet(TINY, 1, 3)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    case = prepare(*cases[0], plan)
    trainer = Trainer(network, plan, [case], [], torch.device("cpu"), pretrained=pretrained)
    trainer.run(Budget(1.0, 1), lambda: None, lambda *_: None)
    after = dict(network.named_parameters())
    moved = {name: float((after[name].detach() - value).abs().max()) for name, value in before.items()}
    trunk = max(far for name, far in moved.items() if name.startswith("trunk."))
    heads = max(far for name, far in moved.items() if not name.startswith("trunk."))
    assert heads > 0  # Adam's first step is as long as its rate
    assert trunk / heads == pytest.approx(0.33 if pretrained else 1.0, rel=0.1)


def test_a_training_that_has_found_nothing_yet_goes_on_with_the_newest_network(idle):
    trainer, scores = idle

    def nothing(trainer):
        next(trainer.average.parameters()).add_(1.0)  # a network that changed since
        return 0.0

    scores(nothing)
    trainer.run(Budget(1.0, 20), lambda: None, lambda *_: None)
    assert trainer.state.step == 20  # patience is for what was good before
    newest, kept = (next(network.parameters()) for network in (trainer.average, trainer.kept))
    assert torch.equal(newest, kept)


def test_a_batch_that_is_no_number_spoils_nothing(cases, monkeypatch):
    config = UNetConfig(in_channels=12, width=4, depth=2, stem=2)
    plan = make_plan(cases, config)
    prepared = [prepare(*case, plan) for case in cases]
    network = SegmentationNet(config, 1, 3)
    assert any("running_mean" in name for name, _ in network.named_buffers())
    trainer = Trainer(network, plan, prepared, [], torch.device("cpu"))

    def bad(*_given):
        return torch.full((1, *plan.patch), torch.nan), torch.zeros(1, *plan.patch).long()

    monkeypatch.setattr("SynthFoundationLib.finetuning.trainer.draw", bad)
    before = {name: value.clone() for name, value in trainer.average.state_dict().items()}
    trainer.run(Budget(1.0, 2), lambda: None, lambda *_: None)
    assert trainer.state.step == 2
    for state in (network.state_dict(), trainer.kept.state_dict()):
        assert all(value.isfinite().all() for value in state.values())
    assert all(torch.equal(value, before[name]) for name, value in trainer.kept.state_dict().items())


def test_validation_measures_the_dice_of_monai(cases, monkeypatch):
    plan = make_plan(cases, TINY)
    case = prepare(*cases[0], plan)
    given = torch.randint(0, 3, case.classes.shape, generator=torch.Generator().manual_seed(0))
    maps = [one_hot(one[None, None], 3) for one in (given, case.classes)]
    monkeypatch.setattr(trainer_module, "class_scores", lambda *_: maps[0][0])
    ours = trainer_module.mean_dice(SegmentationNet(TINY, 1, 3), [case], plan, torch.device("cpu"))
    assert ours == pytest.approx(float(compute_dice(*maps, include_background=False).mean()))


def test_many_scores_are_put_together_in_this_machines_memory(monkeypatch):
    asked = {}

    def inferer(volume, patch, *_, **options):
        asked.update(options)
        return torch.zeros(1, 3, *volume.shape[2:])

    monkeypatch.setattr("monai.inferers.sliding_window_inference", inferer)
    network, volume = SegmentationNet(TINY, 1, 3), torch.rand(1, 24, 24, 30)
    for most, where in ((3 * 24 * 24 * 30, "cuda"), (1000, "cpu")):
        monkeypatch.setattr(prediction, "MOST_SCORES", most)
        assert prediction.class_scores(network, volume, (24, 24, 24), "cuda").shape == (3, 24, 24, 30)
        assert asked == {"sw_device": "cuda", "device": where}


def test_probabilities_take_the_place_of_scores():
    scores = torch.randn(3, 21, 5, 6)
    wanted = scores.softmax(0)
    assert prediction._chances(scores) is scores
    torch.testing.assert_close(scores, wanted, atol=0, rtol=0)


def test_the_largest_map_wins_and_the_last_of_equals():
    maps = [torch.tensor([[[0.2, 0.6, 0.7, 0.5]]]), torch.tensor([[[0.3, 0.5, 0.7, 0.1]]])]
    assert largest(enumerate(maps, 1), (1, 1, 4), 0.5).flatten().tolist() == [0, 1, 2, 1]


def test_labels_on_a_grid_of_their_own_meet_their_image():
    image, labels = scan(0)
    inner = GRID.cropped((3, 2, 1), (25, 23, 19))
    part = LabelMap(labels.data[1:19, 2:23, 3:25], inner)
    plan = make_plan([(image, labels)], TINY)
    torch.testing.assert_close(prepare(image, part, plan).classes, prepare(image, labels, plan).classes)
