"""Which label map belongs to which image."""

import pytest
import SimpleITK as sitk

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.segmentation.cases import (
    find_cases,
    find_images,
    find_pairs,
    find_support,
    images_by_name,
)


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
        ("a.hdr", "a-label.nhdr", ("a", ["a.hdr"], "a-label.nhdr")),
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


def images_in(folder):
    return [(case.name, [p.name for p in case.images]) for case in find_images([folder])]


def test_all_images_of_a_folder_are_found(tmp_path):
    touch(tmp_path, "a.hdr", "a.img", "b.nhdr", "b.raw", "c.mhd", "c.img", "d.NII", "e.img", "notes.txt")
    assert [name for name, _ in images_in(tmp_path)] == ["a", "b", "c", "d", "e"]
    assert images_in(tmp_path)[0] == ("a", ["a.hdr"])


def test_series_and_images_of_a_folder_are_found_side_by_side(tmp_path):
    touch(tmp_path, "P1/1.dcm", "P1/again/1.dcm", "P3/2.IMA", "P4/notes.txt", "P4/.4.dcm", "DICOMDIR")
    (tmp_path / "P2").mkdir()
    (tmp_path / "P2" / "IM1").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert images_in(tmp_path) == [("P1", ["P1"]), ("P2", ["P2"]), ("P3", ["P3"])]
    touch(tmp_path, "Q.nii.gz")
    assert [name for name, _ in images_in(tmp_path)] == ["P1", "P2", "P3", "Q"]


def test_a_series_is_found_with_the_images_beside_its_slices(tmp_path):
    touch(tmp_path / "scan", "1.dcm", "Q.nii.gz", "below/1.dcm")
    assert images_in(tmp_path / "scan") == [("scan", ["scan"]), ("Q", ["Q.nii.gz"])]


def test_slices_of_the_old_kind_that_do_not_say_so_are_a_series(tmp_path):
    path = tmp_path / "P1" / "slice.dcm"
    path.parent.mkdir()
    sitk.WriteImage(sitk.Image(8, 8, 1, sitk.sitkInt16), str(path))
    content = path.read_bytes()
    head = 132 + 12 + int.from_bytes(content[140:144], "little")  # its length is the first value of it
    (tmp_path / "P1" / "I1").write_bytes(content[head:])
    path.unlink()
    assert images_in(tmp_path) == [("P1", ["P1"])]


def test_segmentations_beside_scans_are_no_scans(tmp_path):
    touch(tmp_path, "a.nrrd", "a.seg.nrrd", "b.nii.gz", "b.SEG.NRRD", "c.seg.nhdr")
    assert [name for name, _ in images_in(tmp_path)] == ["a", "b"]
    assert {name: len(files) for name, files in images_by_name(tmp_path).items()} == {"a": 1, "b": 1}
    with pytest.raises(InputError, match="holds neither images nor DICOM series"):
        images_in(touch(tmp_path / "other", "a.seg.nrrd", "below/notes.txt"))


@pytest.mark.parametrize("given", [".", "below/.."])
def test_a_folder_that_is_not_called_by_its_name_has_one(tmp_path, monkeypatch, given):
    monkeypatch.chdir(touch(tmp_path / "patient", "1.dcm", "below/notes.txt"))
    assert [name for name, _ in images_in(given)] == ["patient"]


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
    touch(tmp_path, "t1.nii.gz", "t1_labels.nii.gz", "ct_0000.nii", "ct_0001.nii", "ct.seg.nrrd")
    expected = [
        ("ct", ["ct_0000.nii", "ct_0001.nii"], "ct.seg.nrrd"),
        ("t1", ["t1.nii.gz"], "t1_labels.nii.gz"),
    ]
    assert told(find_support(tmp_path)) == expected
    assert told(find_cases(tmp_path, tmp_path / "." / "")) == expected
    copies = touch(tmp_path / "copies", "t1.nii.gz", "ct_0000.nii", "ct_0001.nii")
    assert told(find_cases(copies, tmp_path)) == expected


def test_two_label_maps_of_one_case_are_refused(tmp_path):
    touch(tmp_path, "images/a.nii", "labels/a.seg.nrrd", "labels/a_mask.nii")
    with pytest.raises(InputError, match=r"a.seg.nrrd and a_mask.nii in labels would both be"):
        find_support(tmp_path)


def test_predictions_meet_the_labels_that_exist(tmp_path):
    touch(tmp_path, "ours/a.nii.gz", "ours/b.nii.gz", "truth/b_labels.nrrd", "truth/c.nii.gz", "truth/d.nii")
    pairs = find_pairs(tmp_path / "ours", tmp_path / "truth")
    assert [name for name, _, _ in pairs.cases] == ["b"]
    assert (pairs.unpredicted, pairs.unlabelled) == (["c", "d"], ["a"])
    assert pairs.left_out == "no prediction for: c, d; no labels for: a"
    assert find_pairs(tmp_path / "ours", tmp_path / "ours").left_out == ""


def test_scans_beside_their_segmentations_are_no_predictions(tmp_path):
    touch(tmp_path, "ours/a.nii.gz", "ours/a.seg.nrrd", "ours/b_0000.nii", "ours/b.seg.nrrd")
    touch(tmp_path, "truth/a.nii", "truth/b.nii")
    pairs = find_pairs(tmp_path / "ours", tmp_path / "truth")
    assert [path.name for _, path, _ in pairs.cases] == ["a.seg.nrrd", "b.seg.nrrd"]
    assert pairs.left_out == ""


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
