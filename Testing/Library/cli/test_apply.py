"""`apply` against SimpleITK, on an oblique grid and through a chain."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from typer.testing import CliRunner

from SynthFoundationLib.cli.app import app
from SynthFoundationLib.geometry import Affine, DisplacementField, Grid, write_transform
from SynthFoundationLib.images import Image, LabelMap, read_labels, write_image, write_labels
from SynthFoundationLib.points import Points, read_points, write_points

FIXED = Grid((12, 11, 10), (1.0, 1.2, 1.5), (-5.0, -6.0, -7.0))
MOVING = Grid((14, 13, 9), (1.1, 1.0, 1.7), (-6.0, -6.0, -8.0), (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))


def apply(*arguments):
    result = CliRunner().invoke(app, ["apply", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def folder(tmp_path):
    """Two transforms, a fixed and a moving image, labels and points."""
    random = torch.Generator().manual_seed(0)
    turn = np.eye(4)
    turn[:3, :3] = [[0.98, -0.199, 0], [0.199, 0.98, 0], [0, 0, 1]]
    turn[:3, 3] = (1.0, -0.5, 0.25)
    bend = torch.nn.functional.interpolate(
        0.4 * torch.randn(1, 3, 3, 3, 3, generator=random), FIXED.shape, mode="trilinear", align_corners=True
    )
    write_transform(Affine(turn), tmp_path / "turn.h5")
    write_transform(DisplacementField(bend[0], FIXED), tmp_path / "bend.h5")
    write_image(Image(torch.randn(FIXED.shape, generator=random), FIXED), tmp_path / "fixed.nii.gz")
    write_image(Image(torch.randn(MOVING.shape, generator=random), MOVING), tmp_path / "moving.nii.gz")
    blocks = (torch.arange(MOVING.shape[0]) // 3)[:, None, None].expand(MOVING.shape)
    write_labels(LabelMap(blocks, MOVING, {1: "one", 2: "two"}), tmp_path / "labels.seg.nrrd")
    write_points(Points(np.array([[0.5, 1.0, -1.0], [2.0, -2.0, 0.0]]), ("a", "b")), tmp_path / "points.csv")
    return tmp_path


def test_an_image_goes_through_a_chain_as_in_simpleitk(folder):
    apply(
        folder / "moving.nii.gz", "-t", folder / "bend.h5", "-t", folder / "turn.h5",
        "-r", folder / "fixed.nii.gz", "-o", folder / "moved.nii.gz", "--fill", -7,
    )  # fmt: skip
    chain = sitk.CompositeTransform([sitk.ReadTransform(str(folder / f"{n}.h5")) for n in ("turn", "bend")])
    fixed, moving = (sitk.ReadImage(str(folder / f"{n}.nii.gz")) for n in ("fixed", "moving"))
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, chain, sitk.sitkLinear, -7))
    moved = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "moved.nii.gz")))
    np.testing.assert_allclose(moved, expected, atol=5e-3)


def test_points_of_the_moving_image_end_where_the_chain_comes_from(folder):
    chain = ["-t", folder / "bend.h5", "-t", folder / "turn.h5"]
    apply(folder / "points.csv", *chain, "-o", folder / "in_fixed.fcsv")
    transform = sitk.CompositeTransform(
        [sitk.ReadTransform(str(folder / f"{n}.h5")) for n in ("turn", "bend")]
    )
    back = [transform.TransformPoint(p) for p in read_points(folder / "in_fixed.fcsv").positions]
    np.testing.assert_allclose(back, read_points(folder / "points.csv").positions, atol=1e-2)


def test_an_inverted_transform_undoes_itself(folder):
    apply(
        folder / "points.csv",
        "-t",
        folder / "turn.h5",
        "-t",
        f"inverse:{folder / 'turn.h5'}",
        "-o",
        folder / "same.csv",
    )
    np.testing.assert_allclose(
        read_points(folder / "same.csv").positions, read_points(folder / "points.csv").positions, atol=1e-6
    )


def test_a_slicer_segmentation_keeps_its_names(folder):
    apply(
        folder / "labels.seg.nrrd",
        "-t",
        folder / "turn.h5",
        "-r",
        folder / "fixed.nii.gz",
        "-o",
        folder / "out.seg.nrrd",
    )
    labels = read_labels(folder / "out.seg.nrrd")
    assert labels.grid.same_space(FIXED)
    assert labels.names[1] == "one"
    assert set(labels.values) <= {1, 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["moving.nii.gz", "-t", "turn.h5", "-o", "out.nii.gz"], "--reference"),
        (
            ["moving.nii.gz", "-t", "none.h5", "-r", "fixed.nii.gz", "-o", "out.nii.gz"],
            "none.h5 does not exist",
        ),
        (["moving.nii.gz", "-t", "turn.h5", "-r", "none.nii", "-o", "out.nii.gz"], "none.nii does not exist"),
        (["moving.nii.gz", "-t", "turn.h5", "-r", "fixed.nii.gz", "-o", "out.xyz"], "cannot write out.xyz"),
        (
            ["moving.nii.gz", "-t", "turn.h5", "-r", "fixed.nii.gz", "-o", "none/out.nii.gz"],
            "folder does not exist",
        ),
        (
            ["moving.nii.gz", "--as", "labels", "-t", "turn.h5", "-r", "fixed.nii.gz", "-o", "out.nii.gz"],
            "whole numbers",
        ),
        (["points.csv", "-t", "moving.nii.gz", "-o", "out.csv"], "displacement field"),
        (
            ["moving.nii.gz", "-t", "turn.h5", "-r", "fixed.nii.gz", "-o", "./moving.nii.gz"],
            "would overwrite moving.nii.gz",
        ),
        (
            ["moving.nii.gz", "-t", "turn.h5", "-r", "fixed.nii.gz", "-o", "fixed.nii.gz"],
            "would overwrite fixed.nii.gz",
        ),
        (["points.csv", "-t", "turn.h5", "-o", "points.csv"], "would overwrite points.csv"),
    ],
)
def test_what_cannot_be_applied_is_one_line_and_leaves_nothing(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    result = CliRunner().invoke(app, ["apply", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert sorted(folder.iterdir()) == before
