"""The methods that do heavy work, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from . import health, registering, samples, segmenting, viewing
from .desk import Desk
from .interruptible import Interruptible
from .server import Method

if TYPE_CHECKING:
    from .job import Job

_NETWORK = ("features", "weights", "device")
_REGISTER = ("session", "fixed", "moving", "transform", "preset", *_NETWORK, "seed", "initial")
_GUIDES = ("fixed_mask", "moving_mask", "fixed_landmarks", "moving_landmarks", "stiffness")
_ANSWER = Callable[["Job", Desk], "dict[str, Any]"]


def put_volume(job: Job, desk: Desk) -> dict[str, Any]:
    """Keep a scan under a key."""
    grid, key = job.params.grid("grid"), job.params.text("key")
    desk.put_volume(key, job.params.array("array"), grid)
    return {}


def drop_volume(job: Job, desk: Desk) -> dict[str, Any]:
    """Forget a scan."""
    return {"dropped": desk.drop_volume(job.params.text("key"))}


# What each method takes; README.md says what it means.
TABLE: dict[str, tuple[_ANSWER, tuple[str, ...]]] = {
    "put_volume": (put_volume, ("key", "array", "grid")),
    "drop_volume": (drop_volume, ("key",)),
    "register": (
        registering.register,
        (*_REGISTER, *_GUIDES),
    ),
    "update_registration": (registering.update, ("session", *_GUIDES)),
    "registration_maps": (registering.maps, ("session", "what")),
    "carry_labels": (registering.carry_labels, ("session", "array", "grid")),
    "carry_points": (registering.carry_points, ("session", "points", "to")),
    "close_registration": (registering.close, ("session",)),
    "segment_open": (segmenting.open_session, ("session", "volume", "draft", *_NETWORK)),
    "segment_update": (
        segmenting.update,
        ("session", "seeds", "seeds_box", "complete_slices", "background", "look_at", "full"),
    ),
    "segment_undo": (segmenting.undo, ("session", "full")),
    "segment_close": (segmenting.close, ("session",)),
    "segment_transfer": (segmenting.transfer, ("session", "target", "contrast")),
    "feature_picture": (viewing.feature_picture, ("volume", *_NETWORK)),
    "sample_pair": (samples.sample_pair, ("small", "seed")),
    "doctor": (health.doctor, ("self_test",)),
    "clear_cache": (health.clear_cache, ()),
}


def methods(hold_gb: float) -> tuple[Mapping[str, Method], Callable[[], dict[str, Any]]]:
    """The methods on a new desk, and what tells the state of that desk."""
    desk = Desk(hold_gb)
    return {name: partial(_carry_out, *entry, desk) for name, entry in TABLE.items()}, desk.state


def _carry_out(answer: _ANSWER, takes: tuple[str, ...], desk: Desk, job: Job) -> dict[str, Any]:
    job.params.refuse_others(takes)
    stops_itself = answer in (registering.register, registering.update)
    with nullcontext() if stops_itself else Interruptible(job.check):
        return answer(job, desk)
