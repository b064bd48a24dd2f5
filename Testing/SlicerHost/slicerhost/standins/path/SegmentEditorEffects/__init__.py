"""The base class of scripted Segment Editor effects."""

import qt
import slicer

__all__ = ["AbstractScriptedSegmentEditorEffect"]


class AbstractScriptedSegmentEditorEffect:
    def __init__(self, scriptedEffect: object) -> None:
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def icon(self) -> qt.QIcon:
        return qt.QIcon()

    def helpText(self) -> str:
        return ""

    def setupOptionsFrame(self) -> None:
        pass

    def activate(self) -> None:
        pass

    def deactivate(self) -> None:
        pass

    def setMRMLDefaults(self) -> None:
        pass

    def updateGUIFromMRML(self) -> None:
        pass

    def updateMRMLFromGUI(self) -> None:
        pass

    def cleanup(self) -> None:
        pass
