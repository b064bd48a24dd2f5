"""Segmenting from a few painted slices: what was drawn, what the worker answered, and how they meet."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from .answers import Answers, Around
from .display import visible_slices
from .errors import UserError
from .finished import looks_finished
from .geometry import matrix_of
from .parameters import MachineSettings
from .presence import deleted
from .process import Progress, Worker, WorkerError
from .scans import fingerprint, image_array
from .seeds import Seeds, Slice, Snapshot
from .segments import (
    FINISHED,
    Box,
    background,
    new_segmentation,
    prepare,
    read,
    set_status,
    stamp,
    structures,
    surroundings,
    write,
)

SLOW = 0.5  # seconds of an answer from which on the slices in view are asked for first

_names = itertools.count(1)
OnDone = Callable[[], None]
OnError = Callable[[UserError], None]


class FewShot:
    """One segmentation of one volume in the making.

    What the user draws and erases is told from the answers by comparison with the last one, and kept as
    seeds in the scene. Answers are written into the segments, in the box where they change something.
    """

    def __init__(self, worker: Worker, segmentation: Any, volume: Any) -> None:
        self._worker, self.segmentation, self.volume = worker, segmentation, volume
        self._open: tuple[int, str, tuple] | None = None  # generation of the worker, its session, of what
        self._edits = 0  # of that session
        self._request: int | None = None
        self._target: Any = None  # of the request, where it is a transfer
        self.writing = False  # whether it is itself that changes the segments
        self._glances: list[tuple[Box, np.ndarray]] = []  # parts shown already, and what was there
        self._seconds = 0.0  # of the last answer
        self.near = False  # whether that is of the surroundings of what is drawn alone
        self._begin()
        if self._seeds.restore():
            around = read(segmentation, volume, surroundings(segmentation))
            self._answers = Answers(read(segmentation, volume, structures(segmentation)), Around.of(around))
            self._known = stamp(segmentation)
        elif segmentation.GetParentTransformNode() is volume.GetParentTransformNode():
            with suppress(UserError):  # it is told with the first update
                self._look_for_a_draft(read(segmentation, volume, structures(segmentation)))

    def _begin(self) -> None:
        """Know nothing yet, on the voxels that the volume has now."""
        self._lattice = _lattice(self.volume)
        self._seeds = Seeds(self.segmentation, self.volume)
        self._answers = Answers()  # as the worker knows them
        self._known: tuple = ()  # the segments' stamp when all of them was known

    def _look_for_a_draft(self, drawn: np.ndarray) -> None:
        """Take what is drawn as a draft to correct, if it is finished or looks so."""
        finished = self.segmentation.GetAttribute(FINISHED) is not None or looks_finished(drawn)
        if finished and drawn.any() and not background(self.segmentation, self.volume).any():
            self._take_up(drawn)

    def _take_up(self, draft: np.ndarray | None) -> None:
        """Let what is drawn from now on be corrections of a draft, or of none."""
        self._seeds.draft, self._answers = draft, Answers(None if draft is None else draft.copy())
        self._known = stamp(self.segmentation)
        self.close()  # the worker's session has another one

    @property
    def busy(self) -> bool:
        """Whether it waits for the worker."""
        return self._request is not None

    @property
    def alive(self) -> bool:
        """Whether its nodes are still in the scene."""
        return deleted(self.segmentation, self.volume) is None

    @property
    def in_vain(self) -> bool:
        """Whether what is under way is for a scan that was deleted."""
        return self._target is not None and deleted(self._target) is not None

    @property
    def started(self) -> bool:
        """Whether there is an answer to accept."""
        return self._answers.labels is not None and not self._seeds.empty

    @property
    def confidence(self) -> np.ndarray | None:
        """How sure each voxel (k, j, i) is, 0…255; None before the first answer."""
        return self._answers.confidence

    @property
    def next_slice(self) -> Slice | None:
        """The slice whose labels would tell most."""
        return self._answers.next_slice

    @property
    def edits(self) -> int:
        """How many updates of the volume as it is now the worker knows."""
        return self._edits if self._is_open() and self._open[2] == self._mark() else 0

    @property
    def undoable(self) -> bool:
        """Whether there is an answer to take back."""
        return self._answers.can_go_back and self._lattice == _lattice(self.volume)

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
        image_array(self.volume)  # says what is wrong where there is none
        if self._lattice != _lattice(self.volume):
            self.close()
            self._begin()
        prepare(self.segmentation, self.volume)
        numbers = structures(self.segmentation)
        drawn, self._known = read(self.segmentation, self.volume, numbers), stamp(self.segmentation)
        if not drawn.any():
            raise UserError(_("Paint a structure on two or three slices first."))
        scribbled = read(self.segmentation, self.volume, surroundings(self.segmentation))
        around = scribbled > 0
        self._begin_with(drawn, around)
        before, begun = self._seeds.snapshot(), self._seeds.draft
        self._glances.clear()
        anew = self._seeds.take(drawn, self._answers.labels, self.next_slice, numbers)
        if self._seeds.draft is not begun:
            self.close()
        fresh = self._ensure_open()
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
            if (gone := deleted(self.segmentation, self.volume)) is not None:
                on_error(gone)
                return
            self._seeds.learn(answer["complete_slices"], answer["planes"])
            save()
            self._show(answer, drawn, scribbled, before)
            on_done()

        def failed(error: WorkerError) -> None:
            self._request = None
            if (gone := deleted(self.segmentation, self.volume)) is not None:
                on_error(gone)
                return
            self._forget_glances(drawn)
            self._seeds.reset(before)
            if error.missing and not fresh:  # the worker forgot the session to save memory
                self._open = None
                try:
                    self.update(on_done, on_error, on_progress, before_writing)
                except UserError as refused:
                    on_error(refused)
            else:
                on_error(error)

        seeds = self._seeds.request(around)
        params = {"session": self._session, "full": anew or not self._edits, **seeds}
        if not params["full"] and self._seconds > SLOW:
            in_view = visible_slices(self.volume)
            params["look_at"] = {str(axis): [i for a, i in in_view if a == axis] for axis in range(3)}
        self._request = self._worker.ask("segment_update", params, done, failed, on_progress, seen)

    def _begin_with(self, drawn: np.ndarray, around: np.ndarray) -> None:
        """Before the first update, tell a finished segmentation from what is drawn to begin with.

        Raises:
            UserError: it is finished, and not corrected yet.
        """
        if not self._seeds.empty:
            return
        if around.any():
            self._take_up(None)  # scribbles, however solid
        elif self._seeds.draft is None:
            self._look_for_a_draft(drawn)
        draft = self._seeds.draft
        if draft is not None and np.array_equal(drawn, draft):
            raise UserError(
                _(
                    "These segments look finished. Correct them on a few slices and update: the rest "
                    "follows. If they are scribbles, scribble around them as well, in a segment named "
                    "Background."
                )
            )

    def undo(self) -> None:
        """Go back at once to the answer before the last one, and to what was drawn then."""
        past = self._answers.go_back()
        labels, box = self._answers.labels, past.box
        if labels is None:
            self._paste(past.labels, box, None)
            self._seeds.clear()
        else:
            whole = tuple(slice(0, n) for n in labels.shape)
            if self.changed():  # what was painted since goes as well
                box = whole
            self._write(surroundings(self.segmentation), past.around.labels(labels.shape), whole)
            self._paste(labels[box], box, None)
            self._seeds.reset(past.seeds)
        if self._is_open() and self._edits:
            self._edits -= 1
            self._tell_undone(self._session)

    def _tell_undone(self, session: str) -> None:
        """Let the worker go back as well; where it cannot, the next update begins with all seeds again."""

        def failed(error: WorkerError) -> None:
            if self._session == session:
                self._open = None

        self._worker.ask("segment_undo", {"session": session}, lambda answer: None, failed)

    def accept(self) -> None:
        """Keep the segments as they are and forget the session; what is changed from now on corrects them."""
        set_status(self.segmentation, structures(self.segmentation), done=True)
        self._seeds.clear()
        self._take_up(read(self.segmentation, self.volume, structures(self.segmentation)))

    def cancel(self) -> None:
        """Stop the request under way."""
        if self._request is not None:
            self._worker.cancel(self._request)

    def close(self) -> None:
        """Stop, and let the worker forget the session; what was drawn stays in the scene."""
        self.cancel()
        if self._is_open():
            self._worker.tell("segment_close", {"session": self._session})
        self._open = None

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
        if not self.edits:
            raise _early()

        def done(answer: dict[str, Any]) -> None:
            self._request = self._target = None
            if (gone := deleted(self.segmentation, self.volume, target)) is not None:
                on_error(gone)
                return
            name = _("{segmentation} in {volume}").format(
                segmentation=self.segmentation.GetName(), volume=target.GetName()
            )
            made = new_segmentation(answer["labels"], target, name, self.segmentation)
            made.SetAttribute(FINISHED, "1")
            on_done(made)

        def failed(error: WorkerError) -> None:
            self._request = self._target = None
            if error.missing:  # the worker forgot the session to save memory
                self._open = None
            gone = deleted(self.segmentation, self.volume, target)
            on_error(gone or (_early() if error.missing else error))

        params = {"session": self._session, "target": self._worker.volume(target, "stored")}
        self._target = target
        self._request = self._worker.ask("segment_transfer", params, done, failed, on_progress)

    @property
    def _session(self) -> str:
        return self._open[1] if self._open else ""

    def _is_open(self) -> bool:
        return self._open is not None and self._open[0] == self._worker.generation

    def _mark(self) -> tuple:
        return fingerprint(self.volume, "stored")

    def _ensure_open(self) -> bool:
        """Open a session unless one of the volume as it is now is open; whether it is a new one."""
        if self._is_open() and self._open[2] == self._mark():
            return False
        self.close()
        self._worker.start()
        key = self._worker.volume(self.volume, "stored")
        self._open = self._worker.generation, f"segmentation-{next(_names)}", self._mark()
        self._edits = 0
        network = MachineSettings().network()
        draft = {} if self._seeds.draft is None else {"draft": self._seeds.draft}
        self._worker.tell("segment_open", {"session": self._session, "volume": key, **draft, **network})
        return True

    def _show(self, answer: dict[str, Any], drawn: np.ndarray, around: np.ndarray, before: Snapshot) -> None:
        """Write an answer into the segments, but not over what was drawn since it was asked for."""
        box, found = _box(answer), answer["next_slice"]
        proposed = (found["axis"], found["index"]) if found else None
        self._answers.take(box, answer["labels"], answer["confidence"], proposed, drawn, around, before)
        for part in (box, *(glanced for glanced, _before in self._glances)):
            self._paste(self._answers.labels[part], part, drawn)
        self._glances.clear()
        self._edits, self._seconds, self.near = answer["edits"], answer["seconds"], answer["near"]

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
        numbers, theirs = structures(self.segmentation), False
        late = self.changed() and drawn is not None
        if late:
            now = read(self.segmentation, self.volume, numbers)[box]
            theirs = now != drawn[box]
            labels = np.where(theirs, now, labels)
        self._write(numbers, labels, box)
        self._known = () if late else stamp(self.segmentation)
        return theirs

    def _write(self, numbers: dict[int, str], labels: np.ndarray, box: Box) -> None:
        self.writing = True
        try:
            write(self.segmentation, self.volume, numbers, labels, box)
        finally:
            self.writing = False


def _box(answer: dict[str, Any]) -> Box:
    return tuple(slice(a, b) for a, b in answer["box"])  # type: ignore[return-value]


def _lattice(volume: Any) -> tuple:
    """Changes whenever the voxels of a volume lie elsewhere."""
    image = volume.GetImageData()
    return image.GetDimensions() if image else (), matrix_of(volume).tobytes()


def _early() -> UserError:
    return UserError(_("Update the segmentation first; then it can be applied to other scans."))
