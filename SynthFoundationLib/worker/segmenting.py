"""Few-shot segmentation by request; only what an edit changed travels back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..devices import chosen
from ..errors import InputError
from ..features.extract import FeatureVolume
from ..features.weights import Weights
from ..images import Image, LabelMap
from ..segmentation import FewShotSession, Result, segment_from_support
from ..segmentation.boxes import around
from ..segmentation.support import CONTRASTS
from .desk import DEVICES, extracted, release
from .job import plain_grid

if TYPE_CHECKING:
    from .desk import Desk
    from .job import Job

_FEATURES = ("auto", "none", "learned", "mind", "learned+mind")
_MOST_LABELS = 65_535


@dataclass(eq=False)
class Segmenting:
    """An open session and what the client has of it: labels and confidence, 0…255."""

    session: FewShotSession
    learned: Callable[[Image], Image] | None
    device: str
    labels: np.ndarray = field(init=False)
    confidence: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """Start from nothing labelled and nothing known."""
        shape = self.session.grid.shape
        self.labels, self.confidence = np.zeros(shape, np.uint16), np.zeros(shape, np.uint8)


def open_session(job: Job, desk: Desk) -> dict[str, Any]:
    """Open a session on a scan; one of the same name is replaced."""
    params = job.params
    name, volume = params.text("session"), params.text("volume")
    image = desk.volumes.get(volume)
    backend = params.choice("features", _FEATURES, "auto")
    device = params.choice("device", DEVICES, "auto")
    chosen(device)
    weights = None if backend == "none" else desk.network(job, backend)
    extra = learned = None
    if weights is not None:  # self-similarity is part of every session; only a network adds to it
        extra = _image(desk.features(volume, "learned", weights, device))
        learned = partial(_learned, weights, device)
    draft = job.params.optional_array("draft")
    begun = None if draft is None else (draft, image.grid)
    desk.segmentations.put(name, Segmenting(FewShotSession(image, extra, draft=begun), learned, device))
    return {}


def update(job: Job, desk: Desk) -> dict[str, Any]:
    """Segment from all that is labelled now."""
    start = time.perf_counter()
    open_ = desk.segmentations.get(job.params.text("session"))
    seeds = _seeds(job, open_)
    background = job.params.whole("background", 1, _MOST_LABELS, None)
    complete = _complete_slices(job)
    glances = _slices(job, "look_at") if job.params.get("look_at") else []
    full = job.params.flag("full", False)

    def show(one: tuple[int, int], labels: torch.Tensor) -> None:
        axis, index = one
        box = [slice(0, n) for n in open_.labels.shape]
        box[axis] = slice(index, index + 1)
        job.show_part("glance", 0.0, box, np.expand_dims(_small(labels.numpy()), axis))

    with torch.no_grad(), open_.session.transaction():
        result = open_.session.update((seeds, open_.session.grid), complete, background, glances, show)
        return _answer(job, open_, result, full, start)


def undo(job: Job, desk: Desk) -> dict[str, Any]:
    """Take back the last update."""
    start = time.perf_counter()
    open_ = desk.segmentations.get(job.params.text("session"))
    full = job.params.flag("full", False)
    with torch.no_grad(), open_.session.transaction():
        return _answer(job, open_, open_.session.undo(), full, start)


def close(job: Job, desk: Desk) -> dict[str, Any]:
    """Forget a session."""
    closed = desk.segmentations.drop(job.params.text("session"))
    if closed:
        release()
    return {"closed": closed}


def transfer(job: Job, desk: Desk) -> dict[str, Any]:
    """Carry the labels of a session to another scan, and let the head that knows them correct them there."""
    start = time.perf_counter()
    open_ = desk.segmentations.get(job.params.text("session"))
    target = desk.volumes.get(job.params.text("target"))
    contrast: Any = job.params.choice("contrast", CONTRASTS, "auto")
    if not open_.labels.any():
        raise InputError("segment_transfer: the session has no labels yet; update it first")
    image = open_.session.image
    labels = LabelMap(torch.from_numpy(open_.labels.astype(np.int32)), image.grid)
    result = segment_from_support(
        target,
        [image],
        [labels],
        contrast=contrast,
        features=open_.learned,
        progress=job.progress,
        device=open_.device,
    )
    return {
        "labels": job.send_array(_small(result.labels.data.numpy())),
        "confidence": job.send_array(_bytes(result)),
        "grid": plain_grid(target.grid),
        "seconds": round(time.perf_counter() - start, 3),
    }


def _learned(weights: Weights, device: str, image: Image) -> Image:
    return _image(extracted(image, "learned", weights, device))


def _image(features: FeatureVolume) -> Image:
    return Image(features.data, features.grid)


def _seeds(job: Job, open_: Segmenting) -> np.ndarray:
    """The seeds on the whole volume; a client may send the box that holds them all."""
    shape = open_.session.grid.shape
    box = job.params.box("seeds_box", shape) or tuple(slice(0, n) for n in shape)
    part = job.params.array("seeds")
    if part.shape != tuple(one.stop - one.start for one in box):
        raise job.params.wrong("seeds", f"have shape {part.shape}; the volume or box has another")
    seeds = np.zeros(shape, np.int32)
    with np.errstate(invalid="ignore"):
        seeds[box] = part
    if not np.array_equal(seeds[box], part):
        raise job.params.wrong("seeds", "must be whole numbers from 0 to 65,535")
    return seeds


def _complete_slices(job: Job) -> Any:
    value = job.params.get("complete_slices")
    if value is None or value in ("auto", "none"):
        return value or "auto"
    return _slices(job, "complete_slices", '"auto", "none" or ')


def _slices(job: Job, name: str, others: str = "") -> list[tuple[int, int]]:
    """Slices given as {axis: [indices]} → (axis, index)."""
    value = job.params.get(name)
    if not isinstance(value, dict) or not value.keys() <= {"0", "1", "2"}:
        raise job.params.wrong(name, f"must be {others}{{axis 0, 1 or 2: [indices]}}")
    for indices in value.values():
        if not isinstance(indices, list) or any(type(one) is not int for one in indices):
            raise job.params.wrong(name, "must list whole numbers for each axis")
    return [(int(axis), index) for axis, indices in value.items() for index in indices]


def _answer(job: Job, open_: Segmenting, result: Result | None, full: bool, start: float) -> dict[str, Any]:
    if result is None:
        labels, sure = np.zeros_like(open_.labels), np.zeros_like(open_.confidence)
    else:
        labels, sure = result.labels.data.numpy().astype(np.uint16), _bytes(result)
    changed = (labels != open_.labels) | (sure != open_.confidence)
    box = tuple(slice(0, n) for n in labels.shape) if full else around(changed)
    answer = {
        "box": [[one.start, one.stop] for one in box],
        "labels": job.send_array(_small(labels[box])),
        "confidence": job.send_array(sure[box]),
        "next_slice": _slice(result.next_slice) if result else None,
        "complete_slices": [_slice(one) for one in result.complete_slices] if result else [],
        "planes": result.planes if result else [],
        "near": result.near if result else False,
        "edits": open_.session.edits,
        "seconds": round(time.perf_counter() - start, 3),
    }
    open_.labels, open_.confidence = labels, sure
    return answer


def _slice(one: tuple[int, int] | None) -> dict[str, int] | None:
    return None if one is None else {"axis": int(one[0]), "index": int(one[1])}


def _small(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16)


def _bytes(result: Result) -> np.ndarray:
    """Confidence in 0…255."""
    return result.confidence.data[0].mul(255).add_(0.5).byte().numpy()
