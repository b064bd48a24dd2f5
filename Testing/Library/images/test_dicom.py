"""DICOM series written slice by slice, whole and with the usual faults."""

import locale

import numpy as np
import pytest
import SimpleITK as sitk

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.images import read_image

SERIES = "1.2.826.0.1.3680043.2.1125.1"


def write_series(folder, positions, *, series=SERIES, name="slice", rows=16):
    """One 20×`rows` slice of random values per (x, y, z) position."""
    spoken = locale.setlocale(locale.LC_ALL)  # writing DICOM sets it to "C"
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    values = np.random.default_rng(1).integers(0, 1000, (len(positions), rows, 20)).astype(np.int16)
    for n, (position, array) in enumerate(zip(positions, values, strict=True)):
        image = sitk.GetImageFromArray(array[None])
        image.SetSpacing((0.9, 0.9, 2.0))
        image.SetOrigin(position)
        for tag, value in {
            "0008|0060": "MR",
            "0010|0010": "Doe^Jane",
            "0020|000d": SERIES + ".9",
            "0020|000e": series,
            "0020|0013": str(n),
            "0020|0032": "\\".join(map(str, position)),
            "0020|0037": "1\\0\\0\\0\\1\\0",
        }.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{name}{n:02d}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, spoken)
    return values


def straight(count=6, step=2.0):
    return [(-10.0, 4.0, 30.0 + step * n) for n in range(count)]


def test_a_series_is_read_in_the_order_of_its_positions(tmp_path):
    values = write_series(tmp_path, straight()[::-1])
    image = read_image(tmp_path)
    np.testing.assert_array_equal(image.data[0].numpy(), values[::-1])
    np.testing.assert_allclose(image.grid.spacing, (0.9, 0.9, 2.0))
    np.testing.assert_allclose(image.grid.origin, (-10.0, 4.0, 30.0))


def test_the_folder_where_one_is_is_called_by_its_name(tmp_path, monkeypatch):
    write_series(tmp_path, straight())
    write_series(tmp_path, straight(4), series=SERIES + ".2", name="other")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^{tmp_path.name} holds 2 DICOM series"):
        read_image(".")


def test_two_series_in_a_folder_are_refused_without_naming_the_patient(tmp_path):
    write_series(tmp_path, straight())
    write_series(tmp_path, straight(4), series=SERIES + ".2", name="other")
    with pytest.raises(InputError, match="2 DICOM series") as refusal:
        read_image(tmp_path)
    assert "Doe" not in str(refusal.value)
    assert SERIES not in str(refusal.value)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (straight()[:2] + straight()[3:], "missing or uneven"),
        ([*straight(), straight()[2]], "at one place"),
        ([(x, y + 0.5 * n, z) for n, (x, y, z) in enumerate(straight())], "tilted gantry"),
        (straight(1), "20×16×1"),
    ],
)
def test_slices_that_are_no_regular_volume_are_refused(tmp_path, positions, message):
    write_series(tmp_path, positions)
    with pytest.raises(InputError, match=message):
        read_image(tmp_path)


def test_a_damaged_or_odd_slice_is_refused(tmp_path):
    write_series(tmp_path, straight())
    whole = (tmp_path / "slice03.dcm").read_bytes()
    (tmp_path / "slice03.dcm").write_bytes(whole[: len(whole) - 200])
    with pytest.raises(InputError, match="DICOM"):
        read_image(tmp_path)


def test_one_slice_of_a_series_points_to_its_folder(tmp_path):
    write_series(tmp_path, straight())
    with pytest.raises(InputError, match="give the folder"):
        read_image(tmp_path / "slice00.dcm")


def test_a_slice_that_ends_early_is_refused_and_not_left_out(tmp_path):
    write_series(tmp_path, straight())
    last = sorted(tmp_path.iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-300])
    with pytest.raises(InputError, match="a file is damaged or truncated"):
        read_image(tmp_path)


def test_other_files_in_the_folder_do_no_harm(tmp_path):
    write_series(tmp_path, straight())
    (tmp_path / "notes.txt").write_text("of the scan")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 50)
    assert read_image(tmp_path).grid.size == (20, 16, 6)
