"""A small module for the tests of the host: smooths nothing, but is built like any scripted module."""

import os
from enum import Enum
from typing import Annotated

import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper, parameterPack
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Quality(Enum):
    FAST = "Fast"
    GOOD = "Good"


@parameterPack
class Numbers:
    level: Annotated[float, WithinRange(0, 100)] = 30.0
    rounds: int = 2


@parameterNodeWrapper
class HostExampleParameterNode:
    volume: vtkMRMLScalarVolumeNode
    quality: Quality
    method: Annotated[str, Choice(["linear", "cubic"])] = "cubic"
    active: bool = True
    names: list[str]
    numbers: Numbers


class HostExample(ScriptedLoadableModule):
    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Host example")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Examples")]
        slicer.app.connect("startupCompleted()", self.started)
        self.starts = 0

    def started(self) -> None:
        self.starts += 1


class HostExampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent: object = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.cleaned = False

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath(os.path.join("UI", "HostExample.ui")))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = HostExampleLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.disconnect)
        self.parameters, self.tag = None, None

    def enter(self) -> None:
        self.parameters = self.logic.getParameterNode()
        self.tag = self.parameters.connectGui(self.ui)

    def disconnect(self, *_: object) -> None:
        if self.parameters is not None:
            self.parameters.disconnectGui(self.tag)
            self.parameters = None

    def cleanup(self) -> None:
        self.removeObservers()
        self.disconnect()
        self.cleaned = True


class HostExampleLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self) -> HostExampleParameterNode:
        return HostExampleParameterNode(super().getParameterNode())


class HostExampleTest(ScriptedLoadableModuleTest):
    ran = 0

    def runTest(self) -> None:
        self.setUp()
        type(self).ran += 1
