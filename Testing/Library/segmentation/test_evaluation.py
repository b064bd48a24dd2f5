"""Scores of folders of label maps: table, CSV, plot and pictures."""

import csv

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, LabelMap, write_image, write_labels
from SynthFoundationLib.segmentation.evaluation import evaluate_folders

GRID = Grid((20, 18, 16), (1.0, 1.0, 2.0), (5.0, -3.0, 0.0), (0, 1, 0, -1, 0, 0, 0, 0, 1))


def ball(shift, radius=0.6):
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    return torch.from_numpy(((x - shift) ** 2 + y**2 + z**2 < radius**2).astype(np.int32) * 4)


@pytest.fixture
def folders(tmp_path):
    """Predictions that miss by more and more, references with a name, and images of two cases."""
    for name in ("ours", "truth", "images", "out"):
        (tmp_path / name).mkdir()
    for n, shift in enumerate((0.0, 0.2, 0.5)):
        write_labels(LabelMap(ball(shift), GRID), tmp_path / "ours" / f"p{n}.nii.gz")
        write_labels(LabelMap(ball(0.0), GRID, {4: "ball"}), tmp_path / "truth" / f"p{n}.seg.nrrd")
        if n:
            write_image(
                Image(ball(0.0).float() + torch.rand(GRID.shape), GRID), tmp_path / f"images/p{n}.nii.gz"
            )
    return tmp_path


def test_rows_agree_with_simpleitk(folders):
    evaluate_folders(folders / "ours", folders / "truth", folders / "out")
    with (folders / "out" / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["label"], row["name"]) for row in rows] == [
        (f"p{n}", "4", "ball") for n in range(3)
    ]
    for row, shift in zip(rows, (0.0, 0.2, 0.5), strict=True):
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(*(sitk.GetImageFromArray(ball(s).numpy()) for s in (0.0, shift)))
        assert float(row["dice"]) == pytest.approx(overlap.GetDiceCoefficient(4))


def test_the_table_has_a_line_per_label_and_one_for_all(folders):
    text = evaluate_folders(folders / "ours", folders / "truth", folders / "out")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines] == ["label", "---", "4 ball", "all"]
    assert (folders / "out" / "scores.md").read_text(encoding="utf-8") == text


def test_the_worst_cases_are_drawn_worst_first(folders):
    evaluate_folders(folders / "ours", folders / "truth", folders / "out", folders / "images", worst=2)
    written = sorted(p.name for p in (folders / "out").iterdir())
    assert written == ["scores.csv", "scores.md", "scores.png", "worst_1_p2.jpg", "worst_2_p1.jpg"]
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(folders / "out" / "worst_1_p2.jpg"))).astype(int)
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    assert ((red > blue + 80) & (red > green + 40)).sum() > 50  # the prediction's outline
    assert ((green > blue + 40) & (green > red + 60)).sum() > 50  # the reference's


def test_a_label_that_is_missing_everywhere_leaves_no_number(folders):
    for n in range(3):
        write_labels(LabelMap(ball(0.0) * 0, GRID), folders / "ours" / f"p{n}.nii.gz")
    text = evaluate_folders(folders / "ours", folders / "truth", folders / "out", worst=1)
    assert "| 4 ball | 3 | 0.000 ± 0.000 | 0.000 ± 0.000 | – | -100.0 ± 0.0 |" in text


def test_what_only_one_folder_has_is_told(folders):
    (folders / "ours" / "p1.nii.gz").rename(folders / "ours" / "extra.nii.gz")
    told = []
    text = evaluate_folders(folders / "ours", folders / "truth", folders / "out", tell=told.append)
    assert told == ["Left out: no prediction for: p1; no labels for: extra"]
    assert text.startswith(f"# 2 cases\n\n{told[0]}\n\nSurface Dice")
    assert (folders / "out" / "scores.md").read_text(encoding="utf-8") == text


def test_what_is_rightly_empty_is_not_among_the_worst(folders):
    for place in ("ours/p0.nii.gz", "truth/p0.seg.nrrd"):
        write_labels(LabelMap(ball(0.0) * 0, GRID), folders / place)
    evaluate_folders(folders / "ours", folders / "truth", folders / "out")
    pictures = sorted(p.name for p in (folders / "out").glob("*.jpg"))
    assert pictures == ["worst_1_p2.jpg", "worst_2_p1.jpg", "worst_3_p0.jpg"]


def test_the_pictures_of_an_earlier_run_make_way(folders):
    (folders / "out" / "worst_case.jpg").touch()
    evaluate_folders(folders / "ours", folders / "truth", folders / "out", worst=3)
    evaluate_folders(folders / "ours", folders / "truth", folders / "out", worst=1)
    pictures = sorted(p.name for p in (folders / "out").glob("*.jpg"))
    assert pictures == ["worst_1_p2.jpg", "worst_case.jpg"]


def test_a_run_that_fails_leaves_the_results_of_an_earlier_one(folders):
    evaluate_folders(folders / "ours", folders / "truth", folders / "out", worst=1)
    before = {p.name: p.read_bytes() for p in (folders / "out").iterdir()}
    write_labels(LabelMap(ball(0.0), GRID), folders / "ours" / "p2.nii.gz")
    stages = []
    with pytest.raises(InputError, match="wrong is no folder"):
        evaluate_folders(
            folders / "ours", folders / "truth", folders / "out", folders / "wrong",
            progress=lambda *stage: stages.append(stage),
        )  # fmt: skip
    assert not stages
    (folders / "images" / "p1.nii.gz").write_bytes(b"damaged")
    with pytest.raises(InputError, match="p1"):
        evaluate_folders(folders / "ours", folders / "truth", folders / "out", folders / "images")
    assert {p.name: p.read_bytes() for p in (folders / "out").iterdir()} == before


def test_folders_with_nothing_in_common_are_refused(folders):
    with pytest.raises(InputError, match="none of the same name"):
        evaluate_folders(folders / "out", folders / "truth", folders / "out")
