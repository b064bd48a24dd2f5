"""Names and colours of Slicer segmentations (.seg.nrrd), kept in the image's key-value pairs."""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..errors import InputError

_KEY = re.compile(r"Segment(\d+)_(\w+)$")
_GOLDEN_ANGLE = 0.618034
# NRRD files list segments in a time that grows with the square of their number: 65,535 would take minutes.
_MOST_LISTED = 4096


@dataclass(frozen=True)
class Segments:
    """What a segmentation says about its labels.

    Attributes:
        names: label → name.
        colors: label → (red, green, blue) in 0…1.
        places: (layer, value in that layer) → label, in the order of the file.
    """

    names: dict[int, str]
    colors: dict[int, tuple[float, float, float]]
    places: dict[tuple[int, int], int] | None = None


def segments_of(image: sitk.Image) -> Segments | None:
    """Read the segments listed in an image's key-value pairs; None when there are none.

    Segments on several layers may share a value; those are numbered 1, 2, … in the order of the file.
    """
    fields: dict[int, dict[str, str]] = {}
    for key in image.GetMetaDataKeys():
        if match := _KEY.match(key):
            fields.setdefault(int(match[1]), {})[match[2]] = image.GetMetaData(key)
    listed = [
        (_whole(f.get("Layer", "0")), _whole(f["LabelValue"]), f)
        for _, f in sorted(fields.items())
        if "LabelValue" in f
    ]
    if not listed:
        return None
    values = [value for _, value, _ in listed]
    shared = len(set(values)) < len(values)
    names, colors, places = {}, {}, {}
    for number, (layer, value, about) in enumerate(listed, start=1):
        label = number if shared else value
        places[layer, value] = label
        names[label] = about.get("Name") or about.get("ID") or f"Segment {number}"
        if (color := _color(about.get("Color", ""))) is not None:
            colors[label] = color
    return Segments(names, colors, places)


def flatten(image: sitk.Image, segments: Segments, what: str) -> tuple[sitk.Image, Segments]:
    """Bring the layers of a segmentation into one label map.

    Raises:
        InputError: segments overlap.
    """
    layers = np.moveaxis(sitk.GetArrayFromImage(image), -1, 0)
    flat = np.zeros(layers.shape[1:], np.int32)
    for (layer, value), label in (segments.places or {}).items():
        if layer >= len(layers):
            raise InputError(
                f"{what} lists a segment on layer {layer} but has {len(layers)} layers; save it again"
            )
        here = layers[layer] == value
        if (flat[here] != 0).any():
            raise InputError(
                f"{what} has segments that overlap ({segments.names[label]!r} covers another); "
                "a label map holds one label per voxel: remove the overlap or save the segments apart"
            )
        flat[here] = label
    result = sitk.GetImageFromArray(flat)
    result.CopyInformation(image)
    return result, segments


def write_segments(image: sitk.Image, segments: Segments, values: list[int]) -> None:
    """List the labels present as segments in the key-value pairs of `image`, as Slicer reads them.

    More than some thousands are not listed: they are then read as labels without names.
    """
    labels = sorted({*values, *segments.names})
    if len(labels) > _MOST_LISTED:
        return
    image.SetMetaData("Segmentation_MasterRepresentation", "Binary labelmap")
    image.SetMetaData("Segmentation_ContainedRepresentationNames", "Binary labelmap|")
    image.SetMetaData("Segmentation_ReferenceImageExtentOffset", "0 0 0")
    extent = " ".join(f"0 {n - 1}" for n in image.GetSize())
    for number, label in enumerate(labels):
        color = segments.colors.get(label) or colorsys.hsv_to_rgb(number * _GOLDEN_ANGLE % 1, 0.6, 0.9)
        about = {
            "ID": f"Segment_{label}",
            "Name": segments.names.get(label, f"Label {label}"),
            "Color": " ".join(f"{c:.6g}" for c in color),
            "LabelValue": str(label),
            "Layer": "0",
            "Extent": extent,
        }
        for key, value in about.items():
            image.SetMetaData(f"Segment{number}_{key}", value)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InputError(
            f"the segmentation says {text!r} where a whole number belongs; save it again"
        ) from error


def _color(text: str) -> tuple[float, float, float] | None:
    try:
        red, green, blue = (float(part) for part in text.split())
    except ValueError:
        return None
    return red, green, blue
