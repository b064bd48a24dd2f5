"""`segment` on a ball of which three slices are labelled."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from typer.testing import CliRunner

from SynthFoundationLib.cli.app import app
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, LabelMap, read_labels, write_image, write_labels

GRID = Grid((24, 22, 20), (1.0, 1.0, 1.2))


@pytest.fixture
def case(tmp_path):
    """An image with a bright ball, and seeds that label the ball on three slices."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    ball = torch.from_numpy(x**2 + y**2 + z**2 < 0.5)
    noise = torch.randn(GRID.shape, generator=torch.Generator().manual_seed(0))
    write_image(Image(ball * 100.0 + 5 * noise + 50, GRID), tmp_path / "scan.nii.gz")
    seeds = torch.zeros(GRID.shape, dtype=torch.int32)
    for index in (6, 10, 14):
        seeds[index] = ball[index] * 3
    write_labels(LabelMap(seeds, GRID, {3: "ball"}), tmp_path / "seeds.seg.nrrd")
    return tmp_path, ball.numpy()


def segment(*arguments):
    return CliRunner().invoke(app, ["segment", *map(str, arguments)])


def test_a_ball_is_found_from_three_slices_with_its_name_and_how_sure(case):
    folder, ball = case
    result = segment(
        folder / "scan.nii.gz", folder / "seeds.seg.nrrd", "-o", folder / "out.seg.nrrd",
        "--confidence", folder / "sure.nii.gz", "--probabilities", folder / "each.nrrd", "--features", "none",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    labels = read_labels(folder / "out.seg.nrrd")
    found = labels.data.numpy() == 3
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.85
    assert labels.names == {3: "ball"}
    assert sitk.ReadImage(str(folder / "sure.nii.gz")).GetSize() == GRID.size
    assert sitk.ReadImage(str(folder / "each.nrrd")).GetNumberOfComponentsPerPixel() == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seeds.seg.nrrd"], "at least one image"),
        (["scan.nii.gz", "scan.nii.gz"], "whole numbers"),
        (["scan.nii.gz", "seeds.seg.nrrd", "--complete-slices", "k"], "complete slices"),
        (["scan.nii.gz", "seeds.seg.nrrd", "--background", "9"], "the seeds have labels 3"),
        (["scan.nii.gz", "seeds.seg.nrrd", "--confidence", "sure.png"], "cannot write sure.png"),
        (["scan.nii.gz", "seeds.seg.nrrd", "--probabilities", "none/p.nrrd"], "folder does not exist"),
        (["scan.nii.gz", "seeds.seg.nrrd", "--confidence", "out.nii.gz"], "named for two results"),
        (["scan.nii.gz", "seeds.seg.nrrd", "--probabilities", "p.seg.nrrd"], "would be a segmentation"),
        (["scan.nii.gz", "seeds.seg.nrrd", "--confidence", "scan.nii.gz"], "would overwrite scan.nii.gz"),
        (["scan.nii.gz", "--draft", "seeds.seg.nrrd", "--support", "."], "give one of them"),
        (["scan.nii.gz", "seeds.seg.nrrd", "--draft", "seeds.seg.nrrd"], "the draft as it is"),
        (["scan.nii.gz", "seeds.seg.nrrd", "--draft", "none.nrrd"], "none.nrrd"),
    ],
)
def test_what_cannot_be_segmented_is_one_line(case, monkeypatch, arguments, message):
    monkeypatch.chdir(case[0])
    result = segment(*arguments, "-o", "out.nii.gz")
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (case[0] / "out.nii.gz").exists()


@pytest.fixture
def support(case):
    """The ball somewhat elsewhere in two other scans, as folders images and labels."""
    folder = case[0] / "support"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    for n in (1, 2):
        ball = torch.from_numpy((x - 0.1 * n) ** 2 + y**2 + z**2 < 0.5)
        noise = torch.randn(GRID.shape, generator=torch.Generator().manual_seed(n))
        write_image(Image(ball * 100.0 + 5 * noise + 50, GRID), folder / "images" / f"p{n}_0000.nii.gz")
        labels = LabelMap(ball.int() * 3, GRID, {3: "ball"}, {3: (1.0, 0.5, 0.0)})
        write_labels(labels, folder / "labels" / f"p{n}.seg.nrrd")
    return folder


