"""Label maps and masks: whole numbers on a grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import SimpleITK as sitk
import torch

from ..errors import InputError
from ..files import called
from ..geometry import Grid
from .image import VOLUME_FILES, Image, place, write_volume
from .reading import check_volume, read_volume
from .segments import Segments, flatten, segments_of, write_segments

MAX_LABEL = 65_535


@dataclass(frozen=True, eq=False)
class LabelMap:
    """One label per voxel.

    Attributes:
        data: (D, H, W) int32, 0 is background, at most 65,535.
        grid: where the voxels are, LPS mm.
        names: label → name, where the file had them.
        colors: label → (red, green, blue) in 0…1, where the file had them.

    Raises:
        InputError: the data do not have the grid's shape or are not whole numbers from 0 to 65,535.
    """

    data: torch.Tensor
    grid: Grid
    names: dict[int, str] = field(default_factory=dict)
    colors: dict[int, tuple[float, float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Accept any numeric type that holds labels."""
        if tuple(self.data.shape) != self.grid.shape:
            raise InputError(
                f"labels of shape {tuple(self.data.shape)} do not fit a grid of shape {self.grid.shape}"
            )
        object.__setattr__(self, "data", torch.from_numpy(_whole(_array(self.data), "the label map")))

    @property
    def values(self) -> list[int]:
        """Labels present, without the background."""
        return [int(v) for v in torch.unique(self.data) if v != 0]


LabelsLike: TypeAlias = "str | Path | sitk.Image | tuple[np.ndarray | torch.Tensor, Grid] | LabelMap"


def read_labels(path: str | Path) -> LabelMap:
    """Read a label map; names and colours are kept when a Slicer segmentation (.seg.nrrd) holds them.

    Raises:
        InputError: not one volume, not whole numbers from 0 to 65,535, or segments that overlap.
    """
    volume, name = read_volume(path, components=True, thin=True), called(path)
    segments = segments_of(volume)
    if segments is None:
        check_volume(volume, name, thin=True)
    elif volume.GetNumberOfComponentsPerPixel() > 1:
        volume, segments = flatten(volume, segments, name)
    return _label_map(volume, name, segments)


def as_labels(source: LabelsLike, what: str = "the label map") -> LabelMap:
    """A path, a SimpleITK image, an (array, Grid) pair or a `LabelMap` as a `LabelMap`.

    Raises:
        InputError: it is none of these, or does not hold labels.
    """
    if isinstance(source, LabelMap):
        return source
    if isinstance(source, (str, Path)):
        return read_labels(source)
    if isinstance(source, sitk.Image):
        check_volume(source, what, thin=True)
        return _label_map(source, what, segments_of(source))
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], Grid):
        return LabelMap(torch.from_numpy(_whole(_array(source[0]), what)), source[1])
    raise InputError(
        f"{what} is given as {type(source).__name__}; give a path, a SimpleITK image, an (array, "
        "Grid) pair or a LabelMap"
    )


def as_mask(source: LabelsLike | Image, what: str = "the mask") -> Image:
    """A mask as an `Image` of zeros and ones: every voxel that is not 0 belongs to it.

    Raises:
        InputError: it does not hold whole numbers, or marks nothing.
    """
    if isinstance(source, Image):
        source = (source.data[0], source.grid)
    labels = as_labels(source, what)
    if not labels.data.any():
        raise InputError(
            f"{what} is empty: no voxel is marked; mark the region to use, or leave the mask out"
        )
    return Image((labels.data > 0).float(), labels.grid)


def write_labels(labels: LabelMap, path: str | Path) -> None:
    """Write .nii, .nii.gz, .nrrd, .mha, or .seg.nrrd with names and colours, in the smallest type that fits.

    Raises:
        InputError: another file type, or the folder is missing, full or write-protected.
    """
    array = labels.data.numpy()
    small = array.astype(np.uint8 if array.max(initial=0) < 256 else np.uint16)
    image = sitk.GetImageFromArray(small)
    place(image, labels.grid)
    if Path(path).name.lower().endswith(".seg.nrrd"):
        write_segments(image, Segments(labels.names, labels.colors), labels.values)
    write_volume(image, path, VOLUME_FILES)


def _label_map(image: sitk.Image, what: str, segments: Segments | None) -> LabelMap:
    data = torch.from_numpy(_whole(sitk.GetArrayFromImage(image), what))
    kept = segments or Segments({}, {})
    return LabelMap(data, Grid.from_sitk(image), kept.names, kept.colors)


def _array(data: np.ndarray | torch.Tensor) -> np.ndarray:
    return data.detach().cpu().numpy() if isinstance(data, torch.Tensor) else np.asarray(data)


def _whole(array: np.ndarray, what: str) -> np.ndarray:
    """The array as int32, the same one where it is that already.

    Raises:
        InputError: values that are not whole numbers from 0 to 65,535.
    """
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        raise InputError(
            f"{what} holds values that are not whole numbers; give labels, not intensities or probabilities"
        )
    low, high = array.min(initial=0), array.max(initial=0)
    if low < 0 or high > MAX_LABEL:
        raise InputError(
            f"{what} holds values from {low:g} to {high:g}; labels must lie between 0 and {MAX_LABEL:,}"
        )
    return np.require(array, np.int32, ("C", "W"))
