"""Every way in which this library says no.

A message says in one line what was given, what is allowed and what to do; a caller shows it as it is.
"""

from __future__ import annotations

import re


class SynthFoundationError(Exception):
    """Base of all errors that a user can act upon; `exit_code` is what the command line ends with."""

    exit_code = 1


class InputError(SynthFoundationError, ValueError):
    """An image, label map, transform, landmark file or option cannot be used as it is."""

    exit_code = 2


class MemoryBoundError(InputError):
    """The memory that was allowed is too little for the work."""


class WeightsError(SynthFoundationError):
    """Weights are missing, damaged, of another architecture or not what their checksum promises."""

    exit_code = 3


class DeviceError(SynthFoundationError):
    """The device asked for is not there or has too little memory."""

    exit_code = 3


class MemoryShortage(SynthFoundationError, MemoryError):
    """This machine or the device has too little memory."""

    exit_code = 3


class Cancelled(SynthFoundationError):
    """The user asked to stop."""

    exit_code = 130


_ALLOCATION = re.compile(
    r"DefaultCPUAllocator|allocate memory|Unable to allocate|bad_alloc|out of memory|bad allocation", re.I
)
_AMOUNT = re.compile(r"allocate (?P<amount>[\d.]+) ?(?P<unit>bytes|[KMGT]i?B)")
_UNITS = {"b": 1.0, "k": 2.0**10, "m": 2.0**20, "g": 2.0**30, "t": 2.0**40}


def memory_shortage(error: BaseException) -> MemoryShortage | None:
    """The error as a `MemoryShortage` if NumPy, torch, ITK or Python had too little memory, else None."""
    if isinstance(error, MemoryShortage):
        return error
    refused = isinstance(error, RuntimeError) and _ALLOCATION.search(str(error))
    if not refused and not isinstance(error, MemoryError):
        return None
    amount = _AMOUNT.search(str(error))
    needed = ""
    if amount:
        gigabytes = float(amount["amount"]) * _UNITS[amount["unit"][0].lower()] / 1e9
        needed = f": {gigabytes:.2f} GB more were needed in one piece"
    return MemoryShortage(
        f"there is not enough memory{needed}; close other programs, give smaller or coarser images, "
        "or use the preset 'fast'"
    )
