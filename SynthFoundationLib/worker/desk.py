"""What the worker keeps between requests: scans, features, networks and sessions."""

from __future__ import annotations

import ctypes
import gc
import math
import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..devices import chosen
from ..errors import InputError
from ..features.extract import Backend, FeatureVolume, extract_features
from ..features.registry import Registry
from ..features.weights import Weights, load_weights
from ..geometry import Grid
from ..images import Image, as_image
from .recent import Recent

if TYPE_CHECKING:
    from .job import Job
    from .registering import Registering
    from .segmenting import Segmenting

BACKENDS = ("auto", "mind", "learned", "learned+mind")
DEVICES = ("auto", "cpu", "cuda", "mps")
_GIGABYTE = 1e9
# Sessions kept of each kind: a user goes back to the last few, and each holds hundreds of megabytes.
_SESSIONS = 3
# Features are for looking and telling labels apart; finer ones would take gigabytes.
_FEATURE_VOXELS = 3_000_000


class Desk:
    """All that is kept. What was used longest ago goes when there is too much."""

    def __init__(self, hold_gb: float) -> None:
        """Keep scans of `hold_gb` GB (10⁹ bytes) and features of half as much."""
        self.volumes: Recent[Image] = Recent("volume", hold_gb * _GIGABYTE)
        self.registrations: Recent[Registering] = Recent("registration session", _SESSIONS)
        self.segmentations: Recent[Segmenting] = Recent("segmentation session", _SESSIONS)
        self._features: Recent[FeatureVolume] = Recent("features", hold_gb * _GIGABYTE / 2)
        self._networks: Recent[Weights] = Recent("network", 1)

    def put_volume(self, key: str, array: np.ndarray, grid: Grid) -> None:
        """Keep a scan; what was derived from an older one of this key is forgotten.

        Raises:
            InputError: it cannot be used.
        """
        if array.ndim != 3:
            raise InputError(f"a volume has the axes (k, j, i); the array has {array.ndim} dimensions")
        with np.errstate(over="ignore"):  # what does not fit becomes infinite and is refused below
            data = torch.from_numpy(array.astype(np.float32))
        image = as_image((data, grid), "the volume")
        self.drop_volume(key)
        self.volumes.put(key, image, image.data.nbytes)

    def drop_volume(self, key: str) -> bool:
        """Forget a scan and its features; sessions go on with it."""
        for name in self._features.keys:
            if name.endswith(f"/{key}"):
                self._features.drop(name)
        return self.volumes.drop(key)

    def network(self, job: Job, backend: str) -> Weights | None:
        """The network that the parameters `features` and `weights` of a request ask for, checked and loaded.

        Raises:
            WeightsError: it is not there or damaged.
        """
        name = job.params.optional_text("weights")
        installed = name is not None or Registry.read().default is not None
        if "learned" not in backend and not (backend == "auto" and installed):
            return None
        key = name or str(Registry.read().default)
        if key not in self._networks:
            self._networks.put(key, load_weights(name))
        return self._networks.get(key)

    def features(self, key: str, backend: Backend, weights: Weights | None, device: str) -> FeatureVolume:
        """Features of a scan that is kept, computed once."""
        name = f"{backend}/{weights.sha256 if weights else None}/{key}"
        if name not in self._features:
            found = extracted(self.volumes.get(key), backend, weights, device)
            self._features.put(name, found, found.data.nbytes)
        return self._features.get(name)

    def clear(self) -> None:
        """Forget whatever can be computed again."""
        self._features.clear()
        self._networks.clear()
        release()

    def state(self) -> dict[str, Any]:
        """What is kept, for people; called by another thread, so it only looks."""
        held: tuple[Recent[Any], ...] = (self.volumes, self.registrations, self.segmentations)
        names = ("volumes", "registrations", "segmentations")
        kept = {name: one.keys for name, one in zip(names, held, strict=True)}
        return kept | {"volume_bytes": self.volumes.total, "feature_bytes": self._features.total}


def extracted(image: Image, backend: Backend, weights: Weights | None, device: str) -> FeatureVolume:
    """Features of a scan on its finest voxels, or on larger ones where those would be too many."""
    least = (math.prod(image.grid.extent) / _FEATURE_VOXELS) ** (1 / 3)
    spacing = max(min(image.grid.spacing), least)
    found = extract_features(image, backend, weights, spacing, chosen(device), contrasts="average")
    return FeatureVolume(found.data.cpu(), found.grid, found.parts, found.weights)


def release() -> None:
    """Give memory that nothing needs any more back to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if _trim is not None:
        _trim(0)


def _glibc_trim() -> Callable[[int], int] | None:
    """What makes the C library give freed memory back to the system, where it is one that keeps it."""
    if platform.libc_ver()[0] != "glibc":
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


_trim = _glibc_trim()
