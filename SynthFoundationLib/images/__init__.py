"""Volumes in and out: scans, label maps and masks, refused where they cannot be used."""

from .foreground import foreground
from .image import (
    Image,
    ImageLike,
    as_image,
    check_image_place,
    from_sitk,
    read_image,
    to_sitk,
    write_image,
)
from .labels import LabelMap, LabelsLike, as_labels, as_mask, read_labels, write_labels
from .normalise import normalise
from .warp import warp_image, warp_labels

__all__ = [
    "Image",
    "ImageLike",
    "LabelMap",
    "LabelsLike",
    "as_image",
    "as_labels",
    "as_mask",
    "check_image_place",
    "foreground",
    "from_sitk",
    "normalise",
    "read_image",
    "read_labels",
    "to_sitk",
    "warp_image",
    "warp_labels",
    "write_image",
    "write_labels",
]
