"""What there is to compute with, and whether it works: for `synthfoundation doctor` and the Model panel."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .demo import make_small_pair
from .devices import available
from .errors import Cancelled, WeightsError
from .features.extract import extract_features
from .features.registry import Registry
from .features.weights import load_weights
from .geometry import Grid
from .images import Image, read_image, write_image
from .registration import register
from .registration.course import Progress


def equipment() -> dict[str, Any]:
    """Devices and weights, as plain JSON values."""
    return {
        "devices": [{"name": name, "about": _about(name)} for name in available()],
        "weights": _weights(),
    }


def tried(name: str, progress: Progress) -> dict[str, Any]:
    """The result of one of the `CHECKS`, as plain JSON values; only what ends the work passes through."""
    start = time.perf_counter()
    try:
        passed, message = True, CHECKS[name](progress)
    except Cancelled:
        raise
    except Exception as error:
        passed, message = False, f"{type(error).__name__}: {error}"
    seconds = round(time.perf_counter() - start, 2)
    return {"name": name, "passed": passed, "seconds": seconds, "message": message}


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


def _check_files(progress: Progress) -> str:
    image = Image(torch.randn(8, 8, 8), Grid((8, 8, 8), (1.0, 2.0, 3.0)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.nii.gz"
        write_image(image, path)
        if not torch.equal(read_image(path).data, image.data):
            raise RuntimeError("an image does not survive writing and reading")
    return "an image survives writing and reading"


def _check_features(progress: Progress) -> str:
    progress("features", 0.0)
    volume = extract_features(make_small_pair()[0])
    if not volume.data.isfinite().all():
        raise RuntimeError("features are not finite")
    return " + ".join(f"{count} {name}" for name, count in volume.parts) + " channels"


def _check_registration(progress: Progress) -> str:
    fixed, moving, truth = make_small_pair()
    found = register(fixed, moving, preset="fast", progress=progress).transform
    tissue = (fixed.data[0] > 150).nonzero().flip(1)[::37].numpy()
    points = fixed.grid.to_physical(tissue)
    error = float(np.linalg.norm(found.apply(points) - truth.apply(points), axis=1).mean())
    if error > fixed.grid.spacing[0]:
        raise RuntimeError(f"a known deformation is missed by {error:.2f} mm")
    return f"a known deformation is found to {error:.2f} mm"


CHECKS: dict[str, Callable[[Progress], str]] = {
    "files": _check_files,
    "features": _check_features,
    "registration": _check_registration,
}
