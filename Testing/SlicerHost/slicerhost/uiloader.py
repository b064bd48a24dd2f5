"""Loading of .ui files with the stand-ins of CTK's and Slicer's widgets, and with their scene connections."""

import xml.etree.ElementTree as ElementTree

from PySide6 import QtCore
from PySide6.QtUiTools import QUiLoader as PlainLoader

_widgets: dict[str, type] = {}


def widget_class(cls: type) -> type:
    """Register a stand-in under its own name, for .ui files."""
    _widgets[cls.__name__] = cls
    return cls


def make_loader(qt: object) -> type:
    """`qt.QUiLoader`."""

    class QUiLoader(PlainLoader):
        """Builds the classes of `qt` and the stand-ins, and refuses widgets that it does not know."""

        def createWidget(self, class_name: str, parent: object = None, name: str = "") -> object:
            cls = _widgets.get(class_name) or getattr(qt, class_name, None)
            if cls is None:
                raise RuntimeError(f"the .ui file uses {class_name}, which the host does not know")
            widget = cls(parent) if parent is not None else cls()
            widget.setObjectName(name)
            self._created.append(widget)
            return widget

        def load(self, file: QtCore.QFile, parent: object = None) -> object:
            self._created = []
            tree = ElementTree.fromstring(bytes(file.readAll()).decode())
            scene_connections = _take_scene_connections(tree)
            buffer = QtCore.QBuffer()
            buffer.setData(ElementTree.tostring(tree))
            buffer.open(QtCore.QIODevice.ReadOnly)
            widget = super().load(buffer, parent)
            for sender, receiver in scene_connections:
                _connect_scene(_child(widget, sender), _child(widget, receiver))
            return widget

    return QUiLoader


def _take_scene_connections(tree: ElementTree.Element) -> list[tuple[str, str]]:
    """Remove and return (sender, receiver) of `mrmlSceneChanged` → `setMRMLScene`: Qt cannot pass scenes."""
    taken = []
    for connections in tree.findall("connections"):
        for connection in connections.findall("connection"):
            if connection.findtext("signal", "").startswith("mrmlSceneChanged("):
                taken.append((connection.findtext("sender"), connection.findtext("receiver")))
                connections.remove(connection)
    return taken


def _child(widget: object, name: str) -> object:
    return widget if widget.objectName == name else widget.findChild(QtCore.QObject, name)


def _connect_scene(sender: object, receiver: object) -> None:
    sender.mrmlSceneChanged.connect(receiver.setMRMLScene)
