"""Choices that several verbs offer."""

from __future__ import annotations

from enum import Enum

LARGEST_SEED = 2**31 - 1


class Device(str, Enum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Features(str, Enum):
    """What images are compared by."""

    auto = "auto"
    learned = "learned"
    mind = "mind"
    both = "learned+mind"


class Interpolation(str, Enum):
    """How values between voxels are made."""

    linear = "linear"
    nearest = "nearest"


class Kind(str, Enum):
    """What a file holds."""

    auto = "auto"
    image = "image"
    labels = "labels"
    points = "points"
