"""Scripted modules, loaded from their files, and `slicer.modules`."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import qt
import slicer

from slicerhost.qmrml.base import qMRMLWidget


class CoreModule:
    """A module that is only a logic here, such as Segmentations."""

    def __init__(self, name: str, logic: object) -> None:
        self.name, self._logic = name, logic

    def logic(self) -> object:
        return self._logic


class qSlicerScriptedLoadableModule:
    """What the module class gets as its `parent`. Attributes that Slicer lacks are refused, as in Slicer."""

    __slots__ = (
        "_logic",
        "_module",
        "_widget",
        "acknowledgementText",
        "associatedNodeTypes",
        "categories",
        "contributors",
        "dependencies",
        "extensions",
        "helpText",
        "hidden",
        "icon",
        "index",
        "name",
        "path",
        "title",
        "widgetRepresentationCreationEnabled",
    )

    def __init__(self, path: str | Path) -> None:
        self.path, self.name = str(path).replace(os.sep, "/"), Path(path).stem
        self.title = self.helpText = self.acknowledgementText = ""
        self.categories, self.contributors, self.dependencies, self.associatedNodeTypes = [], [], [], []
        self.extensions, self.icon, self.hidden, self.index = {}, qt.QIcon(), False, -1
        self.widgetRepresentationCreationEnabled = True
        self._logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._widget = None
        self._module = _import_file(self.name, Path(path))
        instance = getattr(self._module, self.name)(self)
        setattr(slicer.modules, f"{self.name}Instance", instance)
        setattr(slicer.modules, self.name.lower(), self)
        if hasattr(instance, "setup"):
            instance.setup()

    @property
    def defaultDocumentationLink(self) -> str:
        return f'<p><a href="{slicer.app.moduleDocumentationUrl(self.name)}">Documentation</a></p>'

    def logic(self) -> object:
        """A VTK object, not the Python logic: what the C++ module has for every scripted module."""
        return self._logic

    def widgetRepresentation(self) -> "qSlicerScriptedLoadableModuleWidget":
        if self._widget is None and hasattr(self._module, f"{self.name}Widget"):
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    def createNewWidgetRepresentation(self) -> "qSlicerScriptedLoadableModuleWidget":
        return qSlicerScriptedLoadableModuleWidget(self)

    def close(self) -> None:
        """Unload: the widget cleans up, and everything that `slicer.modules` has of the module goes."""
        slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(self.name)
        if self._widget is not None:
            self._widget.close()
            self._widget.deleteLater()
            self._widget = None
        self._logic.SetMRMLScene(None)
        for name in (self.name.lower(), f"{self.name}Instance", f"{self.name}Widget"):
            vars(slicer.modules).pop(name, None)
        slicer.selfTests.pop(self.name, None)
        sys.modules.pop(self.name, None)


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The panel; it holds the widget that the module's widget class fills."""

    def __init__(self, module: qSlicerScriptedLoadableModule) -> None:
        super().__init__()
        self._module, self._entered = module, False
        self.setObjectName(f"{module.name}ModuleWidget")
        qt.QVBoxLayout(self)
        self.setMRMLScene(slicer.mrmlScene)
        self.reload()

    def reload(self) -> None:
        widget_class = getattr(sys.modules[self._module.name], f"{self._module.name}Widget")
        self._script = widget_class(self)
        setattr(slicer.modules, f"{self._module.name}Widget", self._script)
        self._script.setup()

    def self(self) -> object:
        return self._script

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._script, "enter"):
            self._script.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._script, "exit"):
            self._script.exit()

    isEntered = qt.Property(bool, lambda self: self._entered)


class ModuleManager(qt.QObject):
    """`slicer.app.moduleManager()`."""

    moduleLoaded = qt.Signal(str)
    moduleAboutToBeUnloaded = qt.Signal(str)

    def __init__(self, logics: dict) -> None:
        super().__init__()
        self._loaded: dict[str, qSlicerScriptedLoadableModule] = {}
        slicer.modules = SimpleNamespace(**{n.lower(): CoreModule(n, logic) for n, logic in logics.items()})
        slicer.moduleNames = SimpleNamespace(**{n: n for n in logics})
        slicer.selfTests = {}

    def load(self, path: str | Path) -> qSlicerScriptedLoadableModule:
        """Load a module file; a module of that name that was loaded before is unloaded."""
        name = Path(path).stem
        self.unload(name)
        self._loaded[name] = module = qSlicerScriptedLoadableModule(path)
        self.moduleLoaded.emit(name)
        return module

    def unload(self, name: str) -> None:
        if name in self._loaded:
            self._loaded.pop(name).close()

    def module(self, name: str) -> object | None:
        return self._loaded.get(name) or getattr(slicer.modules, name.lower(), None)

    def modulesNames(self) -> list[str]:
        return sorted(self._loaded)

    def factoryManager(self) -> "ModuleManager":
        return self

    def isLoaded(self, name: str) -> bool:
        return name in self._loaded

    def close(self) -> None:
        for name in list(self._loaded):
            self.unload(name)


def _import_file(name: str, path: Path) -> ModuleType:
    """Import as Slicer does: the file's folder comes first on the path, the name is the bare one."""
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
