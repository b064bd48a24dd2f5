"""Do with less where memory is short: ever coarser attempts, and a notice of what was done instead."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

from .errors import InputError, MemoryShortage, memory_shortage

T = TypeVar("T")
Attempt = tuple[str, Callable[[], T]]


def first_that_fits(attempts: Sequence[Attempt[T]], notice: Callable[[str], None]) -> T:
    """The result of the first attempt that memory suffices for.

    Args:
        attempts: what each is called, as in "with the preset 'fast'", and how it is made, best first.
        notice: told in one line that another attempt is made, and which.

    Raises:
        MemoryShortage: memory suffices for none; it says how much the last of them lacked.
    """
    shortage: MemoryShortage | None = None
    for name, make in attempts:
        if shortage is not None:
            gc.collect()
            notice(f"There is not enough memory; trying again {name}.")
        try:
            return make()
        except Exception as error:
            found = memory_shortage(error)
            # an attempt that was given a bound on its memory tells so as an unusable input
            if found is None and not (shortage is not None and isinstance(error, InputError)):
                raise
            shortage = MemoryShortage(str(found or error))
    assert shortage is not None
    raise shortage


def coarser_presets(preset: str) -> list[str]:
    """A preset of registration and those that need less memory."""
    presets = ("accurate", "default", "fast")
    return list(presets[presets.index(preset) :])
