"""What SimpleITK writes is read as SimpleITK reads it; what cannot be used is refused in one line."""

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.images import read_image

OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def scan(dtype=np.int16, size=(9, 8, 7)):
    """An oblique, anisotropic scan of random values."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 200, size[::-1]).astype(dtype))
    image.SetSpacing((0.7, 1.5, 3.0))
    image.SetOrigin((-20.0, 5.5, 130.0))
    image.SetDirection(OBLIQUE)
    return image


def edited(path, offset, layout, *values):
    """Overwrite header fields of a NIfTI-1 file."""
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, offset, *values)
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.float32, np.float64])
def test_every_format_and_type_reads_as_simpleitk_does(tmp_path, suffix, dtype):
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(scan(dtype), str(path), suffix not in (".nii", ".nhdr"))
    image, expected = read_image(path), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(image.data[0].numpy(), sitk.GetArrayFromImage(expected).astype(np.float32))
    index = (2, 3, 4)
    np.testing.assert_allclose(
        image.grid.to_physical(index), expected.TransformIndexToPhysicalPoint(index), atol=1e-4
    )


def test_a_fourth_axis_of_length_one_is_no_obstacle(tmp_path):
    sitk.WriteImage(sitk.JoinSeries([scan()]), str(tmp_path / "scan.nii.gz"))
    assert read_image(tmp_path / "scan.nii.gz").grid.size == (9, 8, 7)


@pytest.mark.parametrize("value", [-1e30, 1e30])
def test_huge_but_finite_values_are_read(tmp_path, value):
    image = sitk.Cast(scan(), sitk.sitkFloat64)
    image[1, 2, 3] = value
    sitk.WriteImage(image, str(tmp_path / "scan.nrrd"))
    assert read_image(tmp_path / "scan.nrrd").data[0, 3, 2, 1] == np.float32(value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i[:, :, 3], "2-D"),
        (lambda i: sitk.JoinSeries([i, i]), "4-D"),
        (lambda i: sitk.Compose([i, i, i]), "3 values per voxel"),
        (lambda i: i[:, :, 3:4], "9×8×1"),
        (lambda i: i * 0 + 5, "constant"),
        (lambda i: sitk.Cast(i, sitk.sitkFloat32) * float("nan"), "NaN"),
        (lambda i: sitk.Cast(i, sitk.sitkFloat64) * 1e40, "beyond"),
        (lambda i: sitk.Cast(i, sitk.sitkComplexFloat32), "complex"),
    ],
)
def test_what_is_not_one_usable_volume_is_refused(tmp_path, change, message):
    sitk.WriteImage(change(scan()), str(tmp_path / "scan.nii.gz"))
    with pytest.raises(InputError, match=message):
        read_image(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_file_that_ends_early_is_refused(tmp_path, suffix, compressed):
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(scan(size=(20, 20, 20)), str(path), compressed)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    with pytest.raises(InputError, match=r"truncated|damaged"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_damaged_compression_is_refused(tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(scan(size=(20, 20, 20)), str(path), True)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 30] = bytes(b ^ 0x55 for b in content[middle : middle + 30])
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_image(path)


@pytest.mark.parametrize(
    "name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha", "scan.dcm", "scan.txt", "scan"]
)
@pytest.mark.parametrize(
    "content", [b"", b"Dear colleague,\n" * 50, gzip.compress(b"Dear colleague,\n" * 50, mtime=0)]
)
def test_what_is_no_image_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_image(tmp_path / name)


def test_a_missing_file_and_a_folder_without_a_series_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_image(tmp_path / "nothing.nii")
    with pytest.raises(InputError, match="without a DICOM series"):
        read_image(tmp_path)


@pytest.mark.parametrize("size", [(1000, 1000, 1000), (30000, 30000, 30000)])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_header_without_its_data_is_refused_before_memory_is_set_aside(tmp_path, size, compressed):
    path = tmp_path / "scan.nii"
    sitk.WriteImage(scan(), str(path))
    edited(path, 42, "<3h", *size)
    if compressed:
        (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "scan.nii.gz"
    with pytest.raises(InputError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize("spacing", [0.0, -2.0, float("nan"), float("inf")])
def test_impossible_spacing_is_refused(tmp_path, spacing):
    path = tmp_path / "scan.nii"
    sitk.WriteImage(scan(), str(path))
    edited(path, 80, "<f", spacing)
    with pytest.raises(InputError, match="spacing"):
        read_image(path)


@pytest.mark.parametrize("rows", [(1, 0.3, 0, 0, 1, 0, 0, 0, 1), (1, 0, 0, 1, 0, 0, 0, 0, 1), (0,) * 9])
def test_a_sheared_or_singular_header_is_refused(tmp_path, rows):
    path = tmp_path / "scan.nii"
    sitk.WriteImage(scan(), str(path))
    a, b, c, d, e, f, g, h, i = rows
    edited(path, 252, "<2h", 0, 1)
    edited(path, 280, "<12f", a, b, c, 0, d, e, f, 0, g, h, i, 0)
    with pytest.raises(InputError, match="sheared or singular"):
        read_image(path)


@pytest.mark.parametrize("code", [1, 2])
def test_a_sheared_sform_is_refused_though_there_is_a_qform_to_pass_to(tmp_path, code):
    path = tmp_path / "scan.nii"
    sitk.WriteImage(scan(), str(path))
    edited(path, 252, "<2h", 1, code)
    edited(path, 280, "<12f", 0.7, 0.3, 0, 100, 0, 1.5, 0, 0, 0, 0, 3, 0)
    with pytest.raises(InputError, match="sheared or singular"):
        read_image(path)


def test_rounding_in_an_sform_is_no_shear(tmp_path):
    path = tmp_path / "scan.nii"
    sitk.WriteImage(scan(), str(path))
    edited(path, 280, "<12f", -0.56, 0.9, 0, 20, -0.42, -1.2005, 0, -5.5, 0, 0, 3, 130)
    assert read_image(path).grid.spacing == pytest.approx((0.7, 1.5, 3.0))


@pytest.mark.parametrize("name", ["S.MHA", "S.MHD", "S.NRRD", "S.NII", "S.NII.GZ"])
def test_endings_may_be_in_capitals(tmp_path, name):
    sitk.WriteImage(scan(), str(tmp_path / name.lower()))
    (tmp_path / name.lower()).rename(tmp_path / name)
    assert read_image(tmp_path / name).grid.size == (9, 8, 7)


def test_reading_says_nothing_on_the_standard_error(tmp_path, capfd):
    path = tmp_path / "scan.nii"
    sitk.WriteImage(scan(), str(path))
    edited(path, 252, "<2h", 1, 1)
    edited(path, 280, "<12f", 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0)  # ITK warns that the spacing is another
    read_image(path)
    assert capfd.readouterr().err == ""
