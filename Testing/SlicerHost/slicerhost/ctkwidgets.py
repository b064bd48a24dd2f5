"""Stand-ins of the CTK widgets that module panels use, as the module `ctk`."""

import sys
import types

import qt

from slicerhost.uiloader import widget_class


def stored(kind: type | str, default: object, changed: str = "") -> qt.Property:
    """A Qt property that only remembers its value; `changed` names the signal to emit."""
    key = object()

    def get(self: object) -> object:
        return self.__dict__.setdefault("_stored", {}).get(key, default)

    def put(self: object, value: object) -> None:
        if value != get(self):
            self.__dict__.setdefault("_stored", {})[key] = value
            if changed:
                getattr(self, changed).emit(value)

    return qt.Property(kind, get, put)


def with_setters(cls: type) -> type:
    """Add `setName(value)` for every property `name` that the class declares, as Qt classes have."""
    for name, member in list(vars(cls).items()):
        setter = f"set{name[:1].upper()}{name[1:]}"
        if isinstance(member, qt.Property) and setter not in vars(cls):
            setattr(cls, setter, lambda self, value, name=name: setattr(self, name, value))
    return widget_class(cls)


@with_setters
class ctkCollapsibleButton(qt.QWidget):
    contentsCollapsed = qt.Signal(bool)
    toggled = qt.Signal(bool)
    clicked = qt.Signal(bool)
    HEADER = 22

    def __init__(self, text: str | qt.QWidget | None = None, parent: qt.QWidget | None = None) -> None:
        super().__init__(text if isinstance(text, qt.QWidget) else parent)
        self._text = text if isinstance(text, str) else ""
        self._collapsed = False
        self._hidden: list[qt.QWidget] = []
        self.setContentsMargins(0, self.HEADER, 0, 0)

    def setText(self, text: str) -> None:
        self._text = text
        self.update()

    def setCollapsed(self, collapsed: bool) -> None:
        was, self._collapsed = self._collapsed, bool(collapsed)
        self._show_contents()
        if was != self._collapsed:
            self.contentsCollapsed.emit(self._collapsed)
            self.toggled.emit(not self._collapsed)

    def _show_contents(self) -> None:
        """Hide the contents, or show what was hidden: a widget that the module hid itself stays hidden."""
        if self._collapsed:
            for child in self.children():
                if isinstance(child, qt.QWidget) and not child.isHidden():
                    self._hide(child)
        else:
            while self._hidden:
                self._hidden.pop().show()
        self.setMaximumHeight(self.HEADER + 2 if self._collapsed else 16777215)

    def _hide(self, child: qt.QWidget) -> None:
        child.hide()
        self._hidden.append(child)

    text = qt.Property(str, lambda self: self._text, setText)
    collapsed = qt.Property(bool, lambda self: self._collapsed, setCollapsed)
    checked = qt.Property(bool, lambda self: not self._collapsed, lambda self, on: self.setCollapsed(not on))

    def childEvent(self, event: qt.QEvent) -> None:
        super().childEvent(event)
        if self._collapsed and event.added() and isinstance(event.child(), qt.QWidget):
            self._hide(event.child())

    def mousePressEvent(self, event: qt.QEvent) -> None:
        if event.position().y() < self.HEADER:
            self.setCollapsed(not self._collapsed)
            self.clicked.emit(not self._collapsed)

    def paintEvent(self, event: qt.QEvent) -> None:
        painter = qt.QPainter(self)
        painter.fillRect(0, 0, self.width, self.HEADER - 2, qt.QColor("#d6dbe4"))
        painter.drawText(6, 15, ("▸ " if self._collapsed else "▾ ") + self._text)
        painter.end()


ctkCollapsibleGroupBox = widget_class(type("ctkCollapsibleGroupBox", (ctkCollapsibleButton,), {}))


