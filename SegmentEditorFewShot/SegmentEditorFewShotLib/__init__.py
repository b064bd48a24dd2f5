"""The effect; Slicer finds its base classes in this package."""

from SegmentEditorEffects.AbstractScriptedSegmentEditorEffect import (
    AbstractScriptedSegmentEditorEffect as AbstractScriptedSegmentEditorEffect,
)
