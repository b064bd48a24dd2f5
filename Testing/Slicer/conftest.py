import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "Testing" / "SlicerHost"), str(ROOT), str(ROOT / "SynthFoundation")]

from slicerhost.fixtures import host, pytest_pycollect_makemodule  # noqa: E402

__all__ = ["host", "light", "module", "pair", "pytest_pycollect_makemodule", "truth"]


@pytest.fixture(scope="session")
def _lasting_worker():
    """One worker for all tests: its start takes seconds, and it has to stand that scenes come and go."""
    from SynthFoundationModuleLib import process

    close, process.close_shared_worker = process.close_shared_worker, lambda: None
    yield
    process.close_shared_worker = close
    close()


@pytest.fixture
def module(host, _lasting_worker):
    """The module's widget, open, with slice views."""
    host.load(ROOT / "SynthFoundation" / "SynthFoundation.py")
    host.finish_startup()
    host.show_main_window()
    return host.open("SynthFoundation")


@pytest.fixture
def light(module, monkeypatch):
    """The module with MIND features, the fast preset and a given start: answers in a second or two."""
    import slicer
    from SynthFoundationModuleLib.parameters import MachineSettings, Preset

    mind = {"weights": None, "features": "mind", "device": "cpu"}
    monkeypatch.setattr(MachineSettings, "network", lambda self: dict(mind))
    chosen = module.register_panel.parameters
    chosen.preset = Preset.FAST
    chosen.initialTransform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "start")
    return module


@pytest.fixture(scope="session")
def _small_pair():
    from SynthFoundationLib.demo import make_small_pair

    return make_small_pair(1)


@pytest.fixture
def pair(host, _small_pair):
    """Two small volumes of a marbled ball in the scene: T1, and T2 after it was moved and deformed."""
    from SynthFoundationModuleLib.sample_data import volume_of

    fields = ("size", "spacing", "origin", "direction")
    return [
        volume_of(
            {
                "array": image.data[0].numpy().astype("int16"),
                "grid": {name: getattr(image.grid, name) for name in fields},
            },
            name,
        )
        for image, name in zip(_small_pair, ("T1", "T2"), strict=False)
    ]


@pytest.fixture(scope="session")
def truth(_small_pair):
    """Points of the fixed ball and where they truly lie in the moving one, LPS mm (N, 3) each."""
    fixed, _moving, transform = _small_pair
    inside = (fixed.data[0] > 150).nonzero().flip(1)[::37].numpy()
    points = fixed.grid.to_physical(inside)
    return points, transform.apply(points)
