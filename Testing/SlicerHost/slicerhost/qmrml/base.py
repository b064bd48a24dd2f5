"""Widgets that know the scene, and numbers with units."""

import ctk
import qt

from slicerhost.ctkwidgets import stored, with_setters
from slicerhost.uiloader import widget_class


class Observations:
    """Observers that a widget has on VTK objects; they go when Qt deletes the widget."""

    def __init__(self, widget: qt.QObject) -> None:
        self._tags: list[tuple[object, int]] = []
        widget.destroyed.connect(self.clear)

    def add(self, observed: object, event: object, callback: object) -> None:
        self._tags.append((observed, observed.AddObserver(event, callback)))

    def clear(self, *_: object) -> None:
        while self._tags:
            observed, tag = self._tags.pop()
            observed.RemoveObserver(tag)


@widget_class
class qMRMLWidget(qt.QWidget):
    mrmlSceneChanged = qt.Signal(object)

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene = None
        self.observations = Observations(self)

    def mrmlScene(self) -> object:
        return self._scene

    def setMRMLScene(self, scene: object) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@widget_class
class qSlicerWidget(qMRMLWidget):
    pass


@with_setters
class qMRMLSliderWidget(ctk.ctkSliderWidget):
    quantity = stored(str, "")
    unitAwareProperties = stored(int, 0)

    def setMRMLScene(self, scene: object) -> None:
        pass


@with_setters
class qMRMLSpinBox(qt.QDoubleSpinBox):
    quantity = stored(str, "")
    unitAwareProperties = stored(int, 0)

    def setMRMLScene(self, scene: object) -> None:
        pass


@with_setters
class qMRMLRangeWidget(ctk.ctkRangeWidget):
    quantity = stored(str, "")

    def setMRMLScene(self, scene: object) -> None:
        pass
