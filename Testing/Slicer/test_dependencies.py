"""What is installed, how, and what is said when it cannot be."""

import shutil
import socket
import subprocess
import sys
import tempfile
import types
from collections import namedtuple

import pytest
import qt
import slicer
import slicer.packaging
from SynthFoundationModuleLib import dependencies, installation_failure
from SynthFoundationModuleLib.errors import UserError
from SynthFoundationModuleLib.parameters import MachineSettings

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def bare(host, monkeypatch):
    """A Slicer without torch and safetensors, whose user agrees to everything; what happens is recorded."""
    installed, asked = set(), []

    def pip_ensure(requirements, **options):
        installed.update(str(one) for one in requirements)

    monkeypatch.setattr(slicer.app, "testing", False)
    monkeypatch.setattr(dependencies, "_found", [])
    monkeypatch.setattr(slicer.packaging, "pip_check", lambda one: str(one) in installed)
    monkeypatch.setattr(slicer.packaging, "pip_ensure", pip_ensure)
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, *_, **__: asked.append(text) or True
    )
    monkeypatch.setattr(
        slicer.util, "confirmYesNoDisplay", lambda text, *_, **__: asked.append(text) or False
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1e12, 0, 1e12))
    monkeypatch.setattr(
        socket, "create_connection", lambda address, timeout: types.SimpleNamespace(close=int)
    )
    monkeypatch.delitem(sys.modules, "PyTorchUtils", raising=False)
    return types.SimpleNamespace(installed=installed, asked=asked)


def with_pytorch_utils(monkeypatch, bare, install=None):
    class PyTorchUtilsLogic:
        def installTorch(
            self,
            askConfirmation=False,
            forceComputationBackend=None,
            torchVersionRequirement=None,
            torchvisionVersionRequirement=None,
        ):
            if install:
                return install()
            bare.installed.add(f"torch{torchVersionRequirement}")
            return object()

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)


def raising(error):
    def install():
        raise error

    return install


def test_after_consent_torch_comes_through_the_extension_and_the_rest_through_slicer(bare, monkeypatch):
    with_pytorch_utils(monkeypatch, bare)
    states = []
    assert dependencies.missing() == ["torch>=2.3", "safetensors>=0.4"]
    dependencies.ensure(states.append)
    assert len(bare.asked) == 1
    assert "No image ever leaves this computer" in bare.asked[0]
    assert len(states) == 2
    assert dependencies.missing() == []
    dependencies.ensure()
    assert len(bare.asked) == 1


def test_who_declines_is_told_that_nothing_was_installed(bare, monkeypatch):
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_, **__: False)
    with pytest.raises(UserError, match="Nothing was installed"):
        dependencies.ensure()
    assert not bare.installed


def test_a_full_disk_is_noticed_before_anything_is_asked(bare, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1e12, 1e12, 2.5e9))
    with pytest.raises(UserError, match=r"only 2\.5 GB free"):
        dependencies.ensure()
    assert not bare.asked


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "disk is full"),
        (subprocess.CalledProcessError(1, "pip", "Connection timed out"), "Python console says more"),
        (RuntimeError("Could not resolve host"), "connection to the internet"),
        (PermissionError(13, "Permission denied"), "cannot be written to"),
    ],
)
def test_each_failure_says_what_to_do(bare, monkeypatch, error, said):
    with_pytorch_utils(monkeypatch, bare, raising(error))
    with pytest.raises(UserError, match=said):
        dependencies.ensure()


def ended(code=1):
    """What Slicer raises where pip fails: without a word of it."""
    return subprocess.CalledProcessError(code, ["/network/PythonSlicer", "-m", "light_the_torch", "install"])


def test_without_pips_words_a_full_disk_is_seen(bare, monkeypatch):
    free = {tempfile.gettempdir(): 0.2e9}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1e12, 0, free.get(path, 1e12)))
    with_pytorch_utils(monkeypatch, bare, raising(ended()))
    with pytest.raises(UserError, match=r"only 0\.2 GB are free in .* and 6\.0 GB may be needed"):
        dependencies.ensure()


def test_without_pips_words_a_server_that_does_not_answer_is_seen(bare, monkeypatch):
    asked = []

    def refuse(address, timeout):
        asked.append((address, timeout))
        raise OSError("Network is unreachable")

    with_pytorch_utils(monkeypatch, bare, raising(ended()))
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(installation_failure.urllib.request, "getproxies", dict)
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.hospital.example:8080/simple")
    with pytest.raises(UserError, match=r"index\.hospital\.example does not answer"):
        dependencies.ensure()
    assert [address for address, _ in asked] == [("index.hospital.example", 8080)]
    assert asked[0][1] < 5


def test_of_what_cannot_be_seen_nothing_is_claimed(bare, monkeypatch):
    def refuse(*_):
        raise OSError("Network is unreachable")

    with_pytorch_utils(monkeypatch, bare, raising(ended()))
    with pytest.raises(UserError, match="Python console says more"):
        dependencies.ensure()
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(installation_failure.urllib.request, "getproxies", lambda: {"https": "http://proxy"})
    with pytest.raises(UserError, match="Python console says more"):
        dependencies.ensure()


def test_where_only_the_rest_is_missing_nobody_speaks_of_pytorch(bare, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1e12, 1e12, 2.5e9))
    bare.installed.add("torch>=2.3")
    dependencies.ensure()
    assert dependencies.missing() == []
    assert len(bare.asked) == 1
    assert "safetensors" in bare.asked[0]
    assert "PyTorch" not in bare.asked[0]


