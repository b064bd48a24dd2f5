"""What is installed, and whether it works."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__
from ..demo import make_small_pair
from ..devices import available
from ..errors import Cancelled, WeightsError
from ..features.extract import extract_features
from ..features.registry import Registry
from ..features.weights import load_weights
from ..registration import register

if TYPE_CHECKING:
    from .desk import Desk
    from .job import Job

_PACKAGES = ("torch", "safetensors", "SimpleITK", "numpy", "scipy")


def doctor(job: Job, desk: Desk) -> dict[str, Any]:
    """Versions, devices, weights, and the result of trying things out."""
    test = job.params.flag("self_test", True)
    return {
        "version": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in _PACKAGES},
        "devices": [{"name": name, "about": _about(name)} for name in available()],
        "weights": _weights(),
        "self_test": [_tried(job, name, check) for name, check in _CHECKS.items()] if test else [],
    }


def clear_cache(job: Job, desk: Desk) -> dict[str, Any]:
    """Forget features and networks; scans and sessions stay."""
    freed = desk.state()["feature_bytes"]
    desk.clear()
    return {"freed_bytes": freed}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _about(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} threads" if device == "cpu" else "Apple graphics"


def _weights() -> list[dict[str, Any]]:
    registry = Registry.read()
    return [
        {
            "id": name,
            "default": name == registry.default,
            "licence": entry.licence,
            "sha256": entry.sha256,
            "about": entry.about,
            "bundled": entry.source is None,
            "error": _error(name),
        }
        for name, entry in registry.weights.items()
    ]


def _error(name: str) -> str | None:
    """Why weights cannot be used; None if they can."""
    try:
        load_weights(name)
    except WeightsError as error:
        return str(error)
    return None


def _tried(job: Job, name: str, check: Callable[[Job], str]) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        passed, message = True, check(job)
    except Cancelled:
        raise
    except Exception as error:
        passed, message = False, f"{type(error).__name__}: {error}"
    seconds = round(time.perf_counter() - start, 2)
    return {"name": name, "passed": passed, "seconds": seconds, "message": message}


def _check_features(job: Job) -> str:
    job.progress("features", 0.0)
    volume = extract_features(make_small_pair()[0])
    if not volume.data.isfinite().all():
        raise RuntimeError("features are not finite")
    return " + ".join(f"{count} {name}" for name, count in volume.parts) + " channels"


def _check_registration(job: Job) -> str:
    fixed, moving, truth = make_small_pair()
    found = register(fixed, moving, preset="fast", progress=job.progress).transform
    inside = (fixed.data[0] > 150).nonzero().flip(1)[::37].numpy()
    points = fixed.grid.to_physical(inside)
    error = float(torch.from_numpy(found.apply(points) - truth.apply(points)).norm(dim=1).mean())
    if error > fixed.grid.spacing[0]:
        raise RuntimeError(f"a known deformation is missed by {error:.2f} mm")
    return f"a known deformation is found to {error:.2f} mm"


_CHECKS: dict[str, Callable[[Job], str]] = {"features": _check_features, "registration": _check_registration}
