"""Image files → SimpleITK images that are sure to be one whole volume."""

from __future__ import annotations

import re
from pathlib import Path

import SimpleITK as sitk

from ..errors import InputError, memory_shortage
from ..geometry import Grid
from ..quiet import quiet
from .dicom import read_dicom_folder
from .forms import sheared_sform
from .integrity import bad_spacing, check_integrity, check_promise

FORMATS = "NIfTI (.nii, .nii.gz), NRRD (.nrrd), MetaImage (.mha, .mhd) or a folder with one DICOM series"
_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".ima")
_DICOM_SERIES = "0020|000e"
_META_IMAGES = (".mha", ".mhd")
MIN_SIZE = 4
MAX_VOXELS = 1 << 30


def read_volume(path: str | Path, *, components: bool = False, thin: bool = False) -> sitk.Image:
    """Read one 3-D volume from a file or a DICOM folder.

    Args:
        path: a file, or a folder with one DICOM series.
        components: allow several values per voxel (the layers of a segmentation).
        thin: allow fewer than 4 voxels along an axis (a label map cut to what it shows).

    Raises:
        InputError: the file is missing, empty, damaged, truncated or not an image, or is not one volume with
            at least 4 voxels along each axis and a regular grid.
    """
    path = Path(path).absolute()  # "." has no name that a message could say
    if not path.exists():
        raise InputError(f"{path.name} does not exist; give {FORMATS}")
    if path.is_dir():
        image = read_dicom_folder(path)
        check_volume(image, f"the DICOM series in {path.name}", components=components, thin=thin)
        return image
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} is empty (0 bytes); copy or export it again")
    if not path.name.lower().endswith(_SUFFIXES) and not _is_dicom(path):
        raise InputError(f"{path.name} is not an image that can be read; allowed are {FORMATS}")
    try:
        check_integrity(path)
        with quiet():
            reader = sitk.ImageFileReader()
            reader.SetFileName(str(path))
            if path.name.lower().endswith(_META_IMAGES):
                reader.SetImageIO("MetaImageIO")  # it would not be asked about endings in capitals
            reader.ReadImageInformation()
            _check_header(path, reader)
            image = reader.Execute()
    except OSError as error:
        raise InputError(f"{path.name} cannot be opened: {error.strerror}") from error
    except (RuntimeError, UnicodeDecodeError) as error:  # the latter where ITK quotes what it cannot read
        raise memory_shortage(error) or InputError(_explain(path, str(error))) from error
    check_volume(image, path.name, components=components, thin=thin)
    return image


def check_volume(image: sitk.Image, what: str, *, components: bool = False, thin: bool = False) -> None:
    """Refuse what is not one scalar volume on a regular grid; `what` names it, the rest is `read_volume`'s.

    Raises:
        InputError: 2-D, 4-D, colour or vector, complex, a few slices, or an impossible grid.
    """
    size = "×".join(str(n) for n in image.GetSize())
    if image.GetDimension() != 3:
        raise InputError(
            f"{what} is {image.GetDimension()}-D ({size}); give one 3-D volume: "
            "extract one frame, or stack slices"
        )
    if image.GetNumberOfComponentsPerPixel() > 1 and not components:
        raise InputError(
            f"{what} has {image.GetNumberOfComponentsPerPixel()} values per voxel (colour or vector); "
            "give one value per voxel: convert it to grey or extract one component"
        )
    if "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{what} holds complex numbers; give its magnitude")
    if min(image.GetSize()) < MIN_SIZE and not thin:
        raise InputError(f"{what} has {size} voxels; a volume needs at least {MIN_SIZE} along each axis")
    try:
        Grid.from_sitk(image)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise InputError(f"{path.name} cannot be opened: {error.strerror}") from error


def _check_header(path: Path, reader: sitk.ImageFileReader) -> None:
    voxels = reader.GetNumberOfComponents()
    for n in reader.GetSize():
        voxels *= n
    if voxels > MAX_VOXELS:
        size = "×".join(str(n) for n in reader.GetSize())
        raise InputError(
            f"{path.name} has {size} voxels; at most {MAX_VOXELS:,} are allowed: crop or resample it"
        )
    if reader.GetSize()[2:] == (1,) and _DICOM_SERIES in reader.GetMetaDataKeys():
        raise InputError(f"{path.name} is one DICOM slice; give the folder that holds its series")
    bits = re.search(r"(\d+)-bit", sitk.GetPixelIDValueAsString(reader.GetPixelID()))
    check_promise(path, voxels * int(bits[1]) // 8 if bits else 0)
    if min(reader.GetSpacing()) <= 0:
        raise bad_spacing(path, reader.GetSpacing())
    if sheared_sform(reader):
        raise InputError(_sheared(path))


def _sheared(path: Path) -> str:
    return (
        f"{path.name} has a sheared or singular direction matrix; "
        "resample it to a regular grid, or repair the header"
    )


def _explain(path: Path, message: str) -> str:
    if "orthonormal" in message or "determinant is 0" in message:
        return _sheared(path)
    if "Unable to determine ImageIO" in message:
        return f"{path.name} is not an image that can be read; allowed are {FORMATS}"
    return f"{path.name} cannot be read: it is damaged or incomplete; allowed are {FORMATS}"