def test_an_installation_is_not_entered_twice(bare, pair, host, monkeypatch):
    """Slicer handles events while pip runs, and a user may click on what looks alive."""
    from pathlib import Path

    host.load(Path(__file__).parents[2] / "SynthFoundation" / "SynthFoundation.py")
    panel = host.open("SynthFoundation").register_panel
    seen = []

    def install():
        modal = [one for one in slicer.app.topLevelWidgets() if isinstance(one, qt.QProgressDialog)]
        seen.append(all(one.windowModality == qt.Qt.ApplicationModal for one in modal) and len(modal) > 0)
        if len(seen) < 3:
            panel.ui.registerButton.click()
        seen.append(panel.ui.messageLabel.text)
        with pytest.raises(UserError, match="being installed"):
            dependencies.repair()
        bare.installed.add("torch>=2.3")
        return object()

    with_pytorch_utils(monkeypatch, bare, install)
    dependencies.ensure()
    assert seen[0] is True
    assert "being installed" in seen[1]
    assert len(seen) == 2
    assert len(bare.asked) == 1
    dependencies.ensure()


@pytest.fixture
def manager(monkeypatch):
    """Slicer's manager of extensions where PyTorch is not installed."""
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    return slicer.app.extensionsManagerModel()


def test_without_the_extension_it_is_installed_and_goes_on_after_the_restart(bare, manager):
    manager.installable.add("PyTorch")
    with pytest.raises(UserError, match="Restart Slicer"):
        dependencies.ensure()
    assert manager.installed == {"PyTorch"}
    assert manager.interactive
    assert "Restart now?" in bare.asked[-1]
    assert slicer.app.restarts == 0
    assert MachineSettings().waiting_for_restart
    assert dependencies.resume()
    assert not dependencies.resume()


def test_slicer_restarts_only_where_the_user_agrees(bare, manager, monkeypatch):
    manager.installable.add("PyTorch")
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda *_, **__: True)
    with pytest.raises(UserError, match="Restart Slicer"):
        dependencies.ensure()
    assert slicer.app.restarts == 1


def test_without_a_network_the_extension_is_explained(bare, manager):
    with pytest.raises(UserError, match="connection to the internet"):
        dependencies.ensure()
    assert manager.interactive
    assert not MachineSettings().waiting_for_restart


def test_macs_with_an_intel_processor_are_told_before_a_download(bare, monkeypatch):
    with_pytorch_utils(monkeypatch, bare)
    monkeypatch.setattr(dependencies.sys, "platform", "darwin")
    monkeypatch.setattr(dependencies.platform, "machine", lambda: "x86_64")
    with pytest.raises(UserError, match="Intel processor"):
        dependencies.ensure()
    assert "torch>=2.3" not in bare.installed


@pytest.mark.parametrize(
    ("torch", "numpy", "clash"),
    [("2.2.2", "2.4.6", True), ("2.2.2", "1.26.4", False), ("2.7.0+cu128", "2.4.6", False)],
)
def test_a_torch_for_another_numpy_is_recognised(monkeypatch, torch, numpy, clash):
    versions = {"torch": torch, "numpy": numpy}
    monkeypatch.setattr(dependencies.importlib.metadata, "version", versions.__getitem__)
    assert bool(dependencies.numpy_clash()) is clash


def test_a_panel_shows_the_refusal_and_stays_usable(bare, pair, host, monkeypatch):
    from pathlib import Path

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_, **__: False)
    host.load(Path(__file__).parents[2] / "SynthFoundation" / "SynthFoundation.py")
    ui = host.open("SynthFoundation").register_panel.ui
    ui.registerButton.click()
    assert "Nothing was installed" in ui.messageLabel.text
    assert ui.registerButton.enabled
    assert ui.registerButton.text == "Register"


def test_a_repair_removes_and_installs_torch_after_asking(bare, monkeypatch):
    bare.installed |= {"torch>=2.3", "safetensors>=0.4"}
    monkeypatch.setattr(slicer.app, "testing", True)
    with pytest.raises(UserError, match="being tested"):
        dependencies.repair()
    monkeypatch.setattr(slicer.app, "testing", False)
    removed = []

    class PyTorchUtilsLogic:
        def uninstallTorch(self, askConfirmation=False, forceComputationBackend=None):
            removed.append("torch")
            bare.installed.discard("torch>=2.3")

        def installTorch(
            self, askConfirmation=False, forceComputationBackend=None, torchVersionRequirement=None
        ):
            bare.installed.add(f"torch{torchVersionRequirement}")
            return object()

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    dependencies.repair()
    assert removed == ["torch"]
    assert dependencies.missing() == []
    assert "removed" in bare.asked[-1]
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_, **__: False)
    with pytest.raises(UserError, match="Nothing was changed"):
        dependencies.repair()
    assert removed == ["torch"]


def test_who_waits_sees_a_dialog_that_cannot_be_cancelled(bare, monkeypatch):
    seen = []

    def install():
        dialogs = [one for one in slicer.app.topLevelWidgets() if isinstance(one, qt.QProgressDialog)]
        seen.extend(one.labelText for one in dialogs)
        bare.installed.add("torch>=2.3")
        return object()

    with_pytorch_utils(monkeypatch, bare, install)
    dependencies.ensure()
    assert any("Installing PyTorch" in text for text in seen)
    slicer.app.processEvents()
    left = [one for one in slicer.app.topLevelWidgets() if isinstance(one, qt.QProgressDialog)]
    assert not any(one.isVisible() for one in left)


def test_a_damaged_torch_is_told_in_plain_words(host, monkeypatch, tmp_path):
    from SynthFoundationModuleLib.process import Worker, WorkerError

    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text('raise ImportError("DLL load failed while importing _C")')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = Worker()
    try:
        with pytest.raises(WorkerError, match="Python package torch is missing"):
            worker.wait("doctor", {})
    finally:
        worker.close()
