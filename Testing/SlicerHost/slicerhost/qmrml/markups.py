"""Widgets that place and list markups."""

import qt
import slicer

from slicerhost.ctkwidgets import stored, with_setters
from slicerhost.qmrml.base import qMRMLWidget


@with_setters
class qSlicerMarkupsPlaceWidget(qMRMLWidget):
    """The place button. A click in a view is `AddControlPoint` on the node in a test."""

    activeMarkupsFiducialPlaceModeChanged = qt.Signal(bool)
    activeMarkupsPlaceModeChanged = qt.Signal(bool)
    (
        PlaceMultipleMarkups,
        ForcePlaceSingleMarkup,
        ForcePlaceMultipleMarkups,
        HidePlaceMultipleMarkupsOption,
    ) = range(4)
    buttonsVisible = stored(bool, True)
    placeMultipleMarkups = stored(int, 0)
    deleteAllControlPointsOptionVisible = stored(bool, True)
    deleteAllMarkupsOptionVisible = stored(bool, True)

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node, self._button = None, qt.QToolButton()
        self._button.setCheckable(True)
        self._button.setText("+")
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.toggled.connect(self.setPlaceModeEnabled)

    def placeButton(self) -> qt.QToolButton:
        return self._button

    def currentNode(self) -> object | None:
        return self._node

    def setCurrentNode(self, node: object | None) -> None:
        self._node = node

    def setPlaceModeEnabled(self, enabled: bool) -> None:
        if enabled == self._placing():
            return
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        if enabled and self._node:
            slicer.app.applicationLogic().GetSelectionNode().SetReferenceActivePlaceNodeClassName(
                self._node.GetClassName()
            )
            slicer.app.applicationLogic().GetSelectionNode().SetActivePlaceNodeID(self._node.GetID())
            interaction.SetPlaceModePersistence(int(self.placeMultipleMarkups != self.ForcePlaceSingleMarkup))
            interaction.SetCurrentInteractionMode(interaction.Place)
        else:
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self._button.setChecked(self._placing())
        self.activeMarkupsPlaceModeChanged.emit(self._placing())
        self.activeMarkupsFiducialPlaceModeChanged.emit(self._placing())

    def _placing(self) -> bool:
        logic = slicer.app.applicationLogic()
        interaction, selection = logic.GetInteractionNode(), logic.GetSelectionNode()
        active = self._node and selection.GetActivePlaceNodeID() == self._node.GetID()
        return bool(active and interaction.GetCurrentInteractionMode() == interaction.Place)

    placeModeEnabled = qt.Property(bool, _placing, setPlaceModeEnabled)
    currentNodeActive = qt.Property(bool, lambda self: self._placing(), lambda self, on: None)


@with_setters
class qSlicerSimpleMarkupsWidget(qMRMLWidget):
    """A table of the points of one node."""

    currentNodeChanged = qt.Signal(object)
    markupsNodeChanged = qt.Signal()
    nodeSelectorVisible = stored(bool, True)
    optionsVisible = stored(bool, True)
    defaultNodeColor = stored(qt.QColor, qt.QColor("red"))

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node, self._place = None, qSlicerMarkupsPlaceWidget()
        self._table = qt.QTableWidget(0, 4)
        layout = qt.QVBoxLayout(self)
        layout.addWidget(self._place)
        layout.addWidget(self._table)

    def markupsPlaceWidget(self) -> qSlicerMarkupsPlaceWidget:
        return self._place

    def tableWidget(self) -> qt.QTableWidget:
        return self._table

    def currentNode(self) -> object | None:
        return self._node

    def setCurrentNode(self, node: object | None) -> None:
        self._node = node
        self._place.setCurrentNode(node)
        self.currentNodeChanged.emit(node)
