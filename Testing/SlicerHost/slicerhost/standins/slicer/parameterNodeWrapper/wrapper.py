"""The class decorator `parameterNodeWrapper`."""

import typing

import slicer
import vtk

from . import serialize
from .annotations import Default, find, split
from .pack import check, isParameterPack
from .widgets import Binding, bind


def parameterNodeWrapper(cls: type | None = None) -> type:
    """Make every annotated member of a class a property over a parameter node."""
    if cls is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(cls, include_extras=True)
    defaults = {name: _default(cls, name, kind) for name, kind in hints.items()}
    members = {name: _property(name) for name in hints}
    own = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    return type(cls.__name__, (_Wrapper,), {**own, **members, "allParameters": hints, "_defaults": defaults})


def isParameterNodeWrapper(thing: object) -> bool:
    return isinstance(thing, _Wrapper) or (isinstance(thing, type) and issubclass(thing, _Wrapper))


def _default(cls: type, name: str, kind: object) -> Default:
    if hasattr(cls, name):
        return Default(getattr(cls, name))
    given = find(split(kind)[1], Default)
    return given or Default(generator=lambda: None if serialize.is_node(kind) else serialize.default_of(kind))


def _property(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


class _Wrapper:
    def __init__(self, parameterNode: object, prefix: str = "") -> None:
        self.parameterNode, self._prefix = parameterNode, prefix or ""
        self._bindings: dict[int, tuple[dict[str, Binding], dict[str, object], int]] = {}
        self._showing = False
        for name in self.allParameters:
            if not self._has(name):
                self.setValue(name, self._defaults[name].get())

    # values

    def _has(self, name: str) -> bool:
        return bool(self.parameterNode.GetParameter(self._prefix + name)) or serialize.is_node(
            self.allParameters[name]
        )

    def default(self, name: str) -> Default:
        return self._defaults[name]

    def dataType(self, name: str) -> object:
        head, *rest = name.split(".")
        if head not in self.allParameters:
            raise ValueError(f"there is no parameter {head!r}; there are {', '.join(self.allParameters)}")
        kind = self.allParameters[head]
        for part in rest:
            kind = split(kind)[0].allParameters[part]
        return kind

    def getValue(self, name: str) -> object:
        head, _, rest = name.partition(".")
        kind = self.dataType(head)
        if serialize.is_node(kind):
            return self.parameterNode.GetNodeReference(self._prefix + head)
        value = serialize.loads(self.parameterNode.GetParameter(self._prefix + head), kind)
        if isParameterPack(value):
            _observe(value, lambda: self.setValue(head, value))
        return value.getValue(rest) if rest else value

    def setValue(self, name: str, value: object) -> None:
        head, _, rest = name.partition(".")
        kind = self.dataType(head)
        if rest:
            self.getValue(head).setValue(rest, value)
        elif serialize.is_node(kind):
            self.parameterNode.SetNodeReferenceID(self._prefix + head, value.GetID() if value else None)
        else:
            check(value, kind)
            self.parameterNode.SetParameter(self._prefix + head, serialize.dumps(value))

    # the node

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was_modifying: int) -> int:
        return self.parameterNode.EndModify(was_modifying)

    def AddObserver(self, event: object, callback: object, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    # widgets

    def connectGui(self, gui: object) -> int:
        return self.connectParametersToGui(bind(gui, self.dataType))

    def connectParametersToGui(self, mapping: dict[str, object]) -> int:
        """Bind widgets by the names of their parameters; the returned tag is for `disconnectGui`."""
        plain = {name: widget for name, widget in mapping.items() if not isinstance(widget, Binding)}
        bindings = {**mapping, **bind(plain, self.dataType)}
        self._show(bindings)
        slots = {name: self._slot(name, binding) for name, binding in bindings.items()}
        for name, binding in bindings.items():
            binding.signal().connect(slots[name])
        observation = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show(bindings))
        tag = max(self._bindings, default=0) + 1
        self._bindings[tag] = (bindings, slots, observation)
        return tag

    def disconnectGui(self, tag: int) -> None:
        bindings, slots, observation = self._bindings.pop(tag, ({}, {}, None))
        for name, binding in bindings.items():
            binding.signal().disconnect(slots[name])
        if observation is not None:
            self.RemoveObserver(observation)

    def _slot(self, name: str, binding: Binding) -> object:
        def widget_changed(*_: object) -> None:
            if not self._showing:
                self.setValue(name, binding.read())

        return widget_changed

    def _show(self, bindings: dict[str, Binding]) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            with slicer.util.NodeModify(self.parameterNode):
                for name, binding in bindings.items():
                    binding.write(self.getValue(name))
        finally:
            self._showing = False


def _observe(pack: object, changed: object) -> None:
    """Write the whole pack back whenever one of its members is set, also a member of a pack within."""
    cls = type(pack)

    def set_and_write(self: object, name: str, value: object) -> None:
        cls.__setattr__(self, name, value)
        changed()

    for name in pack.allParameters:
        inner = getattr(pack, name)
        if isParameterPack(inner):
            _observe(inner, changed)
    object.__setattr__(pack, "__class__", type(cls.__name__, (cls,), {"__setattr__": set_and_write}))
