"""The host: boots everything once a process, and gives tests the few things that Slicer gives to users."""

import atexit
import ctypes
import gc
import importlib
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

SLICER_PYTHON = "SYNTHFOUNDATION_SLICER_PYTHON"
STAND_INS = Path(__file__).parent / "standins"
_host = None


def boot() -> "Host":
    """The one host of this process.

    The variable SYNTHFOUNDATION_SLICER_PYTHON may name the folder `Base/Python` of a checkout of Slicer: its
    ScriptedLoadableModule, parameterNodeWrapper, i18n and packaging are used instead of the stand-ins, and
    its module SampleData where the checkout has `Modules`.
    """
    global _host
    if _host is None:
        _host = Host(os.environ.get(SLICER_PYTHON))
        atexit.register(_host.close)
    return _host


class Host:
    def __init__(self, slicer_python: str | None = None) -> None:
        _no_window_system()
        _keep_constants()
        import slicer

        from slicerhost import pythonqt, uiloader

        qt = pythonqt.build_qt()
        qt.QUiLoader = uiloader.make_loader(qt)
        qt.QApplication.setOrganizationName("NA-MIC")
        qt.QApplication.setApplicationName("Slicer")
        self._folder = tempfile.TemporaryDirectory(prefix="slicerhost-settings-", ignore_cleanup_errors=True)
        qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
        qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, self._folder.name)
        importlib.import_module("slicerhost.ctkwidgets").build_ctk()

        self.uses_slicers_files = bool(slicer_python)
        slicer.__path__.append(str(Path(slicer_python or STAND_INS, "slicer")))
        if slicer_python:
            sys.path.append(str(Path(slicer_python).parents[1] / "Modules" / "Scripted" / "SampleData"))
        sys.path.append(str(STAND_INS / "path"))
        from slicerhost import application, modules, qmrml, scene

        qmrml.publish()
        qmrml.effects.publish_effect_modules()
        slicer.qSlicerScriptedLoadableModule = modules.qSlicerScriptedLoadableModule
        slicer.qSlicerScriptedLoadableModuleWidget = modules.qSlicerScriptedLoadableModuleWidget
        self.scene = scene.Scene()
        slicer.app = self.application = application.Application(self.scene)
        self.main_window = None
        self.errors: list[str] = []
        sys.excepthook = self._note_error

    def _note_error(self, kind: type, error: BaseException, trace: object) -> None:
        """Qt and VTK only print what slots and observers raise; `errors` keeps it for the test to fail."""
        self.errors.append("".join(traceback.format_exception(kind, error, trace)))
        sys.__excepthook__(kind, error, trace)

    # what a user does

    def load(self, path: str | Path) -> object:
        """Load a scripted module from its file."""
        return self.application.moduleManager().load(path)

    def finish_startup(self) -> None:
        """Tell the modules that the application has started."""
        self.application.startupCompleted.emit()
        self.application.processEvents()

    def open(self, name: str) -> object:
        """Open a module's panel and return its widget class' instance."""
        representation = self.application.moduleManager().module(name).widgetRepresentation()
        if self.main_window is not None:
            self.main_window.moduleSelector().selectModule(name)
        else:
            representation.enter()
        return representation.self()

    def show_main_window(self) -> object:
        """From now on there is a main window and there are slice views."""
        from slicerhost.mainwindow import MainWindow

        if self.main_window is None:
            self.main_window = MainWindow()
        self.show_views()
        return self.main_window

    def show_views(self, size: tuple[int, int] = (320, 320)) -> object:
        """Make slice views; without them `slicer.app.layoutManager()` is None, as with --no-main-window."""
        from slicerhost.views import LayoutManager

        if self.application.layoutManager() is None:
            self.application.setLayoutManager(LayoutManager(self.scene.logic, size))
        return self.application.layoutManager()

    def wait(
        self, condition: Callable[[], object], seconds: float = 30.0, what: str = "the condition"
    ) -> None:
        """Let the event loop run until `condition()` holds; `TimeoutError` when it does not in time."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come true in {seconds:g} s")
            self.application.processEvents()
            time.sleep(0.02)  # an event loop that looked all the time would take a core from the worker

    def screenshot(self, widget: object, path: str | Path, width: int = 420) -> None:
        """The picture of a widget as a PNG file, as high as it wants to be."""
        widget.show()
        for _ in range(3):  # layouts settle in rounds
            widget.resize(width, widget.sizeHint.height())
            self.application.processEvents()
        widget.grab().save(str(path))

    # between tests

    def reset(self) -> None:
        """As after a fresh start: no modules, no window, no views, an empty scene, no settings."""
        import qt

        self.application.moduleManager().close()
        self.application.processEvents()
        if self.application.layoutManager() is not None:
            self.application.layoutManager().close()
            self.application.setLayoutManager(None)
        if self.main_window is not None:
            self.main_window.close()
            self.main_window.deleteLater()
            self.main_window = None
        self.scene.logic.GetSliceLogics().RemoveAllItems()
        self.scene.empty()
        self.application.disconnect("startupCompleted()")
        self.application.testing, self.application.restarts = True, 0
        self.application.extensionsManagerModel().clear()
        qt.QSettings().clear()
        qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete.value)
        self.application.processEvents()

    def close(self) -> None:
        """Take everything down in order, so that the interpreter can end."""
        global _host
        _host = None
        self.reset()
        gc.collect()
        self.scene.close()
        self.application.close()
        self._folder.cleanup()


def _no_window_system() -> None:
    """Draw with EGL instead of looking for an X server for seconds."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def _keep_constants() -> None:
    """Before Python 3.12 None, True and False are counted, and PySide6 gives back some that it never took."""
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40
