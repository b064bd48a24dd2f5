"""What images are compared by."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import get_args

import torch

from ..errors import InputError
from ..features.extract import Backend, compute_features
from ..features.mind import MindConfig, pooled_mind
from ..features.registry import Registry
from ..features.weights import Weights, load_weights
from ..geometry import resample
from ..images import Image
from .deformable import pooled
from .described import LEARNED_COARSENING, Described

# On coarse voxels the nearest neighbours already lie far apart.
COARSE_MIND = MindConfig(dilation=1)
FINE_MIND = MindConfig()


def backend_for(backend: Backend, weights: object) -> Backend:
    """What "auto" stands for: MIND-SSC, and with it the network whose weights are given.

    Beside MIND with weighed channels the bundled network does not place structures better (docs/weights.md);
    it knows them, which is what `Descriptor.recognised` is for.
    """
    if backend != "auto":
        return backend
    return "mind" if weights is None else "learned+mind"


class Descriptor:
    """Describes images that are in [0, 1]; the network is loaded once."""

    def __init__(self, backend: Backend, weights: str | Path | Weights | None) -> None:
        """Take the backend and weights as `compute_features` does.

        Raises:
            InputError: there is no such backend.
            WeightsError: the weights cannot be used.
        """
        if backend not in get_args(Backend):
            raise InputError(f"features is {backend!r}; allowed are {', '.join(get_args(Backend))}")
        self.recognises = backend != "mind" and Registry.read().default is not None
        self.backend = backend = backend_for(backend, weights)
        if "learned" in backend and not isinstance(weights, Weights):
            weights = load_weights(weights)
        self.weights = weights if isinstance(weights, Weights) else None
        self.parts: list[tuple[str, int]] = []

    def described(self, image: Image, beat: Callable[[], None] | None = None, pooling: int = 1) -> Described:
        """Features for placing structures exactly; `beat` is called while a network runs.

        On voxels that hold `pooling`³ of the image's, whose MIND-SSC is averaged.
        """
        wide = Image(pooled(image.data, pooling), image.grid.coarsened(pooling))
        learned = None if self.weights is None else _learned(wide, self.weights, beat)
        mind = None
        if "mind" in self.backend:
            mind = pooled_mind(image.data[:, None], pooling, FINE_MIND).flatten(0, 1)
        named = (("learned", learned), ("mind", mind))
        self.parts = [(name, len(part)) for name, part in named if part is not None]
        return Described(learned, mind, wide.grid)

    def coarse(self, image: Image) -> torch.Tensor:
        """Features for finding the pose on voxels of a centimetre."""
        return compute_features(image, "mind", mind=COARSE_MIND).data

    def whole(self, image: Image) -> torch.Tensor:
        """All features on the voxels of the image: what tells how alike images are."""
        return self.described(image).at(1, learned=1.0)

    def recognised(self, image: Image) -> torch.Tensor:
        """What the bundled network knows structures by, (C, D, H, W) on the voxels of the image.

        To be asked where `recognises` says so: MIND-SSC alone keeps to itself.
        """
        return Described(_learned(image, self._bundled), None, image.grid).at(1, learned=1.0)

    @cached_property
    def _bundled(self) -> Weights:
        return load_weights(None)

    @property
    def identity(self) -> dict[str, str] | None:
        """Id and checksum of the weights."""
        return {"id": self.weights.id, "sha256": self.weights.sha256} if self.weights else None


def _learned(image: Image, weights: Weights, beat: Callable[[], None] | None = None) -> torch.Tensor:
    """Features on coarser voxels; a network with a half-resolution stem is shown the image itself."""
    wide = image.grid.coarsened(LEARNED_COARSENING)
    if weights.network.config.stem != LEARNED_COARSENING:
        image = Image(resample(image.data, image.grid, wide, fill=None, antialias=True), wide)
    volume = compute_features(image, "learned", weights, beat=beat)
    if volume.grid.size == wide.size:
        return volume.data
    return resample(volume.data, volume.grid, wide, fill=None)


def correlation(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> float:
    """Of features (C, D, H, W) about their means, voxels counting by weight (1, D, H, W)."""
    total = weight.sum().clamp_min(1e-6)
    u, v = (x - (x * weight).sum((1, 2, 3), keepdim=True) / total for x in (a, b))
    norm = ((u * u * weight).sum() * (v * v * weight).sum()).sqrt().clamp_min(1e-12)
    return float((u * v * weight).sum() / norm)
