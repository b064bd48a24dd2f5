"""How each class of widget shows a parameter: its value, its signal, and what a type prepares."""

import enum
import pathlib
from collections.abc import Callable

import ctk
import qt
import slicer

from .annotations import Choice, Decimals, SingleStep, WithinRange, find, split

SlicerParameterNamePropertyName = "SlicerParameterName"


class Binding:
    """A widget bound to a parameter of a type."""

    def __init__(self, widget: object, kind: object) -> None:
        self.widget, (self.kind, self.annotations) = widget, split(kind)
        self._prepare()

    def _prepare(self) -> None:
        if isinstance(self.widget, qt.QComboBox) and not self._choices_shown():
            self.widget.clear()
            self.widget.addItems([_label(value) for value in self._choices()])
        for annotation, name in ((Decimals, "decimals"), (SingleStep, "singleStep")):
            if given := find(self.annotations, annotation):
                setattr(self.widget, name, given.value)
        if (limits := find(self.annotations, WithinRange)) and hasattr(self.widget, "minimum"):
            self.widget.minimum, self.widget.maximum = limits.minimum, limits.maximum

    def _choices(self) -> list:
        if isinstance(self.kind, type) and issubclass(self.kind, enum.Enum):
            return list(self.kind)
        choice = find(self.annotations, Choice)
        return list(choice.choices) if choice else []

    def _choices_shown(self) -> bool:
        return not self._choices() or self.widget.count == len(self._choices())

    def read(self) -> object:
        widget = self.widget
        if isinstance(widget, qt.QComboBox):
            choices = self._choices()
            return choices[widget.currentIndex] if choices else widget.currentText
        if isinstance(widget, slicer.qMRMLNodeComboBox):
            return widget.currentNode()
        value = getattr(widget, self._property())
        return self.kind(value) if isinstance(self.kind, type) else value

    def write(self, value: object) -> None:
        widget = self.widget
        if isinstance(widget, qt.QComboBox):
            choices = self._choices()
            if choices:
                widget.setCurrentIndex(choices.index(value))
            else:
                widget.setCurrentText(value)
        elif isinstance(widget, slicer.qMRMLNodeComboBox):
            widget.setCurrentNode(value)
        else:
            text = str(value) if isinstance(value, pathlib.PurePath) else value
            if getattr(widget, self._property()) != text:
                setattr(widget, self._property(), text)

    def _property(self) -> str:
        return _entry(self.widget)[0]

    def signal(self) -> object:
        return getattr(self.widget, _entry(self.widget)[1])


def _label(value: object) -> str:
    return str(value.value) if isinstance(value, enum.Enum) else str(value)


def _entries() -> list[tuple[type, str, str]]:
    """Class, property, signal; the first class that fits."""
    return [
        (qt.QComboBox, "currentIndex", "currentIndexChanged"),
        (slicer.qMRMLNodeComboBox, "currentNodeID", "currentNodeChanged"),
        (ctk.ctkPathLineEdit, "currentPath", "currentPathChanged"),
        (ctk.ctkDirectoryButton, "directory", "directoryChanged"),
        (ctk.ctkColorPickerButton, "color", "colorChanged"),
        (ctk.ctkSliderWidget, "value", "valueChanged"),
        (qt.QLineEdit, "text", "textChanged"),
        (qt.QTextEdit, "plainText", "textChanged"),
        (qt.QAbstractSpinBox, "value", "valueChanged"),
        (qt.QAbstractSlider, "value", "valueChanged"),
        (qt.QAbstractButton, "checked", "toggled"),
    ]


def _entry(widget: object) -> tuple[str, str]:
    for cls, name, signal in _entries():
        if isinstance(widget, cls):
            return name, signal
    raise TypeError(f"a {type(widget).__name__} cannot be bound to a parameter")


def named_widgets(gui: object) -> dict[str, object]:
    """The widgets that carry a parameter's name, by that name: of a widget's children or of a namespace."""
    widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "findChildren") else vars(gui).values()
    named = {w.property(SlicerParameterNamePropertyName): w for w in widgets if isinstance(w, qt.QWidget)}
    return {name: widget for name, widget in named.items() if name}


def bind(gui: object, kind_of: Callable[[str], object]) -> dict[str, Binding]:
    widgets = gui if isinstance(gui, dict) else named_widgets(gui)
    return {name: Binding(widget, kind_of(name)) for name, widget in widgets.items()}
