"""Whether this machine can run the host, and if not, why: tests give it as the reason for being skipped."""

import ctypes.util
import importlib.metadata
import sys

PACKAGES = ("slicer-core", "PySide6-Essentials", "vtk")
LINUX_LIBRARIES = {"EGL": "libegl1", "GL": "libgl1", "xkbcommon": "libxkbcommon0", "X11": "libx11-6"}
"""Shared libraries that Qt and VTK load, and the Debian packages that hold them."""


def why_not() -> str | None:
    """The reason why the host cannot run here, or None."""
    missing = [package for package in PACKAGES if not _installed(package)]
    if missing:
        return (
            f"{', '.join(missing)} not installed (pip install -e '.[slicer-test]'; slicer-core has wheels "
            "for Python 3.10 to 3.13 on Linux x86_64, Windows and macOS arm64)"
        )
    if sys.platform.startswith("linux"):
        libraries = [
            package for name, package in LINUX_LIBRARIES.items() if not ctypes.util.find_library(name)
        ]
        if libraries:
            return f"system libraries are missing (apt-get install {' '.join(libraries)})"
    return None


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
