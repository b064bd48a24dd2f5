"""Do with less where memory is short: ever coarser attempts, and a notice of what was done instead."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Sequence
from pathlib import Path
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


def free_gb() -> float | None:
    """Memory that this machine can still give, in 10⁹ bytes; None where the system does not tell.

    Linux promises more than it has, and kills who takes it at its word: no error comes that could be caught.
    """
    try:
        told = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", told)
    return int(found[1]) * 1024 / 1e9 if found else None
