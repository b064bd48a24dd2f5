"""What is installed and whether it works, and how to free memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..health import CHECKS, equipment, tried
from ..installation import installed

if TYPE_CHECKING:
    from .desk import Desk
    from .job import Job


def doctor(job: Job, desk: Desk) -> dict[str, Any]:
    """Versions, devices, weights, and the result of trying things out."""
    test = job.params.flag("self_test", True)
    results = [tried(name, job.progress) for name in CHECKS] if test else []
    return {**installed(), **equipment(), "self_test": results}


def clear_cache(job: Job, desk: Desk) -> dict[str, Any]:
    """Forget features and networks; scans and sessions stay."""
    freed = desk.state()["feature_bytes"]
    desk.clear()
    return {"freed_bytes": freed}
