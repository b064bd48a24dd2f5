"""The node selectors `qMRMLNodeComboBox` and `qMRMLSubjectHierarchyComboBox`."""

import qt

from slicerhost.ctkwidgets import stored, with_setters
from slicerhost.qmrml.base import qMRMLWidget

_CREATE = "\N{HORIZONTAL ELLIPSIS}create"
_COMMANDS = {_CREATE: "Create new node", "rename": "Rename node", "delete": "Delete current node"}


@with_setters
class qMRMLNodeComboBox(qMRMLWidget):
    currentNodeChanged = qt.Signal(object)
    currentNodeIDChanged = qt.Signal(str)
    nodeAdded = qt.Signal(object)
    nodeAddedByUser = qt.Signal(object)
    nodeAboutToBeRemoved = qt.Signal(object)
    nodeActivated = qt.Signal(object)

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._types: list[str] = []
        self._attributes: list[tuple[str, str, str | None]] = []
        self._current = ""
        self._box = qt.QComboBox()
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.activated.connect(self._activated)

    # what the .ui file and the module set

    noneEnabled = stored(bool, False, "_changed")
    addEnabled = stored(bool, True, "_changed")
    removeEnabled = stored(bool, True)
    editEnabled = stored(bool, False)
    renameEnabled = stored(bool, False)
    showHidden = stored(bool, False, "_changed")
    showChildNodeTypes = stored(bool, True, "_changed")
    hideChildNodeTypes = stored("QStringList", [], "_changed")
    selectNodeUponCreation = stored(bool, True)
    baseName = stored(str, "")
    noneDisplay = stored(str, "None", "_changed")
    interactionNodeSingletonTag = stored(str, "")

    class _Refresh:
        """Lets `stored` refresh the box: it emits a signal that is none."""

        def __get__(self, box: "qMRMLNodeComboBox", owner: type | None = None) -> object:
            self.emit = lambda _: box.refresh()
            return self

    _changed = _Refresh()

    def setNodeTypes(self, types: list[str]) -> None:
        self._types = list(types)
        self.refresh()

    nodeTypes = qt.Property("QStringList", lambda self: self._types, setNodeTypes)

    def addAttribute(self, node_type: str, name: str, value: object = None) -> None:
        self._attributes.append((node_type, name, None if value is None else str(value)))
        self.refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes = [a for a in self._attributes if a[:2] != (node_type, name)]
        self.refresh()

    # the nodes shown

    def setMRMLScene(self, scene: object) -> None:
        self.observations.clear()
        if scene:
            events = (
                scene.NodeAddedEvent,
                scene.NodeRemovedEvent,
                scene.EndCloseEvent,
                scene.EndBatchProcessEvent,
            )
            for event in events:
                self.observations.add(scene, event, self._scene_changed)
        super().setMRMLScene(scene)
        self._scene = scene
        self.refresh()

    def _scene_changed(self, scene: object, event: str) -> None:
        if not scene.IsBatchProcessing():
            self.refresh()

    def nodes(self) -> list:
        scene = self._scene
        if not scene:
            return []
        found = [
            node
            for kind in self._types
            for node in _nodes_of(scene, kind)
            if (self.showChildNodeTypes or node.GetClassName() == kind)
            and not any(node.IsA(hidden) for hidden in self.hideChildNodeTypes)
        ]
        return [n for n in found if (self.showHidden or not n.GetHideFromEditors()) and self._accepts(n)]

    def _accepts(self, node: object) -> bool:
        for kind, name, value in self._attributes:
            if node.IsA(kind):
                given = node.GetAttribute(name)
                if given is None or (value is not None and given != value):
                    return False
        return True

    def nodeCount(self) -> int:
        return len(self.nodes())

    def nodeFromIndex(self, index: int) -> object:
        return self.nodes()[index]

    def refresh(self) -> None:
        """Show the nodes of the scene; without a none item the first node is selected, as in Slicer."""
        nodes = self.nodes()
        wanted = self._current
        if wanted not in [node.GetID() for node in nodes]:
            wanted = nodes[0].GetID() if nodes and not self.noneEnabled else ""
        self._box.clear()
        if self.noneEnabled or not nodes:
            self._box.addItem(self.noneDisplay, "")
        for node in nodes:
            self._box.addItem(node.GetName(), node.GetID())
        if self.addEnabled:
            self._box.addItem(_COMMANDS[_CREATE], _CREATE)
        self._box.setCurrentIndex(max(self._box.findData(wanted), 0))
        self._select(wanted)

    # the selection

    def _select(self, node_id: str) -> None:
        if node_id != self._current:
            self._current = node_id
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(node_id)

    def _activated(self, index: int) -> None:
        data = self._box.itemData(index)
        if data == _CREATE:
            self.nodeAddedByUser.emit(self.addNode())
        else:
            self._select(data or "")
            self.nodeActivated.emit(self.currentNode())

    def addNode(self, node_type: str = "") -> object:
        kind = node_type or self._types[0]
        node = self._scene.AddNewNodeByClass(kind, self.baseName or "")
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAdded.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self.currentNode():
            self._scene.RemoveNode(self.currentNode())

    def setCurrentNodeID(self, node_id: str | None) -> None:
        index = self._box.findData(node_id or "")
        if index < 0 and node_id:
            return
        self._box.setCurrentIndex(index)
        self._select(node_id or "")

    currentNodeID = qt.Property(str, lambda self: self._current, setCurrentNodeID)

    def currentNode(self) -> object | None:
        return self._scene.GetNodeByID(self._current) if self._scene and self._current else None

    def setCurrentNode(self, node: object | str | None) -> None:
        self.setCurrentNodeID(node.GetID() if hasattr(node, "GetID") else node)

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodes()[index] if index >= 0 else None)


def _nodes_of(scene: object, kind: str) -> list:
    nodes = scene.GetNodesByClass(kind)
    nodes.UnRegister(None)
    return [nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())]


@with_setters
class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """Several nodes; checked by a click in Slicer, by `setCheckState` here."""

    checkedNodesChanged = qt.Signal()

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._checked: list[str] = []

    def setCheckState(self, node: object, state: object) -> None:
        checked = [i for i in self._checked if i != node.GetID()]
        self._checked = checked + ([node.GetID()] if state == qt.Qt.Checked else [])
        self.checkedNodesChanged.emit()

    def checkState(self, node: object) -> object:
        return qt.Qt.Checked if node.GetID() in self._checked else qt.Qt.Unchecked

    def checkedNodes(self) -> list:
        return [node for node in self.nodes() if node.GetID() in self._checked]
