import numpy as np
import pytest
import slicer


@pytest.fixture
def editor(host):
    volume = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6)), name="scan")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in ("one", "two"):
        segmentation.GetSegmentation().AddEmptySegment(name, name)
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setSegmentationNode(segmentation)
    yield editor
    editor.setMRMLSegmentEditorNode(None)


def _paint(editor, value):
    labels = np.full((4, 5, 6), value, np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        labels, editor.segmentationNode(), editor.currentSegmentID(), editor.sourceVolumeNode()
    )


def _painted(editor):
    arguments = (editor.segmentationNode(), editor.currentSegmentID(), editor.sourceVolumeNode())
    return int(slicer.util.arrayFromSegmentBinaryLabelmap(*arguments).sum())


def test_nodes_and_segment_are_those_of_the_parameter_node(editor):
    assert editor.sourceVolumeNode().GetName() == "scan"
    assert editor.currentSegmentID() == "one"
    seen = []
    editor.connect("currentSegmentIDChanged(QString)", seen.append)
    editor.mrmlSegmentEditorNode().SetSelectedSegmentID("two")
    assert seen == ["two"]


def test_the_table_shows_the_segments_whoever_changes_them(editor):
    content = editor.segmentationNode().GetSegmentation()
    content.AddEmptySegment("three", "three")
    content.GetSegment("one").SetName("liver")
    content.RemoveSegment("two")
    assert [editor._table.item(n).text() for n in range(editor._table.count)] == ["liver", "three"]


def test_undo_and_redo_bring_labels_back(editor):
    _paint(editor, 0)
    editor.saveStateForUndo()
    _paint(editor, 1)
    assert _painted(editor) == 120
    editor.undo()
    assert _painted(editor) == 0
    editor.redo()
    assert _painted(editor) == 120


def test_one_effect_is_active_by_name(editor):
    editor.setActiveEffectByName("Paint")
    paint = editor.activeEffect()
    assert paint.active()
    editor.setActiveEffectByName("Erase")
    assert not paint.active()
    editor.setActiveEffect(None)
    assert editor.activeEffect() is None


def test_a_scripted_effect_registers_itself(editor, tmp_path):
    folder = tmp_path / "SegmentEditorDummyLib"
    folder.mkdir()
    (folder / "SegmentEditorEffect.py").write_text(
        "from SegmentEditorEffects import *\n"
        "class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):\n"
        "    def __init__(self, effect):\n"
        "        effect.name = effect.title = 'Dummy'\n"
        "        AbstractScriptedSegmentEditorEffect.__init__(self, effect)\n"
        "    def setMRMLDefaults(self):\n"
        "        self.scriptedEffect.setParameterDefault('rounds', 3)\n"
    )
    import qSlicerSegmentationsEditorEffectsPythonQt as effects

    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource(str(folder / "SegmentEditorEffect.py"))
    effect.self().register()
    editor.updateWidgetFromMRML()
    assert "Dummy" in editor.availableEffectNames()
    assert editor.effectByName("Dummy").integerParameter("rounds") == 3
