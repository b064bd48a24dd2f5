"""Base classes of scripted modules: as much as modules and `slicer.util` rely on."""

import sys
import unittest
from pathlib import Path

import qt
import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


class ScriptedLoadableModule:
    def __init__(self, parent: object) -> None:
        self.parent, self.moduleName = parent, type(self).__name__
        icons = (Path(self.resourcePath(f"Icons/{self.moduleName}{end}")) for end in (".svg", ".png"))
        icon = next((path for path in icons if path.is_file()), None)
        if icon is not None:
            parent.icon = qt.QIcon(str(icon))
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        page = slicer.app.moduleDocumentationUrl(self.moduleName) if docPage is None else docPage
        return f'<p><a href="{page}">Documentation</a></p>'

    def runTest(self, msec: int = 100, **options: object) -> None:
        test = getattr(sys.modules[self.__module__], f"{self.moduleName}Test")()
        test.messageDelay = msec
        test.runTest(**options)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: object = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, slicer.util.toBool)
        self.parent = parent or _panel()
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
        slicer.app.moduleManager().connect(
            "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
        )

    def resourcePath(self, filename: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        if self.developerMode:
            self.reloadButton = qt.QPushButton("Reload")
            self.reloadButton.connect("clicked()", self.onReload)
            self.layout.addWidget(self.reloadButton)

    def cleanup(self) -> None:
        pass

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def onReloadAndTest(self, **options: object) -> None:
        self.onReload()
        slicer.selfTests[self.moduleName](**options)

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect(
                "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
            )


def _panel() -> object:
    panel = slicer.qMRMLWidget()
    qt.QVBoxLayout(panel)
    panel.setMRMLScene(slicer.mrmlScene)
    return panel


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: object = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> object:
        """The module's node in the scene; a new one when there is none."""
        nodes = self.getAllParameterNodes()
        return nodes[0] if nodes else slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        mine = [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]
        return mine or [node for node in nodes if node.GetSingletonTag() == self.moduleName]

    def createParameterNode(self) -> object:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    messageDelay = 0

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        slicer.app.processEvents()

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Every method whose name starts with `test`, each on a fresh set-up."""
        for name in sorted(name for name in dir(self) if name.startswith("test")):
            self.setUp()
            getattr(self, name)()
