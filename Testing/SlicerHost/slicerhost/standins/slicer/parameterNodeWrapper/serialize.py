"""Values to and from the JSON that a parameter node holds."""

import enum
import json
import pathlib
import types
import typing

import slicer

from .annotations import Choice, find, split
from .pack import isParameterPack


def is_node(kind: object) -> bool:
    """Whether the type is a class of nodes, or a union of such with None."""
    kind, _ = split(kind)
    members = typing.get_args(kind) if _is_union(kind) else (kind,)
    members = [split(member)[0] for member in members]
    classes = [member for member in members if member is not type(None)]
    return all(isinstance(c, type) and issubclass(c, slicer.vtkMRMLNode) for c in classes)


def _is_union(kind: object) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def default_of(kind: object) -> object:
    """The value that a field without a default starts with."""
    plain, annotations = split(kind)
    if choice := find(annotations, Choice):
        return choice.choices[0]
    if _is_union(plain):
        return None
    if isinstance(plain, type) and issubclass(plain, enum.Enum):
        return next(iter(plain))
    origin = typing.get_origin(plain) or plain
    if origin is tuple:
        return tuple(default_of(item) for item in typing.get_args(plain))
    if isinstance(origin, type) and issubclass(origin, pathlib.PurePath):
        return origin()
    return origin()


def dumps(value: object) -> str:
    return json.dumps(_plain(value))


def _plain(value: object) -> object:
    if isParameterPack(value):
        return {name: _plain(getattr(value, name)) for name in value.allParameters}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if isinstance(value, dict):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def loads(text: str, kind: object) -> object:
    return build(json.loads(text), kind)


def build(data: object, kind: object) -> object:
    kind, _ = split(kind)
    if _is_union(kind):
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        return None if data is None else build(data, members[0])
    if isParameterPack(kind):
        return kind(**{name: build(data[name], item) for name, item in kind.allParameters.items()})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind[data]
    origin, items = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is dict:
        return {build(key, items[0]): build(item, items[1]) for key, item in data}
    if origin is list:
        return [build(item, items[0]) for item in data]
    if origin is tuple:
        return tuple(build(item, part) for item, part in zip(data, items, strict=True))
    if isinstance(origin, type) and issubclass(origin, pathlib.PurePath):
        return origin(data)
    return kind(data)
