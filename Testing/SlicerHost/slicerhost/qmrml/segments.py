"""The Segment Editor's widget: segmentation, source volume, segment and effect of a parameter node."""

import qt
import slicer
import vtk

from slicerhost.ctkwidgets import stored, with_setters
from slicerhost.qmrml.base import Observations, qMRMLWidget
from slicerhost.qmrml.effects import qSlicerSegmentEditorEffectFactory
from slicerhost.qmrml.nodes import qMRMLNodeComboBox

TABLE_HEIGHT, COLUMNS = 90, 4


@with_setters
class qMRMLSegmentEditorWidget(qMRMLWidget):
    currentSegmentIDChanged = qt.Signal(str)
    sourceVolumeNodeChanged = qt.Signal(object)
    segmentationNodeChanged = qt.Signal(object)
    segmentationNodeSelectorVisible = stored(bool, True)
    sourceVolumeNodeSelectorVisible = stored(bool, True)
    switchToSegmentationsButtonVisible = stored(bool, True)
    autoShowSourceVolumeNode = stored(bool, True)
    maskingSectionVisible = stored(bool, True)
    specifyGeometryButtonVisible = stored(bool, True)
    show3DButtonVisible = stored(bool, True)
    addRemoveSegmentButtonsVisible = stored(bool, True)
    unorderedEffectsVisible = stored(bool, True)
    undoEnabled = stored(bool, True)
    readOnly = stored(bool, False)
    effectColumnCount = stored(int, 4)
    effectButtonStyle = stored(int, 0)
    defaultTerminologyEntry = stored(str, "")
    defaultTerminologyEntrySettingsKey = stored(str, "")
    jumpToSelectedSegmentEnabled = stored(bool, False)
    maximumNumberOfUndoStates = stored(int, 0)

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node, self._shown = None, None
        self._listed = Observations(self)  # of the segments in the table
        self.editorLogic = slicer.vtkSlicerSegmentEditorLogic()
        self.editorLogic.SetMRMLScene(slicer.mrmlScene)
        self._order: list[str] = []
        self._effects = qt.QWidget()
        self._grid = qt.QGridLayout(self._effects)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._effects.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Maximum)
        self._buttons: dict[str, qt.QToolButton] = {}
        self._table = qt.QListWidget()
        self._table.setFixedHeight(TABLE_HEIGHT)
        self.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Maximum)
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = qt.QHBoxLayout()
        for text, react in (("+ Add", self._add_segment), ("− Remove", self._remove_segment)):
            button = qt.QPushButton(text)
            button.clicked.connect(react)
            row.addWidget(button)
        layout.addLayout(row)
        layout.addWidget(self._table)
        layout.addWidget(self._effects)
        self._table.currentRowChanged.connect(self._row_changed)
        qSlicerSegmentEditorEffectFactory.instance().effectRegistered.connect(self.updateEffectList)

    # the parameter node

    def mrmlSegmentEditorNode(self) -> object | None:
        return self._node

    def setMRMLSegmentEditorNode(self, node: object | None) -> None:
        if node is self._node:
            return
        self.observations.clear()
        self._node = node
        self.editorLogic.SetSegmentEditorNode(node)
        if node:
            self.observations.add(node, vtk.vtkCommand.ModifiedEvent, self._node_modified)
        self.updateWidgetFromMRML()

    def _node_modified(self, node: object, event: str) -> None:
        self.updateWidgetFromMRML()

    def updateWidgetFromMRML(self) -> None:
        """Tell what changed since the last time, and show the segments."""
        segmentation, volume = self.segmentationNode(), self.sourceVolumeNode()
        if (
            segmentation
            and not self.currentSegmentID()
            and segmentation.GetSegmentation().GetNumberOfSegments()
        ):
            self.setCurrentSegmentID(segmentation.GetSegmentation().GetNthSegmentID(0))
        before, now = self._shown, (segmentation, volume, self.currentSegmentID())
        self._shown = now
        if before is None or before[0] is not now[0]:
            self._follow_segments()
        self._list_segments()
        if before is None or before[0] is not now[0]:
            self.segmentationNodeChanged.emit(segmentation)
        if before is None or before[1] is not now[1]:
            self.sourceVolumeNodeChanged.emit(volume)
        if before is None or before[2] != now[2]:
            self.currentSegmentIDChanged.emit(now[2])
        for effect in self._all_effects():
            effect.attach(self)
            effect.updateGUIFromMRML()
        self.updateEffectList()

    def _follow_segments(self) -> None:
        """Keep the table as the segments are, whoever adds, removes and renames them."""
        self._listed.clear()
        if self.segmentationNode():
            content = self.segmentationNode().GetSegmentation()
            for event in (content.SegmentAdded, content.SegmentRemoved, content.SegmentModified):
                self._listed.add(content, event, lambda *_: self._list_segments())

    def _list_segments(self) -> None:
        blocked = self._table.blockSignals(True)
        self._table.clear()
        for name in self._segment_ids():
            segment = self.segmentationNode().GetSegmentation().GetSegment(name)
            swatch = qt.QPixmap(14, 14)
            swatch.fill(qt.QColor.fromRgbF(*segment.GetColor()))
            self._table.addItem(qt.QListWidgetItem(qt.QIcon(swatch), segment.GetName()))
        if self.currentSegmentID() in self._segment_ids():
            self._table.setCurrentRow(self._segment_ids().index(self.currentSegmentID()))
        self._table.blockSignals(blocked)

    def _segment_ids(self) -> list[str]:
        return (
            list(self.segmentationNode().GetSegmentation().GetSegmentIDs()) if self.segmentationNode() else []
        )

    def _row_changed(self, row: int) -> None:
        if row >= 0:
            self.setCurrentSegmentID(self._segment_ids()[row])

    def _add_segment(self) -> None:
        if self.segmentationNode():
            self.setCurrentSegmentID(self.segmentationNode().GetSegmentation().AddEmptySegment())
            self.updateWidgetFromMRML()

    def _remove_segment(self) -> None:
        if self.segmentationNode() and self.currentSegmentID():
            self.segmentationNode().GetSegmentation().RemoveSegment(self.currentSegmentID())
            self.updateWidgetFromMRML()

    # nodes and segment

    def segmentationNode(self) -> object | None:
        return self._node.GetSegmentationNode() if self._node else None

    def segmentationNodeID(self) -> str:
        return self.segmentationNode().GetID() if self.segmentationNode() else ""

    def setSegmentationNode(self, node: object | None) -> None:
        if not self._node:
            raise RuntimeError(
                "set the segment editor node first: Slicer logs an error and ignores the segmentation"
            )
        self._node.SetAndObserveSegmentationNode(node)
        if node and node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()):
            self._node.SetAndObserveSourceVolumeNode(
                node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
            )
        self.updateWidgetFromMRML()

    def setSegmentationNodeID(self, node_id: str) -> None:
        self.setSegmentationNode(slicer.mrmlScene.GetNodeByID(node_id))

    def sourceVolumeNode(self) -> object | None:
        return self._node.GetSourceVolumeNode() if self._node else None

    def sourceVolumeNodeID(self) -> str:
        return self.sourceVolumeNode().GetID() if self.sourceVolumeNode() else ""

    def setSourceVolumeNode(self, node: object | None) -> None:
        if not self._node:
            raise RuntimeError(
                "set the segment editor node first: Slicer logs an error and ignores the volume"
            )
        self._node.SetAndObserveSourceVolumeNode(node)
        segmentation = self.segmentationNode()
        if segmentation and node:
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)
        self.updateWidgetFromMRML()

    def setSourceVolumeNodeID(self, node_id: str) -> None:
        self.setSourceVolumeNode(slicer.mrmlScene.GetNodeByID(node_id))

    def currentSegmentID(self) -> str:
        return (self._node.GetSelectedSegmentID() or "") if self._node else ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if self._node and segment_id != self.currentSegmentID():
            self._node.SetSelectedSegmentID(segment_id)

    # effects

    def _all_effects(self) -> list:
        return qSlicerSegmentEditorEffectFactory.instance().effects()

    def availableEffectNames(self) -> list[str]:
        return [effect.name for effect in self._all_effects()]

    def effectNameOrder(self) -> list[str]:
        return self._order

    def setEffectNameOrder(self, names: list[str]) -> None:
        self._order = list(names)
        self.updateEffectList()

    def updateEffectList(self, *_: object) -> None:
        shown = [name for name in self._order if name in self.availableEffectNames()]
        if self.unorderedEffectsVisible:
            shown += [name for name in self.availableEffectNames() if name not in shown]
        if list(self._buttons) != shown:
            self._make_buttons(shown)
        for name, button in self._buttons.items():
            button.setChecked(name == self._active_name())

    def _make_buttons(self, names: list[str]) -> None:
        for button in self._buttons.values():
            button.hide()
            button.deleteLater()
        self._buttons = {}
        for n, name in enumerate(names):
            self._buttons[name] = button = qt.QToolButton()
            button.setText(self.effectByName(name).title)
            button.setCheckable(True)
            button.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
            button.clicked.connect(
                lambda checked, name=name: self.setActiveEffectByName(name if checked else "")
            )
            self._grid.addWidget(button, n // COLUMNS, n % COLUMNS)

    def _active_name(self) -> str:
        return (self._node.GetActiveEffectName() or "") if self._node else ""

    def activeEffect(self) -> object | None:
        return self.effectByName(self._active_name())

    def effectByName(self, name: str) -> object | None:
        return next((effect for effect in self._all_effects() if effect.name == name), None)

    def setActiveEffect(self, effect: object | None) -> None:
        self.setActiveEffectByName(effect.name if effect else "")

    def setActiveEffectByName(self, name: str) -> None:
        if not self._node or name == self._active_name():
            return
        if self.activeEffect():
            self.activeEffect().deactivate()
        self._node.SetActiveEffectName(name)
        if self.activeEffect():
            self.activeEffect().activate()
        self.updateEffectList()

    # undo

    def saveStateForUndo(self) -> None:
        if self.undoEnabled and self.segmentationNode():
            self.editorLogic.SetMaximumNumberOfUndoStates(self.maximumNumberOfUndoStates or 10)
            self.editorLogic.SaveStateForUndo()

    def undo(self) -> None:
        self.editorLogic.Undo()

    def redo(self) -> None:
        self.editorLogic.Redo()

    # what needs a person at the views

    def setupViewObservations(self) -> None:
        pass

    def removeViewObservations(self) -> None:
        pass

    def installKeyboardShortcuts(self, parent: qt.QWidget | None = None) -> None:
        pass

    def uninstallKeyboardShortcuts(self) -> None:
        pass

    def rotateSliceViewsToSegmentation(self) -> None:
        pass

    def showSourceVolumeInSliceViewers(self, force: bool = False, fit: bool = False) -> None:
        slicer.util.setSliceViewerLayers(background=self.sourceVolumeNode(), fit=fit)


@with_setters
class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """A segmentation and one of its segments."""

    currentNodeChanged = qt.Signal(object)
    currentSegmentChanged = qt.Signal(str)
    segmentNodeSelectorVisible = stored(bool, True)

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._nodes, self._segments = qMRMLNodeComboBox(), qt.QComboBox()
        self._nodes.setNodeTypes(["vtkMRMLSegmentationNode"])
        self._nodes.noneEnabled, self._nodes.addEnabled = True, False
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._nodes)
        layout.addWidget(self._segments)
        self.mrmlSceneChanged.connect(self._nodes.setMRMLScene)
        self._nodes.currentNodeChanged.connect(self._list)
        self._segments.currentIndexChanged.connect(
            lambda _: self.currentSegmentChanged.emit(self.currentSegmentID())
        )

    def _list(self, node: object | None) -> None:
        self._segments.clear()
        for name in node.GetSegmentation().GetSegmentIDs() if node else ():
            self._segments.addItem(node.GetSegmentation().GetSegment(name).GetName(), name)
        self.currentNodeChanged.emit(node)

    def currentNode(self) -> object | None:
        return self._nodes.currentNode()

    def setCurrentNode(self, node: object | None) -> None:
        self._nodes.setCurrentNode(node)

    def currentSegmentID(self) -> str:
        return self._segments.currentData() or ""

    def setCurrentSegmentID(self, name: str) -> None:
        self._segments.setCurrentIndex(self._segments.findData(name))


