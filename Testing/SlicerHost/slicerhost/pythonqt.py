"""PythonQt's manners over PySide6: the flat module `qt` that scripts inside Slicer import.

Slicer wraps Qt with PythonQt, where properties are attributes (`button.text`, not `button.text()`) and
signals are connected by their signature (`button.connect("clicked()", f)`). Here PySide6 gets these manners.
"""

import inspect
import os
import sys
import types

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtWidgets

_SOURCES = (QtCore, QtGui, QtWidgets)
_connect, _disconnect = QtCore.QObject.connect, QtCore.QObject.disconnect
_UNCHANGED = {"QApplication", "QGuiApplication", "QCoreApplication"}  # there is one, and it exists already


_VIRTUAL = {"sizeHint", "minimumSizeHint"}  # properties whose getters are virtual: C++ asks Python for them
_reading: set[tuple[int, str]] = set()


class PropertyAttribute:
    """A Qt property read and written as an attribute of instances.

    The class attribute stays what PySide6 has there: `QTimer.singleShot` is a static function and a property.
    """

    def __init__(self, name: str, on_class: object = None) -> None:
        self.name, self.on_class = name, on_class

    def __get__(self, instance: object, owner: type | None = None) -> object:
        if instance is None:
            return self.on_class
        if self.name not in _VIRTUAL:
            return QtCore.QObject.property(instance, self.name)
        if (place := (id(instance), self.name)) in _reading:
            return None  # C++ looks for a Python method of that name: there is none
        _reading.add(place)
        try:
            return QtCore.QObject.property(instance, self.name)
        finally:
            _reading.discard(place)

    def __set__(self, instance: object, value: object) -> None:
        QtCore.QObject.setProperty(instance, self.name, value)


def properties_as_attributes(qt_class: type) -> None:
    """Let the properties that `qt_class` itself declares be attributes."""
    meta = qt_class.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        setattr(qt_class, name, PropertyAttribute(name, getattr(qt_class, name, None)))


def _signal(sender: QtCore.QObject, signature: str) -> bytes:
    """The signal as Qt knows it. A wrong signature is an error; Slicer only logs it, and nothing happens."""
    normalized = bytes(QtCore.QMetaObject.normalizedSignature(signature)).decode()
    if "vtk" in normalized:  # stand-ins declare signals that carry nodes with Python objects
        name, arguments = normalized[:-1].split("(", 1)
        normalized = f"{name}({','.join('PyObject' if 'vtk' in a else a for a in arguments.split(','))})"
    if sender.metaObject().indexOfSignal(normalized) < 0:
        raise ValueError(f"{type(sender).__name__} has no signal {signature!r}")
    return QtCore.SIGNAL(normalized)


class PythonQtObject:
    """What PythonQt adds to every QObject."""

    def connect(self, signature: str, *target: object) -> bool:
        """`connect("signal()", callable)` or `connect("signal()", receiver, "slot()")`."""
        return bool(_connect(self, _signal(self, signature), _slot(*target)))

    def disconnect(self, signature: str, *target: object) -> bool:
        """Without a target every connection of the signal goes."""
        signal = _signal(self, signature)
        if target:
            return bool(_disconnect(self, signal, _slot(*target)))
        if not self.receivers(signal):
            return False
        return bool(getattr(self, signature.split("(")[0]).disconnect())

    def delete(self) -> None:
        self.deleteLater()


def _slot(*target: object) -> object:
    if len(target) == 2:
        return getattr(target[0], target[1].split("(")[0])
    if len(target) == 1 and callable(target[0]):
        return target[0]
    raise TypeError(
        f"cannot connect to {target!r}: give a callable, or an object and the signature of its slot"
    )


class PythonQtClass(type(QtCore.QObject)):
    """Metaclass of the classes of `qt`.

    Shiboken resolves `connect` in C++ and looks only in the object's own class: every subclass gets a copy.
    Objects that C++ made are instances of the plain PySide6 class: they count as instances here, too.
    """

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict, **keywords: object) -> None:
        super().__init__(name, bases, namespace, **keywords)
        for method in ("connect", "disconnect"):
            if method not in cls.__dict__:
                setattr(cls, method, getattr(PythonQtObject, method))

    def __instancecheck__(cls, instance: object) -> bool:
        plain = cls.__dict__.get("_plain")
        return isinstance(instance, plain) if plain else type.__instancecheck__(cls, instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        plain = cls.__dict__.get("_plain")
        return issubclass(subclass, plain) if plain else type.__subclasscheck__(cls, subclass)


def build_qt() -> types.ModuleType:
    """The module `qt`, registered in `sys.modules`, with an application that has no window system."""
    module = types.ModuleType("qt", "Qt as PythonQt shows it")
    module.Signal, module.Slot, module.Property = QtCore.Signal, QtCore.Slot, QtCore.Property
    for source in _SOURCES:
        for name in dir(source):
            if name.startswith("Q"):
                setattr(module, name, getattr(source, name))
                if _is_object_class(getattr(source, name)):
                    properties_as_attributes(getattr(source, name))
    QtCore.QObject.name = PropertyAttribute("objectName")
    QtCore.QObject.className = lambda self: self.metaObject().className()
    for name, plain in list(vars(module).items()):
        if _is_object_class(plain) and name not in _UNCHANGED:
            namespace = {"_plain": plain, "__module__": "qt"}
            setattr(module, name, PythonQtClass(name, (PythonQtObject, plain), namespace))
    module.QDialog.exec_ = module.QDialog.exec
    module.QMenu.exec_ = module.QMenu.exec
    sys.modules["qt"] = module
    if QtWidgets.QApplication.instance() is None:
        module.application = QtWidgets.QApplication(["SlicerHost"])
    return module


def _is_object_class(candidate: object) -> bool:
    return inspect.isclass(candidate) and issubclass(candidate, QtCore.QObject)
