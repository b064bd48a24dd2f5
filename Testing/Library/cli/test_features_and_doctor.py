import re

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from typer.testing import CliRunner

from SynthFoundationLib import __version__
from SynthFoundationLib.cli.app import app
from SynthFoundationLib.devices import available
from SynthFoundationLib.features.extract import extract_features
from SynthFoundationLib.frugal import free_gb
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, read_image, write_image
from SynthFoundationLib.installation import installed


def invoke(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def scan(tmp_path):
    grid = Grid((16, 15, 12), (1.0, 1.0, 1.5))
    write_image(
        Image(torch.randn(grid.shape, generator=torch.Generator().manual_seed(0)), grid),
        tmp_path / "scan.nrrd",
    )
    return tmp_path / "scan.nrrd"


def test_features_are_those_of_the_library_on_their_grid(scan, tmp_path):
    result = invoke(
        "features", scan, "--features", "mind", "--spacing", 2, "-o", tmp_path / "out.nrrd", "--device", "cpu"
    )
    assert result.exit_code == 0, result.output
    written, expected = (
        sitk.ReadImage(str(tmp_path / "out.nrrd")),
        extract_features(scan, "mind", spacing=2.0),
    )
    np.testing.assert_allclose(
        np.moveaxis(sitk.GetArrayFromImage(written), -1, 0), expected.data.numpy(), atol=1e-6
    )
    assert Grid.from_sitk(written).same_space(expected.grid)


def test_features_are_shown_in_colour(scan, tmp_path):
    result = invoke(
        "features", scan, "--features", "mind", "-o", tmp_path / "out.nrrd", "--picture", tmp_path / "out.png"
    )
    assert result.exit_code == 0, result.output
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.png")))
    assert picture.shape[0] == 18  # the tallest plane: 1.0 mm voxels along the 18 mm of z
    assert picture.std() > 10


@pytest.mark.parametrize(
    ("name", "message"),
    [("scan.nrrd", "would overwrite scan.nrrd"), ("out.seg.nrrd", "would be a segmentation")],
)
def test_features_take_no_place_that_is_not_theirs(scan, tmp_path, name, message):
    before = scan.read_bytes()
    result = invoke("features", scan, "--features", "mind", "-o", tmp_path / name)
    assert result.exit_code == 2
    assert message in result.stderr
    assert (scan.read_bytes(), [path.name for path in tmp_path.iterdir()]) == (before, ["scan.nrrd"])


@pytest.mark.parametrize(("free", "side"), [(None, 1.0), (1.0, 1.0), (2.5e-4, 2.0)])
def test_where_memory_is_short_features_are_coarser_and_that_is_told(scan, tmp_path, monkeypatch, free, side):
    """What the machine has free is asked: it kills who takes too much, and nothing could be told then."""
    monkeypatch.setattr("SynthFoundationLib.frugal.free_gb", lambda: free)
    result = invoke("features", scan, "--features", "mind", "-o", tmp_path / "out.nrrd", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert ("not enough memory; trying again on voxels of 2 mm" in result.output) == (side > 1)
    written = sitk.ReadImage(str(tmp_path / "out.nrrd"))
    assert written.GetSpacing() == pytest.approx((side,) * 3)


def test_where_memory_suffices_for_nothing_the_error_says_what_is_needed(scan, tmp_path, monkeypatch):
    monkeypatch.setattr("SynthFoundationLib.frugal.free_gb", lambda: 0.0)
    result = invoke("features", scan, "--features", "mind", "-o", tmp_path / "out.nrrd", "--device", "cpu")
    assert result.exit_code == 3
    assert "needs" in result.output
    assert not (tmp_path / "out.nrrd").exists()


def test_free_memory_is_that_of_the_system():
    free = free_gb()
    assert free is None or 0.01 < free < 1e5


def test_a_device_that_is_not_there_is_refused(scan, tmp_path):
    missing = next(name for name in ("mps", "cuda") if name not in available())
    result = invoke("features", scan, "-o", tmp_path / "out.nrrd", "--device", missing)
    assert result.exit_code == 3
    assert f"device {missing} is not available; available here:" in result.stderr


def test_two_contrasts_of_one_patient_are_read(scan, tmp_path):
    other = tmp_path / "other.nrrd"
    image = read_image(scan)
    write_image(Image(-image.data, image.grid), other)
    result = invoke("features", scan, other, "--features", "mind", "-o", tmp_path / "out.nrrd")
    assert result.exit_code == 0, result.output
    assert sitk.ReadImage(str(tmp_path / "out.nrrd")).GetNumberOfComponentsPerPixel() == 24


def test_the_doctor_names_versions_devices_and_weights():
    result = invoke("doctor", "--no-self-test")
    assert result.exit_code == 0, result.output
    for word in (__version__, torch.__version__, "SimpleITK", "devices", "cpu", "weights"):
        assert word in result.output


def test_the_doctor_says_what_is_missing_before_it_would_need_it(monkeypatch):
    found = installed()
    packages = found["packages"] | {"scipy": None}
    monkeypatch.setattr("SynthFoundationLib.installation.installed", lambda: found | {"packages": packages})
    result = invoke("doctor")
    assert result.exit_code == 1
    assert re.search(r"scipy +missing", result.output)
    assert "devices" not in result.output