@with_setters
class qMRMLSegmentsTableView(qMRMLWidget):
    """The segments of one segmentation, one selected."""

    selectionChanged = qt.Signal()
    segmentAboutToBeModified = qt.Signal(str)
    NoneSelection, SingleSelection, MultiSelection = 0, 1, 2
    selectionMode = stored(int, 1)
    headerVisible = stored(bool, True)
    visibilityColumnVisible = stored(bool, True)
    colorColumnVisible = stored(bool, True)
    opacityColumnVisible = stored(bool, True)
    statusColumnVisible = stored(bool, True)
    filterBarVisible = stored(bool, False)
    readOnly = stored(bool, False)

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node, self._selected, self._list = None, [], qt.QListWidget()
        qt.QVBoxLayout(self).addWidget(self._list)

    def segmentationNode(self) -> object | None:
        return self._node

    def setSegmentationNode(self, node: object | None) -> None:
        self._node, self._selected = node, []
        self._list.clear()
        for name in node.GetSegmentation().GetSegmentIDs() if node else ():
            self._list.addItem(node.GetSegmentation().GetSegment(name).GetName())

    def selectedSegmentIDs(self) -> list[str]:
        return self._selected

    def setSelectedSegmentIDs(self, names: list[str]) -> None:
        if list(names) != self._selected:
            self._selected = list(names)
            self.selectionChanged.emit()
