"""`synthfoundation register`, then `apply`, on files, as a user would."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from SynthFoundationLib.cli.app import app
from SynthFoundationLib.images import Image, LabelMap, read_labels, write_image, write_labels
from SynthFoundationLib.points import Points, read_points, write_points


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def case(pair, body, tmp_path_factory):
    """A folder with two scans, labels and places in the moving one, and the registration in `out`."""
    folder = tmp_path_factory.mktemp("case")
    fixed, moving, truth = pair
    write_image(fixed, folder / "fixed.nii.gz")
    write_image(moving, folder / "moving.nrrd")
    bright = (moving.data[0] > 500).int()
    write_labels(LabelMap(bright, moving.grid, {1: "bright"}), folder / "tissue.nii.gz")
    write_points(Points(truth.apply(body[::60]), ("",) * len(body[::60])), folder / "places.mrk.json")
    run = invoke(
        "register", folder / "fixed.nii.gz", folder / "moving.nrrd", "-o", folder / "out", "--preset", "fast",
        "--moving-labels", folder / "tissue.nii.gz", "--moving-points", folder / "places.mrk.json",
        "--features", "mind", "--device", "cpu",
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    return folder


def test_the_folder_is_complete(case):
    names = sorted(path.name for path in (case / "out").iterdir())
    assert names == [
        "inverse.h5", "moved.nii.gz", "places_moved.mrk.json", "report.html", "report.json",
        "tissue_moved.nii.gz", "transform.h5",
    ]  # fmt: skip
    report = json.loads((case / "out" / "report.json").read_text())
    assert report["verdict"]["word"] in ("good", "look closely")
    assert str(case) not in json.dumps(report)


def test_points_end_where_they_truly_belong(case, body):
    found = read_points(case / "out" / "places_moved.mrk.json").positions
    assert np.linalg.norm(found - body[::60], axis=1).mean() < 1.2


def test_apply_repeats_what_register_wrote(case):
    out = case / "out"
    again = invoke(
        "apply", case / "tissue.nii.gz", "-t", out / "transform.h5", "-r", case / "fixed.nii.gz",
        "-o", case / "again.nii.gz", "--as", "labels",
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    assert (
        read_labels(case / "again.nii.gz").data == read_labels(out / "tissue_moved.nii.gz").data
    ).float().mean() == 1


def test_apply_of_the_inverse_brings_an_image_back(case):
    out = case / "out"
    back = invoke(
        "apply", out / "moved.nii.gz", "-t", out / "inverse.h5", "-r", case / "moving.nrrd",
        "-o", case / "back.nii.gz",
    )  # fmt: skip
    assert back.exit_code == 0, back.output
    arrays = [sitk.GetArrayFromImage(sitk.ReadImage(str(case / n))) for n in ("back.nii.gz", "moving.nrrd")]
    inner = tuple(slice(8, -8) for _ in range(3))
    assert np.corrcoef(*(a[inner].ravel() for a in arrays))[0, 1] > 0.95


def test_refused_input_ends_with_2_one_line_and_no_results(case):
    run = invoke("register", case / "fixed.nii.gz", case / "places.mrk.json", "-o", case / "refused")
    assert run.exit_code == 2
    assert len(run.stderr.split("\n")) <= 3
    assert "places.mrk.json is not an image" in run.stderr
    assert not (case / "refused" / "report.html").exists()


def test_more_contrasts_of_both_sides_are_moved_along(case, pair, tmp_path):
    inverted = Image(pair[1].data.max() - pair[1].data, pair[1].grid)
    write_image(inverted, tmp_path / "inverted.nrrd")
    run = invoke(
        "register", case / "fixed.nii.gz", case / "moving.nrrd", "-o", tmp_path / "out",
        "--fixed-contrast", case / "fixed.nii.gz", "--moving-contrast", tmp_path / "inverted.nrrd",
        "--transform", "rigid",
        "--initial-transform", case / "out" / "transform.h5", "--features", "mind", "--symmetric",
        "--stiffness", "2",
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    first, second = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "out" / "moved.nii.gz")).reshape(-1, 2).T
    inside = (first > 50) & (second > 50)  # zero beyond the field of view
    assert np.corrcoef(first[inside], second[inside])[0, 1] < -0.99
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["stiffness"], report["transform"]) == (2, "rigid")


def test_contrasts_on_one_side_only_are_refused(case, tmp_path):
    run = invoke(
        "register", case / "fixed.nii.gz", case / "moving.nrrd", "-o", tmp_path / "out",
        "--fixed-contrast", case / "fixed.nii.gz",
    )  # fmt: skip
    assert run.exit_code == 2
    assert "2 contrasts" in run.output
    assert not (tmp_path / "out").exists()
