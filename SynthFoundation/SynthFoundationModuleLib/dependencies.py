"""PyTorch and safetensors: found without importing them, installed only after the user agrees.

torch comes through the PyTorch extension alone (its PyTorchUtils picks the build for this computer),
safetensors through `slicer.packaging`. Both are used by the worker process only, so a fresh installation
works without restarting Slicer; only a newly installed PyTorch extension needs a restart, after which the
installation goes on (`resume`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import platform
import shutil
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .errors import UserError
from .installation_failure import failure
from .parameters import MachineSettings

TORCH = ">=2.3"
REQUIREMENTS = Path(__file__).resolve().parent.parent / "Resources" / "requirements.txt"
NEEDED_GB = 6.0  # a CUDA build of torch, unpacked
_REST_GB = 0.1
_EXTENSION = "PyTorch"
_NAME = "SynthFoundation"
_found: list[bool] = []  # filled once everything is there, so that nobody looks again
_installing = threading.Lock()


def missing() -> list[str]:
    """What is not installed, as requirements; nothing is imported to find out."""
    import slicer.packaging

    if not _found:
        importlib.invalidate_caches()
        wanted = [f"torch{TORCH}", *map(str, slicer.packaging.load_requirements(REQUIREMENTS))]
        lacking = [requirement for requirement in wanted if not slicer.packaging.pip_check(requirement)]
        if lacking:
            return lacking
        _found.append(True)
    return []


@contextmanager
def _alone() -> Iterator[None]:
    """One installation at a time: Slicer handles events for each line of pip's, so a button may ask again."""
    if not _installing.acquire(blocking=False):
        raise UserError(_("Packages are being installed; wait until that is done."))
    try:
        yield
    finally:
        _installing.release()


@_alone()
def ensure(on_state: Callable[[str], None] = lambda text: None) -> None:
    """Install what is missing, after asking.

    Args:
        on_state: told what is being done.

    Raises:
        UserError: the user declined, or it cannot be installed, or is being so; says why and what to do.
    """
    lacking = missing()
    if not lacking:
        return
    if slicer.app.testingEnabled():
        raise UserError(_("Not installed: {names}.").format(names=", ".join(lacking)))
    lacks_torch = any(name.startswith("torch") for name in lacking)
    if lacks_torch:
        _check_room()
    _ask(lacking, lacks_torch)
    if lacks_torch:
        with _told(_("Installing PyTorch; this takes some minutes…"), on_state):
            _install_torch()
    with _told(_("Installing the remaining packages…"), on_state):
        _install_rest()
    _check_installed()


@_alone()
def repair(on_state: Callable[[str], None] = lambda text: None) -> None:
    """Remove torch and install it again, after asking: it is there, but does not work.

    Raises:
        UserError: the user declined, or it cannot be installed, or is being so; says why and what to do.
    """
    if slicer.app.testingEnabled():
        raise UserError(_("Nothing is installed while Slicer is being tested."))
    _refuse_intel_macs()
    _check_room()
    text = _(
        "PyTorch is installed. If the self-test fails, it may be damaged or not fit this computer: it is "
        "removed, downloaded (up to 3 GB) and installed again.\n\nDo it now?"
    )
    if not slicer.util.confirmOkCancelDisplay(text, _NAME):
        raise UserError(_("Nothing was changed."))
    with _told(_("Installing PyTorch again; this takes some minutes…"), on_state):
        _uninstall_torch()
        _install_torch()
    with _told(_("Installing the remaining packages…"), on_state):
        _install_rest()
    _check_installed()


def _check_installed() -> None:
    if left := missing():
        raise UserError(
            _("Still not installed: {names}. The Python console says more.").format(names=", ".join(left))
        )


@contextmanager
def _told(text: str, on_state: Callable[[str], None]) -> Iterator[None]:
    """Say what is being done, in the panel and in a dialog that moves while packages are installed."""
    on_state(text)
    dialog = slicer.util.createProgressDialog(labelText=text, windowTitle=_NAME, maximum=0)
    dialog.setWindowModality(qt.Qt.ApplicationModal)
    dialog.setCancelButton(None)  # pip cannot be stopped without harm
    slicer.app.processEvents()
    try:
        yield
    finally:
        dialog.close()
        dialog.deleteLater()


def numpy_clash() -> str:
    """Why this torch cannot work with this numpy; empty if they fit.

    Builds of torch for Intel Macs end at 2.2, which was compiled for numpy 1.
    """
    try:
        torch, numpy = (importlib.metadata.version(name) for name in ("torch", "numpy"))
    except importlib.metadata.PackageNotFoundError:
        return ""
    if _release(torch) < (2, 3) and _release(numpy) >= (2, 0):
        return _(
            "PyTorch {torch} does not work with NumPy {numpy}, and there is no newer PyTorch for Macs with "
            "an Intel processor. Use a Slicer for Apple silicon, Windows or Linux."
        ).format(torch=torch, numpy=numpy)
    return ""


