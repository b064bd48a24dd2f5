"""What scripts call: the panels' work without panels, one answer at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import dependencies
from .errors import UserError
from .few_shot_sessions import few_shot
from .parameters import MachineSettings
from .presence import deleted
from .process import shared_worker
from .registration import Inputs, Registered, RegistrationSession, put_in_scene
from .scans import image_array
from .transforms import earlier_result


@dataclass(frozen=True)
class Segmented:
    """How sure each voxel (k, j, i) is, 0…255, and the slice (array axis, index) to correct next."""

    confidence: np.ndarray
    next_slice: tuple[int, int] | None


def register(fixed: Any, moving: Any, progress: Any = None, **options: Any) -> Registered:
    """Register two volumes; see `SynthFoundationLogic.register`."""
    inputs = Inputs(fixed, moving, **(MachineSettings().network() | options))
    inputs.check()
    dependencies.ensure()
    worker = shared_worker()
    session = RegistrationSession(worker)
    ended: list[Any] = []
    session.start(inputs, ended.append, ended.append, progress)
    worker.run_until(lambda: bool(ended) or deleted(fixed, moving) is not None)
    session.close()
    result = _raised(deleted(fixed, moving) or ended[0])
    return put_in_scene(inputs, result, *earlier_result(fixed, moving))


def segment(volume: Any, segmentation: Any) -> Segmented:
    """Segment a volume from what is drawn in a segmentation; see `SynthFoundationLogic.segment`."""
    dependencies.ensure()
    worker = shared_worker()
    image_array(volume)  # says what is wrong where there is none
    session = few_shot(worker, segmentation, volume)
    ended: list[Any] = []
    session.update(lambda: ended.append(None), ended.append)
    worker.run_until(lambda: bool(ended))
    _raised(ended[0])
    return Segmented(session.confidence.copy(), session.next_slice)


def transfer(volume: Any, segmentation: Any, target: Any) -> Any:
    """Carry a segmentation to another volume; see `SynthFoundationLogic.transfer`."""
    worker = shared_worker()
    ended: list[Any] = []
    few_shot(worker, segmentation, volume).transfer(target, ended.append, ended.append)
    worker.run_until(lambda: bool(ended))
    return _raised(ended[0])


def _raised(end: Any) -> Any:
    if isinstance(end, UserError):
        raise end
    return end
