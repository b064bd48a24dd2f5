"""`finetune`, `predict` and `evaluate` one after the other, as a user runs them."""

import csv
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from SynthFoundationLib.cli.app import app
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weight_files import save_network
from SynthFoundationLib.finetuning import Segmenter
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, LabelMap, read_labels, write_image, write_labels

GRID = Grid((20, 18, 17), (1.5, 1.5, 2.0), (3.0, -20.0, 7.0), (0, 1, 0, -1, 0, 0, 0, 0, 1))
TINY = UNetConfig(in_channels=12, width=4, depth=2, norm="instance", norm_eps=1e-3, stem=2)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three scans of a bright ball with labels, and weights to start from."""
    folder = tmp_path_factory.mktemp("data")
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    for n in range(3):
        (folder / "images").mkdir(exist_ok=True)
        (folder / "labels").mkdir(exist_ok=True)
        ball = torch.from_numpy((x - 0.1 * n) ** 2 + y**2 + z**2 < 0.4)
        noise = torch.randn(GRID.shape, generator=torch.Generator().manual_seed(n))
        write_image(Image(ball * 100.0 + 15 * noise + 50, GRID), folder / "images" / f"p{n}_0000.nii.gz")
        labels = LabelMap(ball.int() * 5, GRID, {5: "ball"}, {5: (0.0, 0.5, 1.0)})
        write_labels(labels, folder / "labels" / f"p{n}.seg.nrrd")
    torch.manual_seed(0)
    save_network(UNet(TINY), folder / "weights.safetensors")
    return folder


@pytest.fixture(scope="module")
def model(data):
    path = data / "model.safetensors"
    arguments = ["--images", data / "images", "--labels", data / "labels", "-o", path]
    result = invoke("finetune", *arguments, "--init", data / "weights.safetensors", "--budget", 0.1)
    assert result.exit_code == 0, result.output
    more = invoke("finetune", *arguments, "--budget", 0.15, "--resume")
    assert more.exit_code == 0, more.output
    return path


def test_labels_carry_their_names_through_model_and_prediction(data, model):
    out = data / "predicted"
    result = invoke("predict", model, data / "images", "-o", out, "--format", ".seg.nrrd")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in out.iterdir()) == [f"p{n}.seg.nrrd" for n in range(3)]
    labels = read_labels(out / "p1.seg.nrrd")
    assert labels.grid.same_space(GRID)
    assert (labels.names, labels.colors) == ({5: "ball"}, {5: (0.0, 0.5, 1.0)})


@pytest.mark.parametrize("given", ["scans", "scans/p0.nii.gz"])
def test_scans_are_not_overwritten_by_their_label_maps(data, model, given):
    (data / "scans").mkdir(exist_ok=True)
    scan = data / "scans" / "p0.nii.gz"
    scan.write_bytes((data / "images" / "p0_0000.nii.gz").read_bytes())
    before = scan.read_bytes()
    result = invoke("predict", model, data / given, "-o", data / "scans")
    assert result.exit_code == 2
    assert "would overwrite p0.nii.gz" in result.stderr
    assert scan.read_bytes() == before


def test_predictions_are_scored_in_table_csv_plot_and_pictures(data, model):
    out = data / "more"
    assert invoke("predict", model, data / "images" / "p2_0000.nii.gz", "-o", out).exit_code == 0
    result = invoke(
        "evaluate", "--predictions", out, "--labels", data / "labels", "-o", data / "scores",
        "--images", data / "images",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Left out: no prediction for: p0, p1\n" in result.stderr
    assert "5 ball" in result.stdout
    with (data / "scores" / "scores.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["case"] == "p2"
    written = sorted(p.name for p in (data / "scores").iterdir())
    assert written == ["scores.csv", "scores.md", "scores.png", "worst_1_p2.jpg"]


def test_scans_beside_their_segmentations_are_segmented_and_learned_from(data, model):
    side, out = data / "side", data / "of_side"
    side.mkdir()
    for n in range(2):
        shutil.copy(data / "images" / f"p{n}_0000.nii.gz", side / f"p{n}.nii.gz")
        shutil.copy(data / "labels" / f"p{n}.seg.nrrd", side)
    result = invoke("predict", model, side, "-o", out)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in out.iterdir()) == ["p0.nii.gz", "p1.nii.gz"]
    arguments = ["--images", side, "--labels", side, "--init", data / "weights.safetensors"]
    result = invoke("finetune", *arguments, "--budget", 0.01, "-o", data / "side.safetensors")
    assert result.exit_code == 0, result.output
    assert Segmenter.load(data / "side.safetensors").plan.names == {5: "ball"}


def test_a_resumed_model_tells_its_origin(data, model):
    about = Segmenter.load(model).about
    assert about["init"] == "weights.safetensors"
    assert about["state"]["elapsed"] >= 0.15 * 60


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["finetune", "--images", "images", "--labels", "labels", "-o", "m.pth"], 2, "safetensors"),
        (["finetune", "--images", "images", "--labels", "images", "-o", "new.safetensors"], 2, "no labels"),
        (["finetune", "--images", "none", "--labels", "labels", "-o", "new.safetensors"], 2, "no folder"),
        (["predict", "none.safetensors", "images", "-o", "out"], 3, "no model"),
        (["predict", "weights.safetensors", "images", "-o", "out"], 3, "no model"),
        (["evaluate", "--predictions", "images", "--labels", "scores.csv", "-o", "out"], 2, "no folder"),
    ],
)
def test_wrong_use_is_one_line(data, monkeypatch, arguments, code, message):
    monkeypatch.chdir(data)
    result = invoke(*arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
