"""Training from end to end: it learns, resumes to the letter, keeps the best, and says what is wrong."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from SynthFoundationLib.errors import Cancelled, InputError, WeightsError
from SynthFoundationLib.features.unet import UNet
from SynthFoundationLib.features.weight_files import save_network
from SynthFoundationLib.finetuning import Segmenter, finetune, predict
from SynthFoundationLib.finetuning.model import training_tensors
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import LabelMap

from .conftest import GRID, TINY, dice, scan

FLIPPED = Grid((20, 26, 24), (1.2, 1.0, 1.0), (15.0, 28.0, 30.0), (0, -1, 0, 0, 0, -1, 1, 0, 0))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, cases):
    path = tmp_path_factory.mktemp("model") / "balls.safetensors"
    finetune(cases, path, "scratch", architecture=TINY, steps=60)
    return path


def test_a_few_cases_make_a_segmenter_of_others(trained):
    segmenter = Segmenter.load(trained)
    image, truth = scan(9)
    found = predict(segmenter, image)
    assert (found.names, found.colors) == ({3: "shell", 7: "core"}, {3: (1.0, 0.0, 0.0)})
    assert found.grid == GRID
    assert dice(found, truth, 3) > 0.8
    assert dice(found, truth, 7) > 0.7


def test_scans_of_other_orientation_and_spacing_come_out_on_their_own_grid(trained):
    grid = FLIPPED.with_spacing(1.5)
    image, truth = scan(9, grid)
    assert truth.values == [3, 7]
    found = predict(Segmenter.load(trained), image)
    assert found.grid == grid
    assert dice(found, truth, 3) > 0.7


def test_the_file_describes_itself_and_names_no_case(trained):
    with safe_open(trained, "pt") as file:
        metadata = file.metadata()
    described = json.loads(metadata["segmenter"])
    assert described["plan"]["values"] == [0, 3, 7]
    assert described["about"]["cases"] == 2
    assert described["about"]["state"]["step"] == 60


def test_an_interrupted_training_resumes_to_the_same_weights(tmp_path, cases):
    whole = finetune(cases, tmp_path / "a.safetensors", "scratch", architecture=TINY, steps=6)

    def stop(stage, fraction):
        if fraction >= 0.5:
            raise Cancelled("stopped")

    path = tmp_path / "b.safetensors"
    with pytest.raises(Cancelled):
        finetune(cases, path, "scratch", architecture=TINY, steps=6, progress=stop)
    assert 0 < Segmenter.load(path).about["state"]["step"] < 6
    resumed = finetune(cases, path, "scratch", architecture=TINY, steps=6, resume=True)
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_one_case_in_five_is_held_out_and_the_best_is_kept(tmp_path):
    cases = [scan(seed) for seed in range(5)]
    result = finetune(cases, tmp_path / "m.safetensors", "scratch", architecture=TINY, steps=10)
    history = result.about["state"]["history"]
    assert result.about["held_out"] == 1
    assert len(history) >= 5
    assert result.about["state"]["best"] == pytest.approx(max(row["dice"] for row in history), abs=1e-4)


def test_pretrained_weights_are_taken_and_named(tmp_path, cases):
    torch.manual_seed(1)
    save_network(UNet(TINY), tmp_path / "w.safetensors", {"licence": "Apache-2.0"})
    result = finetune(cases[:1], tmp_path / "m.safetensors", tmp_path / "w.safetensors", steps=1)
    assert result.about["init"] == "w.safetensors"
    assert result.about["init_licence"] == "Apache-2.0"
    assert result.network.config == TINY


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": "m.pth"}, "safetensors"),
        ({"cases": []}, "no case"),
        ({"minutes": 0}, "above 0"),
        ({"modality": "pet"}, "auto, ct, mr"),
        ({"output": "there.safetensors"}, "exists"),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path, monkeypatch, cases, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.safetensors").touch()
    usual = {"cases": cases, "output": "m.safetensors", "init": "scratch", "architecture": TINY, "steps": 1}
    with pytest.raises(InputError, match=message):
        finetune(**(usual | arguments))


def test_resuming_with_other_cases_or_from_nothing_is_refused(tmp_path, trained, cases):
    with pytest.raises(InputError, match="2 cases, 1"):
        finetune(cases[:1], trained, resume=True)
    with pytest.raises(InputError, match="other images"):
        finetune([cases[0], scan(5)], trained, resume=True)
    with pytest.raises(InputError, match="other order"):
        finetune(cases[::-1], trained, resume=True)
    with pytest.raises(WeightsError, match="no model"):
        finetune(cases, tmp_path / "none.safetensors", resume=True)
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="damaged"):
        Segmenter.load(tmp_path / "bad.safetensors")


def test_labels_that_a_training_did_not_begin_with_are_not_taken_for_background(trained, cases):
    before = trained.read_bytes()
    renumbered = [(image, LabelMap((labels.data == 7) * 8, GRID)) for image, labels in cases]
    with pytest.raises(InputError, match="knows labels 3, 7, but not 8"):
        finetune(renumbered, trained, resume=True, steps=61)
    assert trained.read_bytes() == before


def test_labels_may_be_corrected_before_going_on(tmp_path, cases):
    path = tmp_path / "m.safetensors"
    finetune(cases, path, "scratch", architecture=TINY, steps=1)
    corrected = [(image, LabelMap(labels.data.roll(1, 0), GRID)) for image, labels in cases]
    assert finetune(corrected, path, resume=True, steps=2).about["state"]["step"] == 2


def test_what_was_held_out_stays_so_with_another_seed(tmp_path):
    cases, path = [scan(seed) for seed in range(5)], tmp_path / "m.safetensors"
    finetune(cases, path, "scratch", architecture=TINY, steps=1, seed=3)
    assert finetune(cases, path, resume=True, steps=2, seed=4).about["seed"] == 3


def test_a_training_of_an_earlier_version_is_not_gone_on_with(tmp_path, trained, cases):
    segmenter = Segmenter.load(trained)
    segmenter.about["state"]["history"] = [{"step": 1, "used": 0.1, "dice": 0.5}]
    segmenter.save(tmp_path / "old.safetensors", training_tensors(trained))
    with pytest.raises(InputError, match="earlier version"):
        finetune(cases, tmp_path / "old.safetensors", resume=True)


def test_cases_without_labels_are_learned_from_and_not_held_out(tmp_path):
    cases = [scan(seed) for seed in range(5)]
    blank = LabelMap(torch.zeros(GRID.shape, dtype=torch.int32), GRID)
    cases[1:] = [(image, blank) for image, _ in cases[1:]]
    result = finetune(cases, tmp_path / "m.safetensors", "scratch", architecture=TINY, steps=1)
    assert result.about["state"]["best"] >= 0


def test_a_scan_with_more_contrasts_is_refused(trained):
    image, _ = scan(1)
    with pytest.raises(InputError, match="2 contrasts"):
        predict(Segmenter.load(trained), (np.concatenate([image.data, image.data]), GRID))
