"""`synthfoundation doctor`: what is installed, and whether it works."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from importlib import metadata
from typing import Annotated

import typer

from .. import __version__

_CORE = ("torch", "SimpleITK", "numpy", "scipy", "safetensors")
_EXTRAS = {"cli": ("typer", "rich", "matplotlib"), "train": ("monai", "lightning-fabric", "tensorboard")}


def doctor(
    self_test: Annotated[
        bool, typer.Option("--self-test/--no-self-test", help="Try it out, 10 seconds.")
    ] = True,
) -> None:
    """Show what is installed, the devices and weights, and try everything out for 10 seconds."""
    _show(
        "SynthFoundation",
        f"{__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}",
    )
    for package in _CORE:
        _show(package, _version(package) or "missing")
    for extra, packages in _EXTRAS.items():
        missing = [package for package in packages if _version(package) is None]
        _show(f"extra {extra}", f"missing {', '.join(missing)}" if missing else "complete")
    _show("devices", _devices())
    for name, state in _weights():
        _show(f"weights {name}", state)
    if self_test and not all([_passes(name, check) for name, check in _CHECKS.items()]):
        raise typer.Exit(1)


def _show(name: str, value: str) -> None:
    typer.echo(f"{name:<24} {value}")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> str:
    import torch

    from ..devices import available

    names = {"cpu": f"cpu ({torch.get_num_threads()} threads)"}
    if "cuda" in available():
        names["cuda"] = f"cuda ({torch.cuda.get_device_name()})"
    return ", ".join(names.get(name, name) for name in available())


def _weights() -> list[tuple[str, str]]:
    from ..errors import WeightsError
    from ..features.registry import Registry
    from ..features.weights import load_weights

    registry, states = Registry.read(), []
    for name, entry in registry.weights.items():
        try:
            load_weights(name)
            state = f"ready, {entry.licence}"
        except WeightsError as error:
            state = str(error)
        states.append((name, state + (" (default)" if name == registry.default else "")))
    return states or [("none", "features are MIND-SSC")]


def _passes(name: str, check: Callable[[], str]) -> bool:
    start = time.perf_counter()
    try:
        result = check()
    except Exception as error:
        _show(name, f"FAILED: {type(error).__name__}: {error}")
        return False
    _show(name, f"passed in {time.perf_counter() - start:.1f} s: {result}")
    return True


def _check_files() -> str:
    import tempfile
    from pathlib import Path

    import torch

    from ..geometry import Grid
    from ..images import Image, read_image, write_image

    image = Image(torch.randn(8, 8, 8), Grid((8, 8, 8), (1.0, 2.0, 3.0)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.nii.gz"
        write_image(image, path)
        if not torch.equal(read_image(path).data, image.data):
            raise RuntimeError("an image does not survive writing and reading")
    return "an image survives writing and reading"


def _check_features() -> str:
    from ..demo import make_small_pair
    from ..features.extract import extract_features

    volume = extract_features(make_small_pair()[0])
    if not volume.data.isfinite().all():
        raise RuntimeError("features are not finite")
    return " + ".join(f"{count} {name}" for name, count in volume.parts) + " channels"


def _check_registration() -> str:
    from ..demo import make_small_pair
    from ..registration import register
    from .demo import error_mm

    fixed, moving, truth = make_small_pair()
    error = error_mm(register(fixed, moving, preset="fast").transform, truth, fixed)
    if error > fixed.grid.spacing[0]:
        raise RuntimeError(f"a known deformation is missed by {error:.2f} mm")
    return f"a known deformation is found to {error:.2f} mm"


_CHECKS = {"files": _check_files, "features": _check_features, "registration": _check_registration}
