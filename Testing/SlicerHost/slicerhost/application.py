"""`slicer.app`: the application object that modules and `slicer.util` talk to."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import qt
import slicer

from slicerhost.files import IOManager
from slicerhost.modules import ModuleManager


class Application(qt.QObject):
    """What qSlicerApplication offers. In `testing` mode message boxes are logged, not shown."""

    startupCompleted = qt.Signal()
    lastWindowClosed = qt.Signal()
    aboutToQuit = qt.Signal()
    applicationName = mainApplicationName = mainApplicationDisplayName = "Slicer"
    majorVersion = mainApplicationMajorVersion = 5
    minorVersion = mainApplicationMinorVersion = 13
    mainApplicationPatchVersion = 0
    applicationVersion = "5.13.0-host"
    revision = repositoryRevision = mainApplicationRevision = "0"
    documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"
    isInstalled = False

    def __init__(self, scene: object) -> None:
        super().__init__()
        self.testing, self.restarts = True, 0
        self._scene = scene
        self._io = IOManager(scene.logics)
        self._modules = ModuleManager(scene.logics)
        self._extensions = ExtensionsManager()
        self._layout_manager = None
        self._loop = qt.QEventLoop()  # QApplication.processEvents loses a reference to None at every call
        self._folder = tempfile.mkdtemp(prefix="slicerhost-")
        self.temporaryPath, self.slicerHome = self._folder, self._folder
        self.os = {"win32": "win", "darwin": "macosx"}.get(sys.platform, "linux")
        _python_slicer(Path(self._folder, "bin"))

    # the scene and its helpers

    def mrmlScene(self) -> object:
        return slicer.mrmlScene

    def applicationLogic(self) -> object:
        return self._scene.logic

    def moduleLogic(self, name: str) -> object:
        return self._scene.logics.get(name)

    def coreIOManager(self) -> IOManager:
        return self._io

    ioManager = coreIOManager

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def extensionsManagerModel(self) -> "ExtensionsManager":
        return self._extensions

    def layoutManager(self) -> object | None:
        return self._layout_manager

    def setLayoutManager(self, manager: object | None) -> None:
        self._layout_manager = manager

    # settings, language, documentation

    def settings(self) -> qt.QSettings:
        return qt.QSettings()

    userSettings = revisionUserSettings = settings

    def translate(self, context: str, text: str) -> str:
        return qt.QCoreApplication.translate(context, text)

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    # the process

    def testingEnabled(self) -> bool:
        return self.testing

    def startupEnvironment(self) -> qt.QProcessEnvironment:
        return qt.QProcessEnvironment.systemEnvironment()

    environment = startupEnvironment

    def restart(self) -> None:
        self.restarts += 1

    def processEvents(self, *flags: object) -> None:
        self._loop.processEvents(*flags)

    def setOverrideCursor(self, *cursor: object) -> None:
        qt.QApplication.setOverrideCursor(*cursor)

    def restoreOverrideCursor(self) -> None:
        qt.QApplication.restoreOverrideCursor()

    def pauseRender(self) -> None:
        pass

    def resumeRender(self) -> None:
        pass

    def topLevelWidgets(self) -> list:
        return qt.QApplication.topLevelWidgets()

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class ExtensionsManager(qt.QObject):
    """`installable` are the names that an installation would find; nothing reaches a network."""

    extensionInstalled = qt.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.installed: set[str] = set()
        self.installable: set[str] = set()
        self.interactive = True

    def isExtensionInstalled(self, name: str) -> bool:
        return name in self.installed

    def updateExtensionsMetadataFromServer(self, force: bool = False, wait: bool = True) -> bool:
        return bool(self.installable)

    def installExtensionFromServer(self, name: str, restart: bool = True, update: bool = False, /) -> bool:
        """As in Slicer: nobody is asked before the restart where the manager is not interactive."""
        if name in self.installed:
            return True
        if name not in self.installable:
            return False
        self.installed.add(name)
        self.extensionInstalled.emit(name)
        if restart and not self.interactive and not slicer.app.testingEnabled():
            slicer.app.restart()
        return True

    def clear(self) -> None:
        self.installed.clear()
        self.installable.clear()
        self.interactive = True


def _python_slicer(folder: Path) -> None:
    """Put an executable `PythonSlicer` on the PATH, as Slicer has: the interpreter that runs the host."""
    folder.mkdir()
    if os.name == "nt":
        (folder / "PythonSlicer.bat").write_text(f'@"{sys.executable}" %*\n')
    else:
        script = folder / "PythonSlicer"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        script.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
