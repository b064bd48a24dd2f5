"""What is installed, told without any of it: it also answers where something is missing."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from . import __version__

PACKAGES = ("torch", "safetensors", "SimpleITK", "numpy", "scipy")


def installed() -> dict[str, Any]:
    """Versions, as plain JSON values; None for a package that is missing."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in PACKAGES},
    }


def version(package: str) -> str | None:
    """Of an installed package; None if it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