def resume() -> bool:
    """Whether an installation was interrupted by a restart; asked once after the start of Slicer."""
    settings = MachineSettings()
    waiting, settings.waiting_for_restart = settings.waiting_for_restart, False
    return waiting and bool(missing())


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())


def _ask(lacking: list[str], lacks_torch: bool) -> None:
    text = _(
        "SynthFoundation needs packages that are not installed yet: {names}. They are small, downloaded once "
        "and installed into Slicer. No image ever leaves this computer.\n\nInstall now?"
    ).format(names=", ".join(lacking))
    if lacks_torch:
        text = _(
            "SynthFoundation computes with PyTorch, which is not installed yet. It is downloaded once (up to "
            "3 GB with support for NVIDIA graphics cards, else 200 MB) and installed into Slicer; afterwards "
            "everything works offline. No image ever leaves this computer.\n\nInstall now?"
        )
    if not slicer.util.confirmOkCancelDisplay(text, _NAME, detailedText="\n".join(lacking)):
        raise UserError(_("Nothing was installed. Click again when you want to install what is missing."))


def _check_room() -> None:
    free = shutil.disk_usage(sysconfig.get_path("purelib")).free / 1e9
    if free < NEEDED_GB:
        raise UserError(
            _(
                "The disk with Slicer has only {free:.1f} GB free; PyTorch may take {needed:.0f} GB. "
                "Make room and try again."
            ).format(free=free, needed=NEEDED_GB)
        )


def _refuse_intel_macs() -> None:
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        raise UserError(
            _(
                "There is no PyTorch {version} for Macs with an Intel processor (or for the Intel build of "
                "Slicer under Rosetta). Use a Slicer for Apple silicon, Windows or Linux."
            ).format(version=TORCH)
        )


def _uninstall_torch() -> None:
    """Without the PyTorch extension nothing is removed; it is installed first (`_install_torch`)."""
    with suppress(ImportError):
        from PyTorchUtils import PyTorchUtilsLogic

        _found.clear()
        try:
            PyTorchUtilsLogic().uninstallTorch(askConfirmation=False)
        except Exception as error:
            logging.exception("SynthFoundation: removing torch")
            raise UserError(failure("PyTorch", error, NEEDED_GB)) from error


def _install_torch() -> None:
    _refuse_intel_macs()
    try:
        from PyTorchUtils import PyTorchUtilsLogic
    except ImportError:
        _install_extension()
        return
    try:
        installed = PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=TORCH)
    except Exception as error:
        logging.exception("SynthFoundation: installing torch")
        raise UserError(failure("PyTorch", error, NEEDED_GB)) from error
    if installed is None:
        raise UserError(_("PyTorch was not installed. Click again when you want to install it."))


def _install_extension() -> None:
    """Install the extension that installs torch; Slicer must restart to load it."""
    manager = slicer.app.extensionsManagerModel()
    if manager is None:
        raise UserError(
            _("Install the extension PyTorch in the Extensions Manager, restart Slicer and try again.")
        )
    if not manager.isExtensionInstalled(_EXTENSION) and not _installed_quietly(manager):
        raise UserError(
            _(
                "The extension PyTorch could not be installed; is there a connection to the internet? "
                "Install it in the Extensions Manager, restart Slicer and try again."
            )
        )
    MachineSettings().waiting_for_restart = True
    text = _("The extension PyTorch is installed. Slicer must restart to go on. Restart now?")
    if slicer.util.confirmYesNoDisplay(text, _NAME):
        slicer.util.restart()
    raise UserError(_("Restart Slicer; the installation then goes on by itself."))


def _installed_quietly(manager: Any) -> bool:
    """Whether the extension could be installed, without a question and without a restart that loses work."""
    asks, manager.interactive = manager.interactive, False
    try:
        return manager.installExtensionFromServer(_EXTENSION, False)  # a slot takes no keywords
    finally:
        manager.interactive = asks


def _install_rest() -> None:
    import slicer.packaging

    requirements = slicer.packaging.load_requirements(REQUIREMENTS)
    try:
        slicer.packaging.pip_ensure(requirements, requester=_NAME, prompt_install=False)
    except Exception as error:
        logging.exception("SynthFoundation: installing packages")
        raise UserError(failure(", ".join(map(str, requirements)), error, _REST_GB)) from error
