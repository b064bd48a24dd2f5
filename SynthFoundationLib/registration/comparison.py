"""What images are compared by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..features.extract import Backend, compute_features
from ..features.mind import MindConfig
from ..features.registry import Registry
from ..features.weights import Weights, load_weights
from ..geometry import resample
from ..images import Image

# On coarse voxels the nearest neighbours already lie far apart.
COARSE_MIND = MindConfig(dilation=1)
FINE_MIND = MindConfig()


class Descriptor:
    """Features (C, D, H, W) on the grid of an image that is in [0, 1]; the network is loaded once."""

    def __init__(self, backend: Backend, weights: str | Path | Weights | None) -> None:
        """Take the backend and weights as `compute_features` does."""
        if backend == "auto":
            backend = "mind" if weights is None and Registry.read().default is None else "learned+mind"
        self.backend: Backend = backend
        if "learned" in backend and not isinstance(weights, Weights):
            weights = load_weights(weights)
        self.weights = weights if isinstance(weights, Weights) else None
        self.parts: list[list[Any]] = []

    def __call__(self, image: Image) -> torch.Tensor:
        """Features for placing structures exactly."""
        return self._features(image, FINE_MIND)

    def coarse(self, image: Image) -> torch.Tensor:
        """Features for finding the pose on voxels of a centimetre."""
        return compute_features(image, "mind", mind=COARSE_MIND).data

    @property
    def identity(self) -> dict[str, str] | None:
        """Id and checksum of the weights."""
        return {"id": self.weights.id, "sha256": self.weights.sha256} if self.weights else None

    def _features(self, image: Image, mind: MindConfig) -> torch.Tensor:
        volume = compute_features(image, self.backend, self.weights, mind=mind)
        self.parts = [list(part) for part in volume.parts]
        if volume.grid.size == image.grid.size:
            return volume.data
        return resample(volume.data, volume.grid, image.grid, fill=None)
