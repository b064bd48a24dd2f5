"""Where the bundled library and Slicer's own Python are."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from slicer.i18n import tr as _

PACKAGE = "SynthFoundationLib"


def library_parent() -> Path:
    """The folder that holds `SynthFoundationLib`: the module's own when installed, else the source tree.

    Raises:
        RuntimeError: it is in neither.
    """
    module = Path(__file__).resolve().parent.parent
    for folder in (module, module.parent):
        if (folder / PACKAGE / "__init__.py").is_file():
            return folder
    raise RuntimeError(
        _("The library {name} is missing beside the module; install the extension again.").format(
            name=PACKAGE
        )
    )


def make_importable() -> None:
    """Let `import SynthFoundationLib` find the bundled library."""
    folder = str(library_parent())
    if folder not in sys.path:
        sys.path.append(folder)


def python_executable() -> str:
    """The interpreter that runs the worker: PythonSlicer, which Slicer puts on the PATH.

    Raises:
        RuntimeError: there is none.
    """
    found = shutil.which("PythonSlicer")
    if found:
        return found
    if "python" in Path(sys.executable).name.lower():
        return sys.executable
    raise RuntimeError(_("PythonSlicer was not found beside Slicer; install Slicer again."))