@with_setters
class ctkSliderWidget(qt.QWidget):
    valueChanged = qt.Signal(float)
    valueIsChanging = qt.Signal(float)
    STEPS = 1000

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider, self._box = qt.QSlider(qt.Qt.Horizontal), qt.QDoubleSpinBox()
        row = qt.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider)
        row.addWidget(self._box)
        self._slider.setRange(0, self.STEPS)
        self._box.setRange(0.0, 100.0)
        self._box.valueChanged.connect(self._box_changed)
        self._slider.sliderMoved.connect(self._slider_moved)

    def _box_changed(self, value: float) -> None:
        self._move_slider()
        self.valueChanged.emit(value)

    def _move_slider(self) -> None:
        low, high = self._box.minimum, self._box.maximum
        self._slider.setValue(round(self.STEPS * (self._box.value - low) / ((high - low) or 1)))

    def _slider_moved(self, step: int) -> None:
        low, high = self._box.minimum, self._box.maximum
        self.value = low + step / self.STEPS * (high - low)
        self.valueIsChanging.emit(self.value)

    def setRange(self, low: float, high: float) -> None:
        self.minimum, self.maximum = low, high

    tracking = stored(bool, True)
    pageStep = stored(float, 10.0)
    tickInterval = stored(float, 0.0)
    spinBoxVisible = stored(bool, True)

    def _of_box(name: str, kind: type) -> qt.Property:
        def put(self: object, value: object) -> None:
            setattr(self._box, name, value)
            self._move_slider()

        return qt.Property(kind, lambda self: getattr(self._box, name), put)

    value = _of_box("value", float)
    minimum = _of_box("minimum", float)
    maximum = _of_box("maximum", float)
    singleStep = _of_box("singleStep", float)
    decimals = _of_box("decimals", int)
    suffix = _of_box("suffix", str)
    prefix = _of_box("prefix", str)


@with_setters
class ctkRangeWidget(qt.QWidget):
    valuesChanged = qt.Signal(float, float)
    minimum = stored(float, 0.0)
    maximum = stored(float, 99.0)
    singleStep = stored(float, 1.0)
    decimals = stored(int, 2)
    minimumValue = stored(float, 0.0)
    maximumValue = stored(float, 99.0)

    def setValues(self, low: float, high: float) -> None:
        if (low, high) != (self.minimumValue, self.maximumValue):
            self.minimumValue, self.maximumValue = low, high
            self.valuesChanged.emit(low, high)


@with_setters
class ctkPathLineEdit(qt.QWidget):
    currentPathChanged = qt.Signal(str)
    validInputChanged = qt.Signal(bool)
    Files, Dirs, Readable, Writable, Executable = 2, 1, 16, 32, 64

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._edit, row = qt.QLineEdit(), qt.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._edit)
        row.addWidget(qt.QToolButton())
        self._edit.textChanged.connect(self.currentPathChanged)

    def addCurrentPathToHistory(self) -> None:
        pass

    currentPath = qt.Property(
        str, lambda self: self._edit.text, lambda self, path: self._edit.setText(str(path))
    )
    settingKey = stored(str, "")
    showHistoryButton = stored(bool, True)
    label = stored(str, "")
    filters = stored(int, 0)
    nameFilters = stored("QStringList", [])


@with_setters
class ctkDirectoryButton(qt.QPushButton):
    directoryChanged = qt.Signal(str)
    directorySelected = qt.Signal(str)
    directory = stored(str, "", "directoryChanged")
    caption = stored(str, "")


@with_setters
class ctkColorPickerButton(qt.QPushButton):
    colorChanged = qt.Signal(qt.QColor)
    color = stored(qt.QColor, qt.QColor("black"), "colorChanged")
    displayColorName = stored(bool, True)


@with_setters
class ctkComboBox(qt.QComboBox):
    defaultText = stored(str, "")


@with_setters
class ctkCheckablePushButton(qt.QPushButton):
    checkBoxToggled = qt.Signal(bool)
    checkState = stored(int, 0)
    checkBoxControlsButton = stored(bool, True)


class ctkMessageBox(qt.QMessageBox):
    """A question that nobody is there to answer fails; a test that expects one leaves an answer."""

    answers: list[object] = []  # noqa: RUF012 - one queue for all boxes, as there is one person at the screen

    def exec_(self) -> object:
        if not self.answers:
            raise AssertionError(f"an unexpected message box: {self.text!r}")
        return self.answers.pop(0)

    exec = exec_


def build_ctk() -> types.ModuleType:
    """The module `ctk`, registered in `sys.modules`."""
    module = types.ModuleType("ctk", "Stand-ins of CTK's widgets")
    module.__dict__.update({name: value for name, value in globals().items() if name.startswith("ctk")})
    same = {
        "ctkCheckBox": qt.QCheckBox,
        "ctkDoubleSpinBox": qt.QDoubleSpinBox,
        "ctkDoubleSlider": qt.QSlider,
        "ctkDoubleRangeSlider": ctkRangeWidget,
        "ctkFittedTextBrowser": qt.QTextBrowser,
        "ctkMenuButton": qt.QPushButton,
        "ctkExpandButton": qt.QToolButton,
        "ctkSearchBox": qt.QLineEdit,
        "ctkConsole": qt.QPlainTextEdit,
    }
    for name, base in same.items():
        setattr(module, name, widget_class(type(name, (base,), {})))
    sys.modules["ctk"] = module
    return module
