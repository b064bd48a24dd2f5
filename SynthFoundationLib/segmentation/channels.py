"""The channels that a session looks at besides the hand-made features of its image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch

from ..errors import InputError
from ..features.extract import extract_features
from ..features.registry import Registry
from ..features.weights import Weights
from ..images import Image

Features: TypeAlias = Literal["auto", "learned", "none"]

MOST_VOXELS = 5_000_000  # the network looks at larger images in larger voxels


def more_channels(
    image: Image, features: Image | Features | None = "auto", weights: str | Path | Weights | None = None
) -> Callable[[], Image | None]:
    """A function that gives the channels; a network runs when it is called.

    Raises:
        InputError: features that are none of those.
    """
    if features is None or features == "none":
        return lambda: None
    if isinstance(features, Image):
        return lambda: features
    if features not in get_args(Features):
        raise InputError(
            f"features are {features!r}; give an image of channels, or {', '.join(get_args(Features))}"
        )
    if features == "auto" and weights is None and Registry.read().default is None:
        return lambda: None
    return lambda: learned_channels(image, weights)


def learned_channels(
    image: Image, weights: str | Path | Weights | None = None, device: str | torch.device = "cpu"
) -> Image:
    """The features of a pretrained network, in voxels no finer than they need be."""
    grid = image.grid
    volume = grid.voxels * grid.spacing[0] * grid.spacing[1] * grid.spacing[2]
    spacing = max(min(grid.spacing), (volume / MOST_VOXELS) ** (1 / 3))
    found = extract_features(image, "learned", weights, spacing, device, contrasts="average")
    return Image(found.data.cpu(), found.grid)
