import csv
import json

import numpy as np
import pytest
import registration
import SimpleITK as sitk
from datasets import find_pairs
from scipy.ndimage import gaussian_filter

from SynthFoundationLib.errors import InputError

SHIFT = 4.0  # mm along x, two voxels
SPACING = (2.0, 2.0, 2.0)


def blobs(shift):
    """Intensities and labels of one ball of texture, moved by so many voxels along x."""
    rng = np.random.default_rng(5)
    volume = gaussian_filter(rng.random((32, 32, 32)), 2)
    volume = 1 + (volume - volume.min()) / np.ptp(volume)
    z, y, x = np.indices(volume.shape) - 15.5
    volume[z**2 + y**2 + x**2 > 12**2] = 0
    labels = np.zeros(volume.shape, np.uint8)
    labels[(z + 3) ** 2 + y**2 + (x - 3) ** 2 < 25] = 1
    labels[(z - 5) ** 2 + y**2 + (x + 2) ** 2 < 16] = 2
    return np.roll(volume, shift, 2), np.roll(labels, shift, 2)


def write(array, path, origin=(0.0, 0.0, 0.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array.astype(np.uint8 if array.dtype == np.uint8 else np.float32))
    image.SetSpacing(SPACING)
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))


@pytest.fixture
def folders(tmp_path):
    """A_known and D_labels: the same pair with either truth."""
    (fixed, fixed_labels), (moving, moving_labels) = blobs(0), blobs(2)
    for name in ("A_known", "D_labels"):
        write(fixed, tmp_path / "pairs" / name / "fixed.nii.gz")
        write(moving, tmp_path / "pairs" / name / "moving.nii.gz")
    points = np.random.default_rng(0).uniform(20, 42, (50, 3))
    known, labelled = (tmp_path / "pairs" / name for name in ("A_known", "D_labels"))
    np.savez(known / "points.npz", x=points, y=points + np.array((SHIFT, 0, 0)))
    (known / "info.json").write_text('{"kind": "known"}')
    write(fixed_labels, labelled / "fixed_seg.nii.gz")
    write(moving_labels, labelled / "moving_seg.nii.gz")
    (labelled / "info.json").write_text('{"kind": "dice", "labels": [1, 2]}')
    return tmp_path / "pairs"


@pytest.fixture
def learn2reg(tmp_path):
    """Three pairs of modality 1 to 0; the first has everything, the second points, the third no truth.

    The label maps' headers are wrong, as in some of the challenge's datasets.
    """
    root = tmp_path / "MadeUpMRCT"
    (fixed, fixed_labels), (moving, moving_labels) = blobs(0), blobs(2)
    moving_labels[:2] = 7  # in one image only
    for case in ("0001", "0002", "0003"):
        folder = "Ts" if case == "0003" else "Tr"
        write(fixed, root / f"images{folder}" / f"MadeUpMRCT_{case}_0000.nii.gz")
        write(moving, root / f"images{folder}" / f"MadeUpMRCT_{case}_0001.nii.gz", (100.0, 0, 0))
    wrong = (-50.0, 30.0, 0.0)
    for kind, maps in (("labels", (fixed_labels, moving_labels)), ("masks", (fixed > 0, moving > 0))):
        for modality, array in enumerate(maps):
            path = root / f"{kind}Tr" / f"MadeUpMRCT_0001_000{modality}.nii.gz"
            write(array.astype(np.uint8), path, wrong)
    (root / "keypointsTr").mkdir()
    points = np.random.default_rng(0).uniform(10, 20, (30, 3))
    for modality, shift in enumerate((0, 2)):
        path = root / "keypointsTr" / f"MadeUpMRCT_0002_000{modality}.csv"
        np.savetxt(path, points + np.array((shift, 0, 0)), delimiter=",", fmt="%.6f")
    (root / "MadeUpMRCT_dataset.json").write_text(json.dumps(description()))
    return root


def description():
    def pairs(folder, *cases):
        image = "./images{}/MadeUpMRCT_{}_000{}.nii.gz"
        roles = (("fixed", 0), ("moving", 1))
        return [{role: image.format(folder, case, number) for role, number in roles} for case in cases]

    return {
        "name": "MadeUpMRCT",
        "pairings": "paired",
        "provided_data": {"0": ["image", "label", "mask"], "1": ["image", "label", "mask"]},
        "registration_direction": {"fixed": 0, "moving": 1},
        "modality": {"0": "MR", "1": "CT"},
        "labels": {"0": {"0": "background", "1": "liver", "2": "spleen"}},
        "tensorImageSize": {"0": "3D"},
        "tensorImageShape": {"0": [32, 32, 32]},
        "training_paired_images": pairs("Tr", "0001", "0002"),
        "numRegistration_val": 2,
        "registration_val": pairs("Tr", "0001", "0002"),
        "registration_test": pairs("Ts", "0003"),
    }


def run(source, output, *more):
    status = registration.main([str(source), "-o", str(output), "--preset", "fast", *more])
    lines = (output / "results.jsonl").read_text().splitlines()
    return status, [json.loads(line) for line in lines]


