"""Which label map belongs to which image."""

import pytest

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.segmentation.cases import find_cases, find_images, find_pairs, find_support


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def told(cases):
    return [(c.name, [p.name for p in c.images], c.labels.name) for c in cases]


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        ("a.nii.gz", "a.nii.gz", ("a", ["a.nii.gz"], "a.nii.gz")),
        ("a.mha", "a.seg.nrrd", ("a", ["a.mha"], "a.seg.nrrd")),
        ("a_0000.nii.gz", "a.nii.gz", ("a", ["a_0000.nii.gz"], "a.nii.gz")),
        ("a.b.nrrd", "a.b_labels.nrrd", ("a.b", ["a.b.nrrd"], "a.b_labels.nrrd")),
        ("series/1.dcm", "series-seg.nii", ("series", ["series"], "series-seg.nii")),
    ],
)
def test_files_of_one_name_belong_together(tmp_path, images, labels, expected):
    touch(tmp_path, f"images/{images}", f"labels/{labels}", "images/.hidden.nii", "labels/notes.txt")
    assert told(find_cases(tmp_path / "images", tmp_path / "labels")) == [expected]
    assert told(find_support(tmp_path)) == [expected]


def test_contrasts_of_one_person_are_one_case(tmp_path):
    touch(
        tmp_path,
        "images/p_0001.nii",
        "images/p_0000.nii",
        "images/q_0000.nii",
        "labels/p.nii",
        "labels/q.nii",
    )
    names = [images for _, images, _ in told(find_support(tmp_path))]
    assert names == [["p_0000.nii", "p_0001.nii"], ["q_0000.nii"]]


def test_images_of_several_folders_are_cases_of_their_own(tmp_path):
    touch(tmp_path, "a/p_0001.nii", "a/p_0000.nii", "a/q.nii", "b/r.nrrd", "scan/1.dcm")
    found = find_images([tmp_path / "a", tmp_path / "a/q.nii", tmp_path / "b/r.nrrd", tmp_path / "scan"])
    assert [(case.name, [p.name for p in case.images]) for case in found] == [
        ("p", ["p_0000.nii", "p_0001.nii"]),
        ("q", ["q.nii"]),
        ("r", ["r.nrrd"]),
        ("scan", ["scan"]),
    ]


@pytest.mark.parametrize(
    "files",
    [
        ("1/ct.nii.gz", "2/ct.nii.gz"),
        ("1/ct.nii.gz", "1/ct.nrrd"),
        ("1/ct_0000.nii", "2/ct_0001.nii"),
        ("1/ct_0000.nii", "1/ct.nii"),
    ],
)
def test_two_scans_of_one_name_are_no_contrasts_of_one_person(tmp_path, files):
    touch(tmp_path, *files)
    with pytest.raises(InputError, match="would both be called ct"):
        find_images([tmp_path / file for file in files])


def test_dicom_folders_of_one_name_are_two_scans(tmp_path):
    touch(tmp_path, "1/scan/1.dcm", "2/scan/1.dcm")
    with pytest.raises(InputError, match="would both be called scan"):
        find_images([tmp_path / "1/scan", tmp_path / "2/scan"])


def test_images_and_labels_may_lie_side_by_side(tmp_path):
    touch(tmp_path, "t1.nii.gz", "t1_labels.nii.gz", "ct.nrrd", "ct.seg.nrrd")
    assert told(find_support(tmp_path)) == [
        ("ct", ["ct.nrrd"], "ct.seg.nrrd"),
        ("t1", ["t1.nii.gz"], "t1_labels.nii.gz"),
    ]


def test_predictions_meet_the_labels_that_exist(tmp_path):
    touch(tmp_path, "ours/a.nii.gz", "ours/b.nii.gz", "truth/b_labels.nrrd", "truth/c.nii.gz")
    assert [name for name, _, _ in find_pairs(tmp_path / "ours", tmp_path / "truth")] == ["b"]


def test_images_without_labels_are_refused(tmp_path):
    touch(tmp_path, "images/a.nii", "images/b.nii", "labels/a.nii")
    with pytest.raises(InputError, match="no labels for b"):
        find_support(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        find_support(tmp_path / "missing")
    with pytest.raises(InputError, match="0 images"):
        find_support(touch(tmp_path / "other", "notes.txt"))
    with pytest.raises(InputError, match="none of the same name"):
        find_pairs(tmp_path / "images", touch(tmp_path / "more", "c.nii"))
