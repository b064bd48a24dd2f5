"""Segmenting from a few painted slices: what was drawn, what the worker answered, and how they meet."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from .display import visible_slices
from .errors import UserError
from .parameters import MachineSettings
from .process import OnError, Progress, Worker, WorkerError
from .seeds import Seeds
from .segments import Box, new_segmentation, numbered, prepare, read, set_status, stamp, write

SLOW = 0.5  # seconds of an answer from which on the slices in view are asked for first

_names = itertools.count(1)
OnDone = Callable[[], None]


class FewShot:
    """One segmentation of one volume in the making.

    What the user draws and erases is told from the answers by comparison with the last one, and kept as
    seeds in the scene. Answers are written into the segments, in the box where they change something.
    """

    def __init__(self, worker: Worker, segmentation: Any, volume: Any) -> None:
        self._worker, self.segmentation, self.volume = worker, segmentation, volume
        self._seeds = Seeds(segmentation, volume)
        self._answer: np.ndarray | None = None  # the segments as the worker knows them
        self._confidence: np.ndarray | None = None
        self._open: tuple[int, str] | None = None  # (generation of the worker, its session)
        self._request: int | None = None
        self.next_slice: tuple[int, int] | None = None
        self.edits = 0
        self.writing = False  # whether it is itself that changes the segments
        self._known: tuple = ()  # the segments' stamp when all of them was known
        self._glances: list[tuple[Box, np.ndarray]] = []  # parts shown already, and what was there
        self._seconds = 0.0  # of the last answer
        if self._seeds.restore():
            self._answer = read(segmentation, volume, numbered(segmentation))
            self._known = stamp(segmentation)

    @property
    def busy(self) -> bool:
        """Whether it waits for the worker."""
        return self._request is not None

    @property
    def alive(self) -> bool:
        """Whether its nodes are still in the scene."""
        return self.segmentation.GetScene() is not None and self.volume.GetScene() is not None

    @property
    def started(self) -> bool:
        """Whether there is an answer to accept."""
        return self._answer is not None

    @property
    def confidence(self) -> np.ndarray | None:
        """How sure each voxel (k, j, i) is, 0…255; None before the first answer."""
        return self._confidence

    def changed(self) -> bool:
        """Whether anything was drawn or erased since it was last looked at."""
        return stamp(self.segmentation) != self._known

    def update(
        self,
        on_done: OnDone,
        on_error: OnError,
        on_progress: Progress | None = None,
        before_writing: OnDone = lambda: None,
    ) -> None:
        """Segment from all that is drawn now; `before_writing` is called when segments are about to change.

        Raises:
            UserError: nothing is drawn, or the segmentation cannot be used.
        """
        prepare(self.segmentation, self.volume)
        numbers = numbered(self.segmentation)
        drawn, self._known = read(self.segmentation, self.volume, numbers), stamp(self.segmentation)
        if not drawn.any():
            raise UserError(_("Paint a structure on two or three slices first."))
        fresh = self._ensure_open()
        before = self._seeds.snapshot()
        self._glances.clear()
        anew = self._seeds.take(drawn, self._answer, self.next_slice, numbers)
        set_status(self.segmentation, numbers, done=False)

        def save() -> None:
            if not self._glances:  # nothing was written yet
                before_writing()

        def seen(part: dict[str, Any]) -> None:
            if self.alive:
                save()
                self._glance(part, drawn)

        def done(answer: dict[str, Any]) -> None:
            self._request = None
            if self.alive:
                self._seeds.push(before)
                self._seeds.learn(answer["complete_slices"])
                save()
                self._show(answer, drawn)
                on_done()

        def failed(error: WorkerError) -> None:
            self._request = None
            if not self.alive:
                return
            self._forget_glances(drawn)
            self._seeds.reset(before)
            if error.missing and not fresh:  # the worker forgot the session to save memory
                self._open = None
                self.update(on_done, on_error, on_progress, before_writing)
            else:
                on_error(error)

        params = {"session": self._session, "full": fresh or anew, **self._seeds.request()}
        if not params["full"] and self._seconds > SLOW:
            in_view = visible_slices(self.volume)
            params["look_at"] = {str(axis): [i for a, i in in_view if a == axis] for axis in range(3)}
        self._request = self._worker.ask("segment_update", params, done, failed, on_progress, seen)

    def undo(self, on_done: OnDone, on_error: OnError) -> None:
        """Go back to the answer before the last one, and to what was drawn then."""

        def done(answer: dict[str, Any]) -> None:
            self._request = None
            if not self.alive:
                return
            self._seeds.pop()
            if answer["edits"] == 0:
                answer |= {"labels": self._seeds.first_drawing(), "box": self._whole_box()}
                answer["confidence"] = np.zeros(answer["labels"].shape, np.uint8)
            self._show(answer, None)
            if answer["edits"] == 0:
                self._seeds.clear()
                self._answer = self._confidence = None
            on_done()

        def failed(error: WorkerError) -> None:
            self._request = None
            self._open, self.edits = None, 0
            on_error(error)

        self._request = self._worker.ask(
            "segment_undo", {"session": self._session, "full": True}, done, failed
        )

    def accept(self) -> None:
        """Keep the segments as they are and forget the session."""
        set_status(self.segmentation, numbered(self.segmentation), done=True)
        self.close()
        self._seeds.clear()
        self._answer = self._confidence = self.next_slice = None

    def cancel(self) -> None:
        """Stop the request under way."""
        if self._request is not None:
            self._worker.cancel(self._request)

    def close(self) -> None:
        """Stop, and let the worker forget the session; what was drawn stays in the scene."""
        self.cancel()
        if self._is_open():
            self._worker.tell("segment_close", {"session": self._session})
        self._open, self.edits = None, 0

    def transfer(
        self,
        target: Any,
        on_done: Callable[[Any], None],
        on_error: OnError,
        on_progress: Progress | None = None,
    ) -> None:
        """Segment the same structures in another volume; `on_done` gets the new segmentation node.

        Raises:
            UserError: there is no answer yet, or the volume cannot be used.
        """
        if not self._is_open() or not self.edits:
            raise UserError(_("Update the segmentation first; then it can be applied to other scans."))

        def done(answer: dict[str, Any]) -> None:
            self._request = None
            if self.alive and target.GetScene() is not None:
                name = _("{segmentation} in {volume}").format(
                    segmentation=self.segmentation.GetName(), volume=target.GetName()
                )
                on_done(new_segmentation(answer["labels"], target, name, self.segmentation))

        def failed(error: WorkerError) -> None:
            self._request = None
            on_error(error)

        params = {"session": self._session, "target": self._worker.volume(target, "stored")}
        self._request = self._worker.ask("segment_transfer", params, done, failed, on_progress)

    @property
    def _session(self) -> str:
        return self._open[1] if self._open else ""

    def _is_open(self) -> bool:
        return self._open is not None and self._open[0] == self._worker.generation

    def _ensure_open(self) -> bool:
        """Open a session unless one is; whether it is a new one."""
        if self._is_open():
            return False
        self._worker.start()
        key = self._worker.volume(self.volume, "stored")
        self._open, self.edits = (self._worker.generation, f"segmentation-{next(_names)}"), 0
        self._seeds.forget_history()
        network = MachineSettings().network()
        self._worker.tell("segment_open", {"session": self._session, "volume": key, **network})
        return True

    def _show(self, answer: dict[str, Any], drawn: np.ndarray | None) -> None:
        """Write an answer into the segments, but not over what was drawn since it was asked for."""
        box = _box(answer)
        shape = self.volume.GetImageData().GetDimensions()[::-1]
        if self._answer is None or self._answer.shape != shape:
            self._answer = np.zeros(shape, np.uint8)
        if self._confidence is None or self._confidence.shape != shape:
            self._confidence = np.zeros(shape, np.uint8)
        self._answer[box], self._confidence[box] = answer["labels"], answer["confidence"]
        for part in (box, *(glanced for glanced, _before in self._glances)):
            self._paste(self._answer[part], part, drawn)
        self._glances.clear()
        found = answer["next_slice"]
        self.next_slice = (found["axis"], found["index"]) if found else None
        self.edits, self._seconds = answer["edits"], answer["seconds"]

    def _glance(self, part: dict[str, Any], drawn: np.ndarray) -> None:
        """Show a part of the answer before the rest comes; `drawn` then holds it, as it is not the user's."""
        box, labels = _box(part), np.asarray(part["labels"], np.uint8)
        before = drawn[box].copy()
        theirs = self._paste(labels, box, drawn)
        drawn[box] = np.where(theirs, before, labels)
        self._glances.append((box, before))

    def _forget_glances(self, drawn: np.ndarray) -> None:
        """Put back what was there before the parts that were shown; the rest does not come."""
        while self._glances:
            box, before = self._glances.pop()
            self._paste(before, box, drawn)
            drawn[box] = before

    def _paste(self, labels: np.ndarray, box: Box, drawn: np.ndarray | None) -> np.ndarray | bool:
        """Write labels into a box of the segments, but not over what differs from what was `drawn`: where."""
        numbers, theirs = numbered(self.segmentation), False
        late = self.changed() and drawn is not None
        if late:
            now = read(self.segmentation, self.volume, numbers)[box]
            theirs = now != drawn[box]
            labels = np.where(theirs, now, labels)
        self.writing = True
        try:
            write(self.segmentation, self.volume, numbers, labels, box)
        finally:
            self.writing = False
        self._known = () if late else stamp(self.segmentation)
        return theirs

    def _whole_box(self) -> list[list[int]]:
        return [[0, n] for n in self.volume.GetImageData().GetDimensions()[::-1]]


def _box(answer: dict[str, Any]) -> Box:
    return tuple(slice(a, b) for a, b in answer["box"])  # type: ignore[return-value]


_sessions: dict[tuple[str, str], FewShot] = {}


def few_shot(worker: Worker, segmentation: Any, volume: Any) -> FewShot:
    """The session of this segmentation and volume, shared by the panel and the Segment Editor effect."""
    place = (segmentation.GetID(), volume.GetID())
    known = _sessions.get(place)
    if known is None or known.segmentation is not segmentation or known.volume is not volume:
        known = _sessions[place] = FewShot(worker, segmentation, volume)
    return known


def forget_sessions() -> None:
    """Forget all sessions; the scene is about to go."""
    for session in _sessions.values():
        session.close()
    _sessions.clear()