def test_pairs_in_folders_are_scored_and_reported_and_kept_on_restart(folders, tmp_path):
    output = tmp_path / "out"
    status, rows = run(folders, output, "--peer", "identity")
    found = {(row["pair"], row["method"]): row for row in rows}
    before, after = (found["A_known", method] for method in ("identity", "mind, fast"))

    assert status == 0
    assert before["tre_mm"] == pytest.approx(SHIFT)
    assert after["tre_mm"] < 0.5
    assert found["D_labels", "identity"]["dice"] == pytest.approx(overlap_of_the_shift(), abs=1e-4)
    assert found["D_labels", "mind, fast"]["dice"] > 0.9
    assert all(row["folds_percent"] == 0 and row["peak_memory_mb"] > 50 for row in rows)

    report = (output / "results.md").read_text()
    assert "python Testing/Benchmarks/registration.py pairs -o out --preset fast --peer identity" in report
    assert "| A (1) | identity |  | 4.00 | 4.00 |" in report
    with (output / "results.csv").open() as file:
        first = next(csv.DictReader(file))
    assert (first["pair"], first["tre_mm"]) == ("A_known", "4.0")
    assert (output / "results.png").read_bytes().startswith(b"\x89PNG")
    for name in ("results.md", "results.csv", "results.jsonl"):
        assert str(tmp_path) not in (output / name).read_text()

    with (output / "results.jsonl").open("a") as file:
        file.write('{"group": "A", "pa')  # killed here
    assert run(folders, output, "--peer", "identity") == (0, rows)
    assert (output / "results.md").read_text() == report


def overlap_of_the_shift():
    (_, fixed), (_, moving) = blobs(0), blobs(2)
    return np.mean([2 * ((fixed == n) & (moving == n)).sum() / (2 * (fixed == n).sum()) for n in (1, 2)])


def test_learn2reg_dataset_is_scored_on_its_voxels(learn2reg, tmp_path):
    status, rows = run(
        learn2reg, tmp_path / "out", "--masks", "--peer", "identity", "--only", "MadeUpMRCT_0001"
    )
    before, after = rows
    assert status == 0
    assert before["dice"] == 0  # the images' headers put them 100 mm apart
    assert after["dice"] > 0.9
    assert after["dice_of"].keys() == {"1", "2"}  # no 7
    assert "## MadeUpMRCT" in (tmp_path / "out" / "results.md").read_text()


def test_learn2reg_pairs_are_those_with_a_truth(learn2reg):
    pairs = find_pairs(learn2reg)
    names = [f"MadeUpMRCT_{case}_0000_to_{case}_0001" for case in ("0001", "0002")]
    assert [pair.name for pair in pairs] == names
    assert pairs == find_pairs(learn2reg / "MadeUpMRCT_dataset.json", ("train", "val"))
    assert find_pairs(learn2reg, limit=1) == pairs[:1]
    assert [bool(pair.masks) for pair in pairs] == [True, False]
    with pytest.raises(InputError, match="0 pairs"):
        find_pairs(learn2reg, ("test",))


def test_learn2reg_keypoints_are_voxel_indices(learn2reg, tmp_path):
    (pair,) = find_pairs(learn2reg, only=["MadeUpMRCT_0002"])
    fixed, moving = (sitk.ReadImage(str(file)) for file in (pair.fixed, pair.moving))
    grids = (registration.read_image(pair.fixed).grid, registration.read_image(pair.moving).grid)
    x, y = pair.read_points(grids)
    for image, file, points in zip((fixed, moving), pair.points, (x, y), strict=True):
        first = np.loadtxt(file, delimiter=",")[0].tolist()
        assert points[0] == pytest.approx(image.TransformContinuousIndexToPhysicalPoint(first))


def test_landmarks_come_before_keypoints_and_keypoints_of_two_modalities_before_others(learn2reg):
    def points_of(kind):
        for modality in (0, 1):
            path = learn2reg / f"{kind}Tr" / f"MadeUpMRCT_0002_000{modality}.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text("1.0,2.0,3.0\n")
        return {file.parent.name for file in find_pairs(learn2reg)[1].points}

    assert [points_of(kind) for kind in ("keypoints01", "landmarks")] == [{"keypoints01Tr"}, {"landmarksTr"}]


def test_a_pair_that_fails_is_reported_without_its_folder_and_tried_again(folders, tmp_path):
    (folders / "A_known" / "moving.nii.gz").write_bytes(b"no image")
    status, rows = run(folders, tmp_path / "out", "--only=A", f"--weights={tmp_path}/none.safetensors")
    assert status == 1
    assert "moving.nii.gz" in rows[0]["error"]
    report = (tmp_path / "out" / "results.md").read_text()
    assert "--only=A --weights=none.safetensors" in report
    assert str(tmp_path) not in report
    assert len(run(folders, tmp_path / "out", "--only", "A")[1]) == 2


def test_what_is_no_pair_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="does not exist"):
        registration.main([str(tmp_path / "none"), "-o", str(tmp_path / "out")])
    for text, why in (
        ('{"name": "X"}', "registration_val"),
        ('{"registration_val": [["a", "b"]]}', "fixed and moving"),
        ("[1]", "list"),
        ("{", "not JSON"),
    ):
        (tmp_path / "X_dataset.json").write_text(text)
        with pytest.raises(InputError, match=why):
            find_pairs(tmp_path)
