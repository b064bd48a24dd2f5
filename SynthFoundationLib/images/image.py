"""A volume with its place in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import SimpleITK as sitk
import torch

from ..errors import InputError, memory_shortage
from ..files import called, check_place, replacing
from ..geometry import Grid, resample
from ..quiet import quiet
from .integrity import check_integrity, some_voxels
from .reading import MIN_SIZE, check_volume, read_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_VALUE = 1e31
VOLUME_FILES = (".nii", ".nii.gz", ".nrrd", ".mha")


@dataclass(frozen=True, eq=False)
class Image:
    """Intensities on a grid.

    Attributes:
        data: (C, D, H, W) float32; (D, H, W) is taken as one channel.
        grid: where the voxels are, LPS mm.

    Raises:
        InputError: the data do not have the grid's shape.
    """

    data: torch.Tensor
    grid: Grid

    def __post_init__(self) -> None:
        """Give the data their channel axis and type."""
        data = torch.as_tensor(self.data)
        data = data[None] if data.ndim == 3 else data
        if data.ndim != 4 or tuple(data.shape[1:]) != self.grid.shape:
            raise InputError(
                f"data of shape {tuple(self.data.shape)} do not fit a grid of shape (D, H, "
                f"W) = {self.grid.shape}"
            )
        object.__setattr__(self, "data", data.to(torch.float32))

    @property
    def channels(self) -> int:
        """Number of contrasts C."""
        return self.data.shape[0]

    def glanced_at(self, voxels: int) -> Image:
        """The first contrast with no more than about so many voxels along its longest side."""
        first, spacing = Image(self.data[:1], self.grid), float(self.grid.extent.max()) / voxels
        grid = self.grid.no_finer_than(spacing)
        if grid is self.grid:
            return first
        return Image(resample(first.data, self.grid, grid, fill=None, antialias=True), grid)


ImageLike: TypeAlias = "str | Path | sitk.Image | tuple[np.ndarray | torch.Tensor, Grid] | Image"


def from_sitk(image: sitk.Image, what: str = "the image") -> Image:
    """A scalar 3-D SimpleITK image as an `Image`.

    Raises:
        InputError: it is not one scalar volume, or its values cannot be used (see `check_values`).
    """
    check_volume(image, what)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is refused below
        array = sitk.GetArrayFromImage(image).astype(np.float32)
    result = Image(torch.from_numpy(array), Grid.from_sitk(image))
    check_values(result, what)
    return result


def to_sitk(image: Image) -> sitk.Image:
    """An `Image` as a float32 SimpleITK image: scalar for one channel, else a vector image."""
    array = image.data.detach().cpu().numpy()
    vector = len(array) > 1
    result = sitk.GetImageFromArray(np.moveaxis(array, 0, -1) if vector else array[0], isVector=vector)
    place(result, image.grid)
    return result


def place(image: sitk.Image, grid: Grid) -> None:
    """Give a SimpleITK image the geometry of `grid`."""
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)


def read_image(path: str | Path) -> Image:
    """Read a scan: NIfTI, NRRD, MetaImage, or a folder with one DICOM series.

    Raises:
        InputError: the file is missing, damaged, not one scalar volume, or its values cannot be used.
    """
    return from_sitk(read_volume(path), called(path))


def as_image(source: ImageLike | Sequence[ImageLike], what: str = "the image") -> Image:
    """Whatever holds a volume as an `Image`; several contrasts become channels on the grid of the first.

    Args:
        source: a path, a SimpleITK image, an array (D, H, W) or (C, D, H, W) with its `Grid`, an `Image`,
            or a list of these, which are taken to lie rightly in one physical space.
        what: names it in error messages, such as "the fixed image".

    Raises:
        InputError: it is none of these, or cannot be used.
    """
    if isinstance(source, (str, Path)):
        return read_image(source)
    if isinstance(source, sitk.Image):
        return from_sitk(source, what)
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], Grid):
        source = Image(torch.as_tensor(source[0]), source[1])
    if isinstance(source, Image):
        check_values(source, what)
        return source
    if isinstance(source, (list, tuple)) and source:
        if len(source) == 1:
            return as_image(source[0], what)
        return _stacked([as_image(one, what) for one in source], what)
    raise InputError(
        f"{what} is given as {type(source).__name__}; give a path, a SimpleITK image, an (array, "
        "Grid) pair, an Image "
        "or a list of these"
    )


def check_values(image: Image, what: str) -> None:
    """Refuse volumes that no algorithm could use.

    Raises:
        InputError: an axis shorter than 4 voxels, NaN, infinite or enormous values, or one value everywhere.
    """
    if min(image.grid.size) < MIN_SIZE:
        size = "×".join(str(n) for n in image.grid.size)
        raise InputError(f"{what} has {size} voxels; a volume needs at least {MIN_SIZE} along each axis")
    for channel in image.data:
        low, high = (float(v) for v in channel.aminmax())
        if not max(-low, high) <= MAX_VALUE:
            count = int((~(channel.abs() <= MAX_VALUE)).sum())
            raise InputError(
                f"{what} has {some_voxels(count)} NaN, infinite or beyond ±{MAX_VALUE:g}; "
                "replace them, for example by 0"
            )
        if low == high:
            raise InputError(f"{what} is constant (every voxel is {low:g}); give an image with structure")


def write_image(image: Image, path: str | Path) -> None:
    """Write .nii, .nii.gz, .nrrd or .mha as float32, whole or not at all.

    Raises:
        InputError: another file type, a name that is for segmentations, or the folder is missing, full or
            write-protected.
    """
    check_image_place(path)
    write_volume(to_sitk(image), path, VOLUME_FILES)


def check_image_place(path: str | Path) -> None:
    """See before the work that an image can be written there afterwards.

    Raises:
        InputError: another file type, a name that is for segmentations, or no place to write to.
    """
    check_place(path, VOLUME_FILES)
    if Path(path).name.lower().endswith(".seg.nrrd"):
        raise InputError(f"{Path(path).name} would be a segmentation, not an image; choose another ending")


def write_volume(image: sitk.Image, path: str | Path, allowed: tuple[str, ...]) -> None:
    """Write a SimpleITK image, compressed where the format can, whole or not at all.

    Raises:
        InputError: another file type than those allowed, or the folder is missing, full or write-protected.
    """
    path = Path(path)
    check_place(path, allowed)
    compress = not path.name.lower().endswith(".nii")
    with replacing(path) as beside:
        try:
            with quiet():
                sitk.WriteImage(image, str(beside), useCompression=compress)
            check_integrity(beside)  # ITK does not notice when the disk is full
        except (RuntimeError, InputError) as error:
            raise memory_shortage(error) or OSError() from error


def _stacked(images: list[Image], what: str) -> Image:
    grid, data = images[0].grid, []
    for number, image in enumerate(images, start=1):
        same = image.grid.same_space(grid)
        outside = float(image.data.min())  # such as air
        data.append(
            image.data if same else resample(image.data, image.grid, grid, fill=outside, antialias=True)
        )
        low, high = data[-1].aminmax()
        if low == high:
            raise InputError(
                f"contrast {number} of {what} does not overlap the first in space; "
                "give aligned scans of one person"
            )
    return Image(torch.cat(data), grid)
