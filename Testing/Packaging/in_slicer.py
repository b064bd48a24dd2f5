"""Steps that run inside the Slicer application; `.github/workflows/slicer.yml` calls them in turn.

    Slicer --testing --no-splash --no-main-window --python-script Testing/Packaging/in_slicer.py STEP

`extension` installs the extension PyTorch (Slicer has to start anew after it), `packages` installs torch and
safetensors, `test` runs the tests of the modules.
"""

import sys
import traceback
import unittest
from pathlib import Path

import slicer

ROOT = Path(__file__).parents[2]
MODULES = ("SynthFoundation", "SegmentEditorFewShot")


def extension() -> None:
    manager = slicer.app.extensionsManagerModel()
    manager.interactive = False
    if not manager.isExtensionInstalled("PyTorch") and not manager.installExtensionFromServer(
        "PyTorch", False
    ):
        raise RuntimeError("the extension PyTorch could not be installed")


def packages() -> None:
    import PyTorchUtils
    import slicer.packaging

    PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False, forceComputationBackend="cpu")
    requirements = ROOT / "SynthFoundation" / "Resources" / "requirements.txt"
    needed = slicer.packaging.load_requirements(str(requirements))
    slicer.packaging.pip_ensure(needed, prompt_install=False, prompt_restart=False, skip_in_testing=False)


def test() -> None:
    """Every module's own test class, and each module once opened and reloaded."""
    suite = unittest.TestSuite()
    for name in MODULES:
        test_class = getattr(sys.modules[name], f"{name}Test")
        suite.addTest(test_class("runTest"))
    slicer.modules.synthfoundation.widgetRepresentation()
    slicer.util.reloadScriptedModule("SynthFoundation")
    if not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful():
        raise AssertionError("tests failed")


if __name__ == "__main__":
    try:
        {"extension": extension, "packages": packages, "test": test}[sys.argv[-1]]()
    except Exception:
        traceback.print_exc()
        slicer.util.exit(1)
    else:
        slicer.util.exit(0)
