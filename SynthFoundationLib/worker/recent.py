"""What the worker remembers: things by name, those used longest ago forgotten once there are too many."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from ..errors import InputError

T = TypeVar("T")


class Missing(InputError):
    """The worker does not have what a request names; the client sends or opens it again."""

    def __init__(self, what: str, key: str) -> None:
        super().__init__(f"the worker has no {what} {key!r:.80}; send or open it again")
        self.what, self.key = what, key


class Recent(Generic[T]):
    """A dictionary that holds at most `limit`, in units of the sizes that its values are put with."""

    def __init__(self, what: str, limit: float) -> None:
        """Say what is held, for messages, and how much of it; the newest thing is held in any case."""
        self.what, self.limit = what, limit
        self._held: OrderedDict[str, tuple[T, float]] = OrderedDict()

    def put(self, key: str, value: T, size: float = 1) -> None:
        """Remember a value under a key, in place of an older one."""
        self._held.pop(key, None)
        self._held[key] = (value, size)
        while len(self._held) > 1 and self.total > self.limit:
            self._held.popitem(last=False)

    def get(self, key: str) -> T:
        """The value under a key, which counts as used.

        Raises:
            Missing: there is none.
        """
        if key not in self._held:
            raise Missing(self.what, key)
        self._held.move_to_end(key)
        return self._held[key][0]

    def drop(self, key: str) -> bool:
        """Forget a value; whether there was one."""
        return self._held.pop(key, None) is not None

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()

    @property
    def total(self) -> float:
        """The sizes of all that is held."""
        return sum(size for _, size in self._held.values())

    @property
    def keys(self) -> list[str]:
        """Longest unused first."""
        return list(self._held)

    def __contains__(self, key: str) -> bool:
        """Whether there is a value under this key."""
        return key in self._held
