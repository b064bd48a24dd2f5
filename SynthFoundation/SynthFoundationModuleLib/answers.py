"""What was answered last, and what was there before each answer, to go back to."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from .seeds import Slice, Snapshot
from .segments import Box

MOST_BYTES = 1 << 29  # of what can be gone back to; the last answer can always be taken back


class Around(NamedTuple):
    """What is drawn around structures: flat indices (k, j, i) and the numbers of its segments."""

    where: np.ndarray
    numbers: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> Around:
        """What these labels (k, j, i) hold."""
        where = np.flatnonzero(labels)
        return cls(where, labels.ravel()[where])

    def labels(self, shape: tuple[int, ...]) -> np.ndarray:
        """The labels (k, j, i) again."""
        labels = np.zeros(shape, np.uint8)
        labels.ravel()[self.where] = self.numbers
        return labels


NOTHING = Around.of(np.zeros(0, np.uint8))


class Past(NamedTuple):
    """What an answer replaced: labels and confidence (k, j, i) of its box, the proposed slice, the seeds.

    And what was drawn around structures when the answer before it was given.
    """

    box: Box
    labels: np.ndarray
    confidence: np.ndarray | None
    next_slice: Slice | None
    seeds: Snapshot
    around: Around
    first: bool  # no answer was there before, and the labels are what was drawn


class Answers:
    """The last answer: labels, confidence 0…255, both (k, j, i) of the whole volume, and a proposed slice.

    All are None where there is none; a saved scene brings labels only. `around` is what was drawn around
    structures when it was given.
    """

    def __init__(self, labels: np.ndarray | None = None, around: Around = NOTHING) -> None:
        self.labels, self.around = labels, around
        self.confidence: np.ndarray | None = None
        self.next_slice: Slice | None = None
        self._past: deque[Past] = deque()

    @property
    def can_go_back(self) -> bool:
        """Whether what was before the last answer is still known."""
        return bool(self._past)

    def take(
        self,
        box: Box,
        labels: np.ndarray,
        confidence: np.ndarray,
        next_slice: Slice | None,
        drawn: np.ndarray,
        around: np.ndarray,
        seeds: Snapshot,
    ) -> None:
        """Take over an answer, of a box; the first one is of the whole volume.

        Args:
            box: where it differs from the one before.
            labels: in the box.
            confidence: in the box, 0…255.
            next_slice: that it proposes.
            drawn: labels (k, j, i) of the whole volume that it was asked for.
            around: the same of the segments around structures.
            seeds: as they were before that.
        """
        first = self.labels is None
        before = drawn if self.labels is None else self.labels
        sure = None if self.confidence is None else self.confidence[box].copy()
        self._remember(Past(box, before[box].copy(), sure, self.next_slice, seeds, self.around, first))
        if self.labels is None:
            self.labels = np.zeros(drawn.shape, np.uint8)
        if self.confidence is None:
            self.confidence = np.zeros(drawn.shape, np.uint8)
        self.labels[box], self.confidence[box], self.next_slice = labels, confidence, next_slice
        self.around = Around.of(around)

    def go_back(self) -> Past:
        """Forget the last answer; what it replaced."""
        past = self._past.pop()
        self.next_slice, self.around = past.next_slice, past.around
        if past.first or self.labels is None:
            self.labels = None
        else:
            self.labels[past.box] = past.labels
        if past.confidence is None or self.confidence is None:
            self.confidence = None
        else:
            self.confidence[past.box] = past.confidence
        return past

    def _remember(self, past: Past) -> None:
        self._past.append(past)
        while len(self._past) > 1 and sum(map(_size, self._past)) > MOST_BYTES:
            self._past.popleft()


def _size(past: Past) -> int:
    arrays = past.labels, past.confidence, past.seeds.where, past.seeds.values, *past.around
    return sum(array.nbytes for array in arrays if array is not None)
