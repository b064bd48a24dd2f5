"""Whatever goes wrong in a request as an event: its kind, one line for the user, a detail for a report."""

from __future__ import annotations

import errno
import re
import traceback
from typing import Any

from ..errors import Cancelled, DeviceError, InputError, MemoryShortage, WeightsError, memory_shortage
from .recent import Missing

_KINDS = (
    (Cancelled, "cancelled"),
    (InputError, "input"),
    (WeightsError, "weights"),
    (DeviceError, "device"),
    (MemoryShortage, "memory"),
)
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def failure(error: BaseException, method: str) -> dict[str, Any]:
    """The fields `kind`, `message`, `detail`, and `missing` where the worker lacks a volume or session."""
    detail = "".join(traceback.format_exception(error))
    error = memory_shortage(error) or error
    for kind, name in _KINDS:
        if isinstance(error, kind):
            found: dict[str, Any] = {"kind": name, "message": _one_line(str(error)) or name, "detail": ""}
            if isinstance(error, Missing):
                found["missing"] = {error.what: error.key}
            return found
    if isinstance(error, OSError) and error.errno in _FULL:
        message = "the disk that holds temporary files is full; make room on it and try again"
        return {"kind": "memory", "message": message, "detail": detail}
    if isinstance(error, ImportError):
        name = re.sub(r"\W", "", (error.name or _raised_in(error)).split(".")[0])
        message = f"the Python package {name} is missing or does not load; install or repair what is needed"
        return {"kind": "internal", "message": message, "detail": detail}
    message = f"the work ended with an unexpected {type(error).__name__}; try again, or report it"
    return {"kind": "internal", "message": _one_line(message), "detail": f"{method}: {detail}"}


def _raised_in(error: BaseException) -> str:
    """The module that raised: a damaged library is known to its package only."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")) if trace is not None else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
