"""What the user has drawn, told apart from what was answered, and kept in the scene."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import slicer
from slicer.i18n import tr as _

from .hidden import hidden_labels, keep_hidden, remove_hidden

BACKGROUND = 255  # in the seeds: drawn as nothing
GONE_BACK = 0.05  # share of the answer below which it was undone rather than corrected
AT_ONCE = 3  # slices that a user goes through between two updates
CORRECTED = 0.3  # where it is more, share of a slice's labels that must have been redrawn to take it as meant

_REFERENCE = "SynthFoundation.Seeds"  # node reference of the segmentation
_DRAFT = "SynthFoundation.Draft"  # the same for what it was before it was corrected
_COMPLETE = "SynthFoundation.Complete"  # attribute of the seeds: "axis:index …"

Slice = tuple[int, int]  # array axis 0, 1 or 2 of (k, j, i), and index


def remove_seeds(segmentation: Any) -> None:
    """Take what was drawn in a segmentation, and what was corrected, out of the scene."""
    for role in (_REFERENCE, _DRAFT):
        remove_hidden(segmentation, role)


class Snapshot(NamedTuple):
    """Seeds at one time: flat indices and values of those that are set, and the complete slices."""

    where: np.ndarray
    values: np.ndarray
    complete: frozenset[Slice]
    known: bool


class Seeds:
    """Seeds (k, j, i) uint8 on the voxels of the volume: 0 not drawn, a segment's number, or BACKGROUND.

    They lie in a hidden label map of the scene, so that a saved scene can be gone on with. So does the
    `draft`, where a finished segmentation is corrected; its labels are no seeds.
    """

    def __init__(self, segmentation: Any, volume: Any) -> None:
        self._segmentation, self._volume = segmentation, volume
        self._complete: set[Slice] = set()
        self._known = False  # whether complete slices have been found already
        self._numbers: set[int] | None = None  # the segments that there were
        self._array = np.zeros(volume.GetImageData().GetDimensions()[::-1], np.uint8)
        self.draft: np.ndarray | None = None
        self._kept: np.ndarray | None = None  # the draft that the scene holds

    @property
    def empty(self) -> bool:
        """Whether nothing is drawn yet."""
        return not self._array.any()

    def restore(self) -> bool:
        """Take the seeds that the scene holds; whether there are any for this volume."""
        node, begun = (hidden_labels(self._segmentation, role) for role in (_REFERENCE, _DRAFT))
        if node is None or slicer.util.arrayFromVolume(node).shape != self._array.shape:
            return False
        self._array[:] = slicer.util.arrayFromVolume(node)
        if begun is not None:
            self.draft = self._kept = slicer.util.arrayFromVolume(begun).copy()
        pairs = [pair.split(":") for pair in (node.GetAttribute(_COMPLETE) or "").split()]
        self._complete, self._known = {(int(axis), int(index)) for axis, index in pairs}, True
        return not self.empty

    def _forget_others(self, numbers: Collection[int]) -> None:
        """Forget the labels of segments that were removed."""
        before, self._numbers = self._numbers, set(numbers)
        if before is not None and before <= self._numbers:
            return
        known = np.zeros(256, bool)
        known[[0, BACKGROUND, *numbers]] = True
        self._array[~known[self._array]] = 0
        if self.draft is not None and not known[self.draft].all():
            self.draft = np.where(known[self.draft], self.draft, np.uint8(0))

    def take(
        self, drawn: np.ndarray, answer: np.ndarray | None, proposed: Slice | None, numbers: Collection[int]
    ) -> bool:
        """Add what was drawn and erased since the last answer; whether it is a new beginning.

        Args:
            drawn: labels (k, j, i) of the segments now.
            answer: the last answer, or the draft; None where there is none and all is drawn.
            proposed: the slice that the user was asked to look at.
            numbers: the segments that there are.
        """
        anew = answer is None or self._undone(drawn, answer)
        if not anew:
            changed = drawn != answer
            now = drawn[changed]
            self._array[changed] = np.where(now == 0, BACKGROUND, now)
            for axis, index in self._corrected(changed, drawn, proposed):
                np.moveaxis(self._array, axis, 0)[index] = np.moveaxis(drawn, axis, 0)[index]
                self._complete.add((axis, index))
            self._forget_others(numbers)
        if anew or (self.draft is None and not self._structures.any()):  # only background is left
            anew, self.draft = True, None
            self._array[:] = drawn
            self._complete, self._known = set(), False
        self._keep()
        return anew

    def learn(self, complete: list[dict[str, int]], planes: Sequence[Sequence[float]] = ()) -> None:
        """Take over which slices the worker took as drawn completely.

        What is empty in `planes` across the slices counts as drawn as nothing from then on; they are given as
        (k, j, i, offset, half), where |(k, j, i) · voxel − offset| ≤ half.
        """
        if self._known:
            return
        self._complete, self._known = {(one["axis"], one["index"]) for one in complete}, True
        if self.draft is not None:
            copy = self._copy
            for axis, index in self._complete:
                np.moveaxis(self._array, axis, 0)[index] = np.moveaxis(copy, axis, 0)[index]
        for k, j, i, offset, half in planes:
            rows, columns = (np.arange(n) for n in self._array.shape[1:])
            within = j * rows[:, None] + i * columns - offset
            for index, drawn in enumerate(self._array):
                drawn[(np.abs(within + k * index) <= half) & (drawn == 0)] = BACKGROUND
        self._keep()

    @property
    def _structures(self) -> np.ndarray:
        return (self._array != 0) & (self._array != BACKGROUND)

    @property
    def _copy(self) -> np.ndarray:
        """The draft as it was corrected."""
        return np.where(self._array == 0, self.draft, self._array % BACKGROUND)

    def request(self, around: np.ndarray) -> dict[str, Any]:
        """The seeds as the worker takes them, with what is drawn `around` structures, bool (k, j, i)."""
        if self.draft is not None and not self._known:  # what differs is found in a corrected copy of it
            whole = [[0, n] for n in self.draft.shape]
            return {"seeds": self._copy, "seeds_box": whole, "complete_slices": "auto", "background": None}
        array = self._array
        if scribbled := bool(around.any()):
            array = np.where((array == 0) & around, np.uint8(BACKGROUND), array)
        held = [np.flatnonzero(array.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        box = [[int(one[0]), int(one[-1]) + 1] for one in held]
        part = array[tuple(slice(a, b) for a, b in box)]
        background = BACKGROUND if (part == BACKGROUND).any() else None
        complete: Any = "none" if scribbled or self.draft is not None else "auto"
        if self._complete or (self._known and background):
            complete = {str(axis): sorted(i for a, i in self._complete if a == axis) for axis in range(3)}
        return {"seeds": part, "seeds_box": box, "complete_slices": complete, "background": background}

    def snapshot(self) -> Snapshot:
        """The seeds as they are, in little memory."""
        where = np.flatnonzero(self._array)
        return Snapshot(where, self._array.ravel()[where], frozenset(self._complete), self._known)

    def reset(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self._array[:] = 0
        self._array.ravel()[snapshot.where] = snapshot.values
        self._complete, self._known = set(snapshot.complete), snapshot.known
        self._keep()

    def clear(self) -> None:
        """Forget all seeds, also in the scene."""
        self._array[:] = 0
        self._complete, self._known, self.draft, self._kept = set(), False, None, None
        remove_seeds(self._segmentation)

    def _undone(self, drawn: np.ndarray, answer: np.ndarray) -> bool:
        """Whether hardly anything of the answer is left: the Segment Editor's own undo has taken it back."""
        answered = (answer != 0) & (self._array == 0)
        count, left = np.count_nonzero(answered), np.count_nonzero(answered & (drawn != 0))
        return left < GONE_BACK * count

    def _corrected(self, changed: np.ndarray, drawn: np.ndarray, proposed: Slice | None) -> set[Slice]:
        """Slices that were looked at as a whole, along the axes of those drawn so far.

        Whoever corrects a few slices leaves them as they should be. Tools that reach through many slices
        say so only of those that they mostly redraw. Where nothing but scribbles is drawn, none is complete.
        """
        found = set()
        for axis in sorted({axis for axis, _index in self._complete}):
            others = tuple({0, 1, 2} - {axis})
            touched, labelled = changed.sum(others), (drawn != 0).sum(others)
            few = np.count_nonzero(touched) <= AT_ONCE
            enough = (touched > 0) & (few | (touched >= CORRECTED * labelled))
            found |= {(axis, int(index)) for index in np.flatnonzero(enough)}
        if (
            proposed is not None
            and self._complete
            and np.moveaxis(changed, proposed[0], 0)[proposed[1]].any()
        ):
            found.add(proposed)
        return found

    def _keep(self) -> None:
        """Write the seeds, and the draft if it is another one, into the scene."""
        segmentation, volume = self._segmentation, self._volume
        name = _("Drawn in {segmentation}").format(segmentation=segmentation.GetName())
        node = keep_hidden(segmentation, volume, _REFERENCE, name, self._array)
        pairs = " ".join(f"{axis}:{index}" for axis, index in sorted(self._complete))
        node.SetAttribute(_COMPLETE, pairs)
        if self.draft is None:
            remove_hidden(segmentation, _DRAFT)
        elif self.draft is not self._kept:
            name = _("Draft of {segmentation}").format(segmentation=segmentation.GetName())
            keep_hidden(segmentation, volume, _DRAFT, name, self.draft)
        self._kept = self.draft
