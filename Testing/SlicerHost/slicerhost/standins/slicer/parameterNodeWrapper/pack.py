"""Packs: dataclasses whose members are parameters."""

import dataclasses
import typing

from .annotations import Default, find, split


def parameterPack(cls: type) -> type:
    """Class decorator: a dataclass with checked members, reachable by dotted names."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for name, kind in hints.items():
        if not hasattr(cls, name):
            setattr(cls, name, dataclasses.field(default_factory=lambda kind=kind: _default(kind)))
    pack = dataclasses.dataclass(cls)
    pack.allParameters = hints
    pack.__setattr__ = _checked_set
    pack.getValue = lambda self, name: _resolve(self, name)
    pack.setValue = lambda self, name, value: setattr(*_parent(self, name), value)
    return pack


def _default(kind: object) -> object:
    from .serialize import default_of

    given = find(split(kind)[1], Default)
    return given.get() if given else default_of(kind)


def _checked_set(pack: object, name: str, value: object) -> None:
    if name not in pack.allParameters:
        raise AttributeError(f"{type(pack).__name__} has no parameter {name!r}")
    check(value, pack.allParameters[name])
    object.__setattr__(pack, name, value)


def check(value: object, kind: object) -> None:
    for annotation in split(kind)[1]:
        if hasattr(annotation, "check"):
            annotation.check(value)


def _resolve(value: object, dotted: str) -> object:
    for name in dotted.split("."):
        value = getattr(value, name)
    return value


def _parent(value: object, dotted: str) -> tuple[object, str]:
    *path, last = dotted.split(".")
    return (_resolve(value, ".".join(path)) if path else value), last


def isParameterPack(thing: object) -> bool:
    return dataclasses.is_dataclass(thing) and hasattr(thing, "allParameters")
