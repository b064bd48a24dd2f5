"""Segment Editor effects: their factory, scripted ones as Slicer wraps them, names of the built-in ones."""

import importlib.util
import os
import sys
import types
from pathlib import Path

import qt
import slicer

BUILT_IN = ("Paint", "Draw", "Erase", "Threshold", "Scissors", "Islands", "Smoothing", "Grow from seeds")


class qSlicerSegmentEditorAbstractEffect(qt.QObject):
    """Parameters, options and labelmaps of an effect. The Segment Editor's widget attaches itself to it."""

    def __init__(self, parent: object = None) -> None:
        super().__init__()
        self.name, self.title = "", ""
        self.perSegment, self.requireSegments = True, True
        self.showEffectCursorInSliceView, self.showEffectCursorInThreeDView = True, False
        self._frame, self._active, self._editor = qt.QFrame(), False, None
        self._layout = qt.QFormLayout(self._frame)

    def attach(self, editor: object) -> None:
        first = self._editor is None
        self._editor = editor
        if first:
            self.setupOptionsFrame()
            self.setMRMLDefaults()

    # options

    def optionsFrame(self) -> qt.QFrame:
        return self._frame

    def optionsLayout(self) -> qt.QFormLayout:
        return self._layout

    def addOptionsWidget(self, widget: object) -> None:
        self._layout.addRow(widget)

    def addLabeledOptionsWidget(self, label: str, widget: object) -> qt.QLabel:
        text = qt.QLabel(label)
        self._layout.addRow(text, widget)
        return text

    # parameters

    def scene(self) -> object:
        return slicer.mrmlScene

    def parameterSetNode(self) -> object | None:
        return self._editor.mrmlSegmentEditorNode() if self._editor else None

    def _key(self, name: str) -> str:
        return f"{self.name}.{name}"

    def parameterDefined(self, name: str) -> bool:
        return (
            bool(self.parameterSetNode())
            and self.parameterSetNode().GetAttribute(self._key(name)) is not None
        )

    def parameter(self, name: str) -> str:
        return self.parameterSetNode().GetAttribute(self._key(name)) or ""

    def integerParameter(self, name: str) -> int:
        return int(self.parameter(name) or 0)

    def doubleParameter(self, name: str) -> float:
        return float(self.parameter(name) or 0)

    def setParameter(self, name: str, value: object) -> None:
        if self.parameterSetNode():
            self.parameterSetNode().SetAttribute(self._key(name), str(value))

    def setParameterDefault(self, name: str, value: object) -> None:
        if self.parameterSetNode() and not self.parameterDefined(name):
            self.setParameter(name, value)

    # labelmaps

    def selectedSegmentLabelmap(self) -> object:
        return self._editor.editorLogic.GetSelectedSegmentLabelmap()

    def modifierLabelmap(self) -> object:
        return self._editor.editorLogic.GetModifierLabelmap()

    def defaultModifierLabelmap(self) -> object:
        self._editor.editorLogic.ResetModifierLabelmapToDefault()
        return self.modifierLabelmap()

    def sourceVolumeImageData(self) -> object:
        return self._editor.editorLogic.GetAlignedSourceVolume()

    def referenceGeometryImage(self) -> object:
        return self._editor.editorLogic.GetReferenceGeometryImage()

    def saveStateForUndo(self) -> None:
        self._editor.saveStateForUndo()

    def confirmCurrentSegmentVisible(self) -> int:
        return 1

    def selectEffect(self, name: str) -> None:
        self._editor.setActiveEffectByName(name)

    # called by the editor

    def active(self) -> bool:
        return self._active

    def activate(self) -> None:
        self._active = True

    def deactivate(self) -> None:
        self._active = False

    def setupOptionsFrame(self) -> None:
        pass

    def setMRMLDefaults(self) -> None:
        pass

    def updateGUIFromMRML(self) -> None:
        pass

    def updateMRMLFromGUI(self) -> None:
        pass


class qSlicerSegmentEditorScriptedEffect(qSlicerSegmentEditorAbstractEffect):
    """Runs the class `SegmentEditorEffect` of a Python file."""

    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self._script = None

    def setPythonSource(self, path: str) -> bool:
        name = f"{Path(path).parent.name}.{Path(path).stem}"
        folder = os.path.dirname(path)
        package = sys.modules.setdefault(Path(folder).name, types.ModuleType(Path(folder).name))
        package.__path__ = [folder]
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._script = module.SegmentEditorEffect(self)
        return True

    def self(self) -> object:
        return self._script

    def icon(self) -> object:
        return self._script.icon()

    def helpText(self) -> str:
        return self._script.helpText()

    def activate(self) -> None:
        super().activate()
        self._run("activate")

    def deactivate(self) -> None:
        self._run("deactivate")
        super().deactivate()

    def setupOptionsFrame(self) -> None:
        self._run("setupOptionsFrame")

    def setMRMLDefaults(self) -> None:
        if self.parameterSetNode():
            self._run("setMRMLDefaults")

    def updateGUIFromMRML(self) -> None:
        if self.parameterSetNode():
            self._run("updateGUIFromMRML")

    def updateMRMLFromGUI(self) -> None:
        self._run("updateMRMLFromGUI")

    def _run(self, method: str) -> None:
        if hasattr(self._script, method):
            getattr(self._script, method)()


class qSlicerSegmentEditorEffectFactory(qt.QObject):
    """All registered effects; Slicer has one factory."""

    effectRegistered = qt.Signal(str)
    _instance = None

    @classmethod
    def instance(cls) -> "qSlicerSegmentEditorEffectFactory":
        if cls._instance is None:
            cls._instance = cls()
            for name in BUILT_IN:
                effect = qSlicerSegmentEditorAbstractEffect()
                effect.name = effect.title = name
                cls._instance._effects.append(effect)
        return cls._instance

    def __init__(self) -> None:
        super().__init__()
        self._effects: list[qSlicerSegmentEditorAbstractEffect] = []

    def effects(self) -> list[qSlicerSegmentEditorAbstractEffect]:
        return list(self._effects)

    def registerEffect(self, effect: qSlicerSegmentEditorAbstractEffect) -> bool:
        self._effects = [known for known in self._effects if known.name != effect.name] + [effect]
        self.effectRegistered.emit(effect.name)
        return True


def publish_effect_modules() -> None:
    """The modules by which scripted effects and their modules reach these classes."""
    wrapped = types.ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    wrapped.qSlicerSegmentEditorScriptedEffect = qSlicerSegmentEditorScriptedEffect
    wrapped.qSlicerSegmentEditorAbstractEffect = qSlicerSegmentEditorAbstractEffect
    sys.modules[wrapped.__name__] = wrapped
    widgets = types.ModuleType("qSlicerSegmentationsModuleWidgetsPythonQt")
    widgets.qMRMLSegmentEditorWidget = slicer.qMRMLSegmentEditorWidget
    sys.modules[widgets.__name__] = widgets
