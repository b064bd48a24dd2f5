"""The Segment Editor effect *Few-shot*: the buttons of the panel *Segment* for the current segmentation."""

from __future__ import annotations

import os
from typing import Any

import qt
import slicer
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """Completes segments from the slices painted with other effects; all work is done by SynthFoundation."""

    def __init__(self, scriptedEffect: Any) -> None:
        scriptedEffect.name = "Few-shot"
        scriptedEffect.title = _("Few-shot")
        scriptedEffect.perSegment = False
        scriptedEffect.requireSegments = True
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.controls: Any = None

    def clone(self) -> Any:
        """A copy for another Segment Editor widget."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        copy = effects.qSlicerSegmentEditorScriptedEffect(None)
        copy.setPythonSource(__file__.replace("\\", "/"))
        return copy

    def icon(self) -> Any:
        """The picture on the button."""
        return qt.QIcon(os.path.join(os.path.dirname(__file__), "SegmentEditorEffect.png"))

    def helpText(self) -> str:
        """What the effect does, for the user."""
        return _(
            "Completes segments from a few painted slices.<p>Paint each structure completely on two or "
            "three slices with other effects, then press <b>Update</b>. Correct where it is wrong, update "
            "again, and <b>Accept</b>."
        )

    def setupOptionsFrame(self) -> None:
        """Put the buttons into the options of the effect."""
        from SynthFoundationModuleLib.few_shot_controls import FewShotControls
        from SynthFoundationModuleLib.process import shared_worker

        frame = qt.QWidget()
        layout = qt.QVBoxLayout(frame)
        layout.setContentsMargins(0, 0, 0, 0)
        self.controls = FewShotControls(layout, shared_worker(), self.scriptedEffect.saveStateForUndo)
        self.scriptedEffect.addOptionsWidget(frame)

    def activate(self) -> None:
        """The effect was chosen."""
        from SynthFoundation import SynthFoundationLogic

        self.controls.connect(SynthFoundationLogic().getParameterNode())
        self._choose()

    def deactivate(self) -> None:
        """Another effect was chosen; a live update goes on while painting."""
        self.controls.disconnect()

    def cleanup(self) -> None:
        """The widget is about to be destroyed."""
        if self.controls is not None:
            self.controls.release()

    def sourceVolumeNodeChanged(self) -> None:
        """Another volume was chosen in the editor."""
        self._choose()

    def updateGUIFromMRML(self) -> None:
        """Another segmentation may have been chosen in the editor."""
        self._choose()

    def createCursor(self, widget: Any) -> Any:
        """Nothing is done in the views, so the cursor stays as it is."""
        window = slicer.util.mainWindow()
        return window.cursor if window is not None else qt.QCursor()

    def _choose(self) -> None:
        """Work on what the editor has; Slicer tells also effects that are not used of every choice."""
        if self.controls is None:
            return
        node = self.scriptedEffect.parameterSetNode()
        if node is not None and self.scriptedEffect.active():
            self.controls.choose(node.GetSegmentationNode(), node.GetSourceVolumeNode())
        else:
            self.controls.refresh()