def test_a_ball_is_found_from_other_scans_with_its_name_and_colour(case, support):
    folder, ball = case
    result = segment(
        folder / "scan.nii.gz", "--support", support, "-o", folder / "out.seg.nrrd", "--features", "none",
        "--confidence", folder / "sure.nii.gz", "--probabilities", folder / "each.nrrd",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    labels = read_labels(folder / "out.seg.nrrd")
    found = labels.data.numpy() == 3
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.9
    assert (labels.names, labels.colors) == ({3: "ball"}, {3: (1.0, 0.5, 0.0)})
    assert sitk.ReadImage(str(folder / "sure.nii.gz")).GetSize() == GRID.size
    assert sitk.ReadImage(str(folder / "each.nrrd")).GetNumberOfComponentsPerPixel() == 2


def test_seeds_on_another_grid_give_labels_on_the_grid_of_the_image(case):
    folder, ball = case
    seeds = read_labels(folder / "seeds.seg.nrrd")
    inner = GRID.cropped((2, 1, 3), (23, 21, 18))
    part = seeds.data[3:18, 1:21, 2:23]
    write_labels(LabelMap(part, inner, seeds.names), folder / "inner.seg.nrrd")
    result = segment(
        folder / "scan.nii.gz", folder / "inner.seg.nrrd", "-o", folder / "out.nii.gz", "--features", "none",
        "--complete-slices", "k:6,10,14",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    labels = read_labels(folder / "out.nii.gz")
    found = labels.data.numpy() == 3
    assert labels.grid.same_space(GRID)
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.85


def test_a_segmentation_is_corrected_from_a_copy_in_which_slices_were(case):
    folder, ball = case
    wrong = np.roll(ball, 3, 2)
    copy = wrong.copy()
    copy[[6, 10, 14]] = ball[[6, 10, 14]]
    for name, mask in (("draft", wrong), ("copy", copy)):
        labels = LabelMap(torch.from_numpy(3 * mask.astype(np.int32)), GRID, {3: "ball"})
        write_labels(labels, folder / f"{name}.seg.nrrd")
    arguments = folder / "scan.nii.gz", folder / "copy.seg.nrrd", "--draft", folder / "draft.seg.nrrd"
    result = segment(*arguments, "-o", folder / "out.seg.nrrd", "--features", "none")
    assert result.exit_code == 0, result.output
    labels = read_labels(folder / "out.seg.nrrd")
    found = labels.data.numpy() == 3
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.93
    assert labels.names == {3: "ball"}
    result = segment(*arguments, "-o", folder / "draft.seg.nrrd")
    assert result.exit_code == 2
    assert "would overwrite draft.seg.nrrd" in result.stderr


def test_the_scans_of_the_support_are_not_overwritten(case, support):
    scan = support / "images" / "p1_0000.nii.gz"
    before = scan.read_bytes()
    result = segment(case[0] / "scan.nii.gz", "--support", support, "-o", scan)
    assert result.exit_code == 2
    assert "would overwrite p1_0000.nii.gz" in result.stderr
    assert scan.read_bytes() == before


def test_support_without_labels_is_refused(case, support):
    (support / "labels" / "p2.seg.nrrd").unlink()
    result = segment(case[0] / "scan.nii.gz", "--support", support, "-o", case[0] / "out.nii.gz")
    assert result.exit_code == 2
    assert "no labels for p2" in result.stderr


@pytest.fixture
def scribbles(case):
    """Scribbles in the ball and around it, with names as a user of Slicer gives them."""
    folder, ball = case
    seeds = torch.zeros(GRID.shape, dtype=torch.int32)
    for index in (6, 10, 14):
        seeds[index, 11, ::2] = torch.from_numpy(np.where(ball[index, 11, ::2], 3, 7)).int()
        seeds[index, ::2, 12] = torch.from_numpy(np.where(ball[index, ::2, 12], 3, 7)).int()
    names, colors = {3: "ball", 7: "Background"}, {3: (1.0, 0.5, 0.0), 7: (0.0, 0.0, 1.0)}
    write_labels(LabelMap(seeds, GRID, names, colors), folder / "scribbles.seg.nrrd")
    write_labels(LabelMap(seeds, GRID), folder / "scribbles.nii.gz")
    return folder, ball


@pytest.mark.parametrize(
    ("seeds", "options"),
    [
        ("scribbles.seg.nrrd", ()),
        ("scribbles.nii.gz", ("--background", "7", "--complete-slices", "none")),
    ],
)
def test_a_ball_is_found_from_scribbles(scribbles, seeds, options):
    folder, ball = scribbles
    result = segment(
        folder / "scan.nii.gz", folder / seeds, "-o", folder / "out.seg.nrrd", "--features", "none", *options
    )
    assert result.exit_code == 0, result.output
    assert ("Label 7, Background, is taken as background" in result.stderr) == (not options)
    labels = read_labels(folder / "out.seg.nrrd")
    found = labels.data.numpy() == 3
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.85
    assert labels.values == [3]
    assert 7 not in labels.names


def test_scribbles_without_any_background_are_told_of(scribbles):
    folder = scribbles[0]
    result = segment(
        folder / "scan.nii.gz", folder / "scribbles.nii.gz", "-o", folder / "out.nii.gz",
        "--features", "none", "--complete-slices", "none",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Nothing is labelled as background" in result.stderr


def test_a_sphere_brush_without_background_is_told_that_nothing_grew(case):
    folder = case[0]
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    dab = torch.from_numpy(x**2 + y**2 + z**2 < 0.1).int()
    write_labels(LabelMap(dab, GRID), folder / "dab.nii.gz")
    for seeds, told in (("dab.nii.gz", True), ("seeds.seg.nrrd", False)):
        result = segment(
            folder / "scan.nii.gz", folder / seeds, "-o", folder / "out.nii.gz", "--features", "none"
        )
        assert result.exit_code == 0, result.output
        assert ("scribble around the structures as well" in result.stderr) == told
