"""Large results of which there need never be more than one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Each(Generic[T]):
    """A function of each of some things, computed anew whenever one goes through them."""

    of: Callable[[Any], T]
    things: Iterable[Any]

    def __iter__(self) -> Iterator[T]:
        """The results in the order of the things, each let go before the next unless somebody keeps it."""
        return map(self.of, self.things)
