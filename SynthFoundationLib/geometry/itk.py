"""ITK transforms: what SimpleITK and Slicer read and write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from ..errors import InputError, memory_shortage
from ..files import replacing, reserve
from ..quiet import quiet
from .grid import Grid
from .hdf5_times import forget_times
from .transforms import Affine, Composite, DisplacementField, Transform

TRANSFORM_FILES = (".h5", ".tfm", ".txt", ".mat", ".xfm")
_BSPLINE_SAMPLING_MM, _BSPLINE_SAMPLES = 2.0, 4  # at least so finely, and so many in each cell of its mesh
_FARTHEST_MM = 1e6
_HDF5_BYTES = 65_536  # of a file, besides its numbers


def to_sitk(transform: Transform) -> sitk.Transform:
    """The same map as a SimpleITK transform (fixed point → moving point, LPS mm)."""
    if isinstance(transform, Affine):
        affine = sitk.AffineTransform(3)
        affine.SetMatrix(transform.matrix[:3, :3].ravel().tolist())
        affine.SetTranslation(transform.matrix[:3, 3].tolist())
        return affine
    if isinstance(transform, DisplacementField):
        return sitk.DisplacementFieldTransform(field_image(transform))
    if isinstance(transform, Composite):
        composite = sitk.CompositeTransform(3)
        for part in reversed(transform.transforms):  # ITK applies the transform added last first
            composite.AddTransform(to_sitk(part))
        return composite
    raise InputError(f"{type(transform).__name__} cannot be written as an ITK transform")


def field_image(field: DisplacementField) -> sitk.Image:
    """The displacement field as a float64 vector image."""
    array = np.ascontiguousarray(field.data.detach().cpu().movedim(0, -1).numpy(), dtype=np.float64)
    image = sitk.GetImageFromArray(array, isVector=True)
    image.SetSpacing(field.grid.spacing)
    image.SetOrigin(field.grid.origin)
    image.SetDirection(field.grid.direction)
    return image


def from_sitk(transform: sitk.Transform) -> Transform:
    """A SimpleITK transform as one of ours.

    B-splines become displacement fields sampled every 2 mm.

    Raises:
        InputError: the transform is not 3-D or of a kind that has no counterpart here.
    """
    transform = transform.Downcast() if type(transform) is sitk.Transform else transform
    if transform.GetDimension() != 3:
        raise InputError(f"the transform is {transform.GetDimension()}-D; only 3-D transforms can be used")
    if isinstance(transform, sitk.CompositeTransform):
        count = transform.GetNumberOfTransforms()
        return Composite([from_sitk(transform.GetNthTransform(n)) for n in reversed(range(count))])
    if isinstance(transform, sitk.DisplacementFieldTransform):
        return from_field_image(transform.GetDisplacementField())
    if isinstance(transform, sitk.BSplineTransform):
        return _sampled(transform)
    if transform.IsLinear():
        return Affine(_matrix(transform))
    raise InputError(
        f"a transform of kind {transform.GetName()} cannot be used; "
        "allowed are linear transforms, displacement fields, B-splines and composites of these"
    )


def from_field_image(image: sitk.Image) -> DisplacementField:
    """A vector image of LPS mm displacements as a transform.

    Raises:
        InputError: the image is not 3-D with three finite components.
    """
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 3:
        raise InputError(
            f"a displacement field needs 3 dimensions and 3 components per voxel; got "
            f"{image.GetDimension()} and {image.GetNumberOfComponentsPerPixel()}"
        )
    array = np.moveaxis(sitk.GetArrayFromImage(image), -1, 0)
    if not (np.abs(array) < _FARTHEST_MM).all():
        raise InputError(
            "the displacement field holds values that are not finite or no distances in mm; it cannot be used"
        )
    return DisplacementField(
        torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)), Grid.from_sitk(image)
    )


def read_transform(path: str | Path) -> Transform:
    """Read an ITK transform file (.h5, .tfm, .txt, .mat, .xfm) or a displacement field image.

    Raises:
        InputError: the file is missing, is not a transform, or is of an unsupported kind.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"transform file {path.name or path} does not exist; give an ITK transform such as transform.h5"
        )
    if path.stat().st_size == 0:
        raise InputError(f"transform file {path.name} is empty (0 bytes); copy or export it again")
    try:
        with quiet():
            return _read(path)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
    except (RuntimeError, UnicodeDecodeError) as error:  # the latter where ITK quotes what it cannot read
        raise memory_shortage(error) or InputError(
            f"{path.name} is not a transform that ITK can read; allowed are .h5, .tfm, .txt, .mat, .xfm "
            "and displacement field images"
        ) from error


def _read(path: Path) -> Transform:
    if path.name.lower().endswith((".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")):
        return from_field_image(sitk.ReadImage(str(path)))
    return from_sitk(sitk.ReadTransform(str(path)))


def write_transform(transform: Transform, path: str | Path) -> None:
    """Write an ITK transform file; a file that stood there is replaced only once the new one is whole.

    Raises:
        InputError: the folder is missing or cannot be written to.
    """
    with replacing(path) as beside:
        try:
            written = to_sitk(transform)
            hdf5 = beside.suffix.lower() == ".h5"
            if hdf5:  # HDF5 crashes at the end of a process in which a disk was full
                reserve(beside, _HDF5_BYTES + 8 * _numbers(transform))
            with quiet():
                sitk.WriteTransform(written, str(beside))
            if hdf5:
                forget_times(beside)
        except RuntimeError as error:
            if beside.suffix in TRANSFORM_FILES:
                raise OSError from error
            raise InputError(
                f"cannot write {Path(path).name}: allowed are {', '.join(TRANSFORM_FILES)}"
            ) from error


def _numbers(transform: Transform) -> int:
    """How many a file holds, about."""
    if isinstance(transform, Composite):
        return sum(_numbers(part) for part in transform.transforms)
    return transform.data.numel() if isinstance(transform, DisplacementField) else 0


def _matrix(transform: sitk.Transform) -> np.ndarray:
    """The 4×4 matrix of any linear transform, read off the images of four points."""
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        matrix[:3, axis] = np.array(transform.TransformPoint(np.eye(3)[axis].tolist())) - matrix[:3, 3]
    return matrix


def _sampled(transform: sitk.BSplineTransform) -> DisplacementField:
    mesh = np.array(transform.GetTransformDomainPhysicalDimensions())
    cells = np.array(transform.GetTransformDomainMeshSize())
    size = 1 + np.maximum(_BSPLINE_SAMPLES * cells, np.ceil(mesh / _BSPLINE_SAMPLING_MM).astype(int))
    field = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        [int(n) for n in size],
        transform.GetTransformDomainOrigin(),
        (mesh / (size - 1)).tolist(),
        transform.GetTransformDomainDirection(),
    )
    return from_field_image(field)
