"""What lies in the folder afterwards, against SimpleITK with the files as written."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.demo import make_small_pair
from SynthFoundationLib.errors import InputError
from SynthFoundationLib.images import LabelMap, read_labels, write_image, write_labels
from SynthFoundationLib.points import Points, read_points, write_points
from SynthFoundationLib.registration.carried import read_carried
from SynthFoundationLib.registration.result import Registration

HOSTILE = "<script>liver</script>"
POINTS = np.array([[4.0, -6.0, 9.0], [-12.0, 3.0, -8.0], [0.0, 15.0, 2.0]])


@pytest.fixture(scope="module")
def registration():
    """The demo's small pair under its true transform."""
    fixed, moving, truth = make_small_pair()
    numbers = {"folds_percent": 0.0, "seconds": 1.0, "log_jacobian_sd": float("nan"), "stages": []}
    return Registration(fixed, moving, truth, truth.inverse(), numbers, lambda: ({}, None))


@pytest.fixture(scope="module")
def saved(registration, tmp_path_factory):
    """A folder with everything, and labels and points that came along."""
    folder = tmp_path_factory.mktemp("case of Jane Doe")
    data = (registration.moving.data[0] > 200).int() + 4 * (registration.moving.data[0] > 600).int()
    labels = LabelMap(data, registration.moving.grid, {1: HOSTILE, 5: "bright"})
    write_labels(labels, folder / "organs.seg.nrrd")
    write_points(Points(POINTS, ("a", "b", "c")), folder / "places.fcsv")
    write_image(registration.moving, folder / "moving.nrrd")
    registration.save(folder / "out", [folder / "organs.seg.nrrd", labels], [folder / "places.fcsv", POINTS])
    return folder / "out"


def test_the_folder_holds_all_and_nothing_else(saved):
    assert sorted(path.name for path in saved.iterdir()) == [
        "inverse.h5", "labels_moved.nii.gz", "moved.nii.gz", "organs_moved.seg.nrrd", "places_moved.fcsv",
        "points_moved.mrk.json", "report.html", "report.json", "transform.h5",
    ]  # fmt: skip


def test_moved_is_what_simpleitk_makes_of_the_written_transform(saved, registration):
    moving = sitk.ReadImage(str(saved.parent / "moving.nrrd"))
    moved = sitk.ReadImage(str(saved / "moved.nii.gz"))
    transform = sitk.ReadTransform(str(saved / "transform.h5"))
    least = float(registration.moving.data.min())
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, moved, transform, sitk.sitkLinear, least))
    error = np.abs(sitk.GetArrayFromImage(moved) - expected)
    assert (
        np.quantile(error, 0.999) < 0.5
    )  # of about 1000; beyond lies only the border, met or missed by rounding


def test_points_come_along_by_the_inverse(saved):
    inverse = sitk.ReadTransform(str(saved / "inverse.h5"))
    expected = [inverse.TransformPoint(point) for point in POINTS.tolist()]
    for name in ("places_moved.fcsv", "points_moved.mrk.json"):
        np.testing.assert_allclose(read_points(saved / name).positions, expected, atol=1e-3)
    forward = sitk.ReadTransform(str(saved / "transform.h5"))
    back = [forward.TransformPoint(point) for point in read_points(saved / "places_moved.fcsv").positions]
    np.testing.assert_allclose(back, POINTS, atol=0.05)
    assert read_points(saved / "places_moved.fcsv").labels == ("a", "b", "c")


def test_labels_come_along_with_names_and_no_new_value(saved, registration):
    labels = read_labels(saved / "organs_moved.seg.nrrd")
    assert labels.grid.same_space(registration.fixed.grid)
    assert labels.values == [1, 5]
    assert labels.names == {1: HOSTILE, 5: "bright"}
    source = sitk.ReadImage(str(saved.parent / "organs.seg.nrrd"))
    transform = sitk.ReadTransform(str(saved / "transform.h5"))
    moved = sitk.ReadImage(str(saved / "moved.nii.gz"))
    nearest = sitk.GetArrayFromImage(sitk.Resample(source, moved, transform, sitk.sitkNearestNeighbor, 0))
    same = labels.data.numpy() == nearest
    assert same.mean() > 0.85  # they differ along borders, where each voxel goes to what covers most of it


def test_the_report_is_strict_json_without_paths(saved):
    text = (saved / "report.json").read_text(encoding="utf-8")
    report = json.loads(text, parse_constant=pytest.fail)
    assert report["verdict"]["word"] in ("good", "look closely", "failed")
    assert report["log_jacobian_sd"] is None
    assert [one["name"] for one in report["labels"][:2]] == [HOSTILE, "bright"]
    html = (saved / "report.html").read_text(encoding="utf-8")
    assert HOSTILE not in html
    assert len(html) < 3_000_000
    for page in (text, html):
        assert "Jane Doe" not in page
        assert str(saved.parent) not in page


def test_what_cannot_come_along_leaves_the_folder_alone(registration, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        registration.save(tmp_path / "out", [tmp_path / "none.nii.gz"])
    assert list(tmp_path.iterdir()) == []


def test_the_results_of_an_earlier_run_survive_a_failing_one(registration, tmp_path):
    for name in ("report.html", "transform.h5"):
        (tmp_path / name).write_text("earlier")
    (tmp_path / "moved.nii.gz").mkdir()
    with pytest.raises(InputError, match="moved"):
        registration.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"moved.nii.gz", "report.html", "transform.h5"}
    assert (tmp_path / "report.html").read_text() == (tmp_path / "transform.h5").read_text() == "earlier"


def test_what_an_earlier_run_brought_along_makes_way_and_nothing_else(registration, tmp_path):
    labels = LabelMap((registration.moving.data[0] > 200).int(), registration.moving.grid)
    registration.save(tmp_path, [labels], [POINTS])
    (tmp_path / "mine_moved.nii.gz").write_text("the user's")
    registration.save(tmp_path)
    results = {"inverse.h5", "moved.nii.gz", "report.html", "report.json", "transform.h5"}
    assert {path.name for path in tmp_path.iterdir()} == results | {"mine_moved.nii.gz"}


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": [3, "../other", "/etc/none"]}'])
def test_a_report_that_lists_something_else_harms_nothing(registration, tmp_path, text):
    (tmp_path / "other").write_text("the user's")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text(text)
    registration.save(tmp_path / "out")
    assert (tmp_path / "other").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(registration, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="out"):
        registration.save(tmp_path / "out")


def test_no_two_files_get_one_name(tmp_path):
    grid = make_small_pair()[0].grid
    labels = LabelMap(torch.ones(grid.shape, dtype=torch.int32), grid)
    paths = [tmp_path / "a" / "Tumour.nii.gz", tmp_path / "b" / "tumour.nii.gz", tmp_path / "tumour.mha"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        write_labels(labels, path)
    carried = read_carried([*paths, labels, labels], [POINTS, POINTS])
    assert list(carried.labels) == [
        "Tumour_moved.nii.gz", "tumour_2_moved.nii.gz", "tumour_moved.mha",
        "labels_moved.nii.gz", "labels_2_moved.nii.gz",
    ]  # fmt: skip
    assert list(carried.points) == ["points_moved.mrk.json", "points_2_moved.mrk.json"]
