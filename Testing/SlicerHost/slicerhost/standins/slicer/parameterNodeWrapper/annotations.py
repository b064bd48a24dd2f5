"""What `Annotated[type, …]` may carry: defaults, limits, and how a widget shows a number."""

import dataclasses
import math
import typing


@dataclasses.dataclass
class Default:
    value: object = None
    generator: object = None

    def get(self) -> object:
        return self.generator() if self.generator else self.value


@dataclasses.dataclass
class Decimals:
    value: int


@dataclasses.dataclass
class SingleStep:
    value: float


@dataclasses.dataclass
class WithinRange:
    minimum: float = -math.inf
    maximum: float = math.inf

    def check(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


class Minimum(WithinRange):
    def __init__(self, minimum: float) -> None:
        super().__init__(minimum=minimum)


class Maximum(WithinRange):
    def __init__(self, maximum: float) -> None:
        super().__init__(maximum=maximum)


@dataclasses.dataclass
class Choice:
    choices: list

    def check(self, value: object) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is not among {self.choices}")


def split(kind: object) -> tuple[object, list]:
    """The plain type and its annotations."""
    if typing.get_origin(kind) is typing.Annotated:
        plain, *annotations = typing.get_args(kind)
        return plain, annotations
    return kind, []


def find(annotations: list, wanted: type) -> object | None:
    return next((a for a in annotations if isinstance(a, wanted)), None)
