"""One DICOM series in a folder, with its slices where the scanner put them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, memory_shortage
from ..quiet import quiet

_POSITION, _ORIENTATION = "0020|0032", "0020|0037"
_PIXEL_DATA = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")  # the tag in both byte orders
_SPACING_TOLERANCE = 0.05  # of the slice distance; scanners round positions
_TILT_TOLERANCE = 0.01  # mm of sideways shift per mm of slice distance


def read_dicom_folder(folder: Path) -> sitk.Image:
    """Read the one series in a folder, its slices sorted by position.

    Patient names, identifiers and dates stay in the files: only voxels and geometry are taken.

    Raises:
        InputError: the folder holds no series or several, slices are missing, doubled or shifted sideways
            (gantry tilt), or a file cannot be read.
    """
    with quiet():
        series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        files = [sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid) for uid in series]
    if not series:
        raise InputError(
            f"{folder.name or folder} is a folder without a DICOM series; "
            "give an image file or a DICOM folder"
        )
    if len(series) > 1:
        counts = ", ".join(str(len(f)) for f in files)
        raise InputError(
            f"{folder.name} holds {len(series)} DICOM series (of {counts} files); "
            "give a folder with the one series you want"
        )
    _check_files(folder, files[0])
    if len(files[0]) > 1:
        _check_slices(folder, files[0])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files[0])
    try:
        with quiet():
            return reader.Execute()
    except (RuntimeError, UnicodeDecodeError) as error:  # the latter where ITK quotes what it cannot read
        raise memory_shortage(error) or InputError(
            f"the DICOM series in {folder.name} cannot be read: "
            "a file is damaged or slices differ in size; export it again"
        ) from error


def _check_files(folder: Path, read: tuple[str, ...]) -> None:
    """Refuse images that GDCM passes over without a word because it cannot read them."""
    known = {Path(file).name for file in read}
    for file in sorted(folder.iterdir()):
        if file.name in known or not file.is_file():
            continue
        content = file.read_bytes()
        if content[128:132] == b"DICM" and any(tag in content for tag in _PIXEL_DATA):
            raise InputError(
                f"the DICOM series in {folder.name} holds a slice that cannot be read: "
                "a file is damaged or truncated; copy or export the series again"
            )


def _check_slices(folder: Path, files: tuple[str, ...]) -> None:
    positions, normal = _positions(folder, files)
    steps = np.diff(positions[np.argsort(positions @ normal)], axis=0)
    along = steps @ normal
    distance = float(np.median(along))
    if along.min() < 1e-3:
        raise InputError(
            f"the DICOM series in {folder.name} has several slices at one place (a time series?); "
            "export one volume of it"
        )
    if np.abs(along - distance).max() > _SPACING_TOLERANCE * distance:
        raise InputError(
            f"the DICOM series in {folder.name} has slices {along.min():.2f} to {along.max():.2f} mm apart; "
            "slices are missing or uneven: export it complete, or resample it to even slices"
        )
    if np.abs(steps - np.outer(along, normal)).max() > _TILT_TOLERANCE * distance:
        raise InputError(
            f"the DICOM series in {folder.name} was taken with a tilted gantry, "
            "its slices are shifted sideways; "
            "resample it to a regular grid first (in Slicer: 'Acquisition Transform')"
        )


def _positions(folder: Path, files: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Slice positions (N, 3) in LPS mm and the normal of the first slice."""
    reader = sitk.ImageFileReader()
    positions, directions = [], []
    for file in files:
        reader.SetFileName(file)
        try:
            with quiet():
                reader.ReadImageInformation()
            positions.append(_numbers(reader, _POSITION))
            directions.append(_numbers(reader, _ORIENTATION))
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"a file of the DICOM series in {folder.name} is damaged or has no position; "
                "export the series again"
            ) from error
    return np.array(positions), np.cross(directions[0][:3], directions[0][3:])


def _numbers(reader: sitk.ImageFileReader, tag: str) -> list[float]:
    return [float(number) for number in reader.GetMetaData(tag).split("\\")]
