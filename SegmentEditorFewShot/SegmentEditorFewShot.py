"""3D Slicer module without a panel: adds the effect *Few-shot* to the Segment Editor."""

from __future__ import annotations

import os
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest


class SegmentEditorFewShot(ScriptedLoadableModule):
    """What Slicer knows of the module."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Few-shot segmentation effect")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SegmentEditor", "SynthFoundation"]
        parent.contributors = ["SynthFoundation contributors"]
        parent.hidden = True
        parent.helpText = _(
            "Adds the effect Few-shot to the Segment Editor: it completes segments that are painted on a few "
            "slices. Part of SynthFoundation."
        )
        parent.acknowledgementText = _("Licence: Apache-2.0.")
        slicer.app.connect("startupCompleted()", self.register_effect)

    def register_effect(self) -> None:
        """Make the effect known to the Segment Editor."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        effect = effects.qSlicerSegmentEditorScriptedEffect(None)
        folder = os.path.join(os.path.dirname(__file__), "SegmentEditorFewShotLib")
        effect.setPythonSource(os.path.join(folder, "SegmentEditorEffect.py").replace("\\", "/"))
        effect.self().register()


class SegmentEditorFewShotTest(ScriptedLoadableModuleTest):
    """What Slicer's *Reload and Test* runs."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """The effect is there, and turning it on and off leaves the segments alone."""
        self.setUp()
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLScene(slicer.mrmlScene)
        editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        segmentation.GetSegmentation().AddEmptySegment("ball", "Ball")
        editor.setSegmentationNode(segmentation)
        editor.setActiveEffectByName("Few-shot")
        self.assertIsNotNone(editor.activeEffect())  # noqa: PT009
        editor.setActiveEffect(None)
        self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), 1)  # noqa: PT009
        editor.setMRMLScene(None)
        self.setUp()
