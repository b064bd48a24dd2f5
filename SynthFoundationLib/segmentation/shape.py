"""The shape a structure must have between slices that are labelled completely.

Each label's signed distance in a labelled slice is carried along the tracks of the image to the slices in
between, where the two sides are blended. A structure that one side lacks ends somewhere on the way there.
"""

from __future__ import annotations

import builtins
import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from .tracking import Tracks, warped

DRIFT = 0.5  # how much less certain a border becomes, mm per mm from the labelled slice
IMPOSSIBLE = -12.0  # log-odds of a label that no labelled slice nearby has
CHUNK = 4_000_000  # values computed at a time
ROUND = 0.75  # a structure seen in one slice only reaches this many diameters beyond it


@dataclass
class LabelledSlice:
    """One completely labelled slice: signed distances (n, H, W) in mm, inside positive.

    `present` are the labels with a border in the slice; a slice of one label has none, and is `only` that.
    """

    index: int
    distances: Tensor
    present: np.ndarray
    digest: bytes
    only: int | None = None

    @classmethod
    def of(cls, index: int, labels: np.ndarray, count: int, spacing: tuple[float, float]) -> LabelledSlice:
        """Measure a slice of labels (H, W) in 0 … count-1."""
        assert labels.min() >= 0, "a slice that is not labelled completely"
        distances = np.full((count, *labels.shape), np.nan, np.float32)
        for label in np.unique(labels):
            inside = labels == label
            if inside.all():
                continue  # no border to measure from
            distances[label] = distance_transform_edt(inside, spacing)
            distances[label] -= distance_transform_edt(~inside, spacing)
        present = np.isfinite(distances[:, 0, 0])
        only = None if present.any() else int(labels.flat[0])
        return cls(index, torch.from_numpy(np.nan_to_num(distances)), present, digest(labels), only)

    def reach(self, spacing: tuple[float, float]) -> float:
        """How far the structures of this slice may go on where no other slice says, mm."""
        areas = (self.distances[1:] > 0).sum((1, 2)) * spacing[0] * spacing[1]
        return ROUND * float((4 * areas.max() / torch.pi).sqrt()) if len(areas) else 0.0


def digest(array: np.ndarray) -> bytes:
    """A fingerprint of what an array holds."""
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest()


class ShapePrior:
    """Log-odds of every label in the slices along one axis; a change recomputes only the slabs beside it."""

    def __init__(self, tracks: Tracks, axis: int, shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
        """Take the tracks along an array axis of a volume of that shape and spacing in mm, (D, H, W)."""
        order = (axis, *(a for a in range(3) if a != axis))
        self.tracks, self.axis, self.shape = tracks, axis, shape
        self.depth, self.spacing = shape[axis], tuple(spacing[a] for a in order)
        self._measured: dict[tuple, LabelledSlice] = {}
        self._odds = torch.empty(0)
        self._filled: set[tuple] = set()

    def volume(self, slices: dict[int, np.ndarray], count: int, alone: bool = False) -> tuple[Tensor, Tensor]:
        """Log-odds (D, H, W, count) float16, reused by the next call, and uncertainty (slices,) in mm.

        Args:
            slices: slice index → labels in 0 … count-1, the other two axes in their order.
            count: number of labels, the background among them.
            alone: whether the first and the last of these say no more of how far structures go on beyond
                them than an only one does, however near the next is.
        """
        labelled = self._measure(slices, count)
        if self._odds.shape[-1:] != (count,):
            self._odds, self._filled = torch.empty(*self.shape, count, dtype=torch.float16), set()
        stack = self._odds.movedim(self.axis, 0)
        slabs = self._slabs(labelled, alone)
        self._filled &= slabs.keys()  # before any is overwritten: an edit may be stopped half-way
        for key, (before, after, end_gap) in slabs.items():
            if key not in self._filled:
                self._fill(stack[key[0] : key[1]], before, after, end_gap)
                self._filled.add(key)
        for one in labelled:
            stack[one.index] = self._certain(one)
        return self._odds, self.uncertainty([s.index for s in labelled])

    def _slabs(
        self, labelled: list[LabelledSlice], alone: bool
    ) -> dict[tuple, tuple[LabelledSlice | None, LabelledSlice | None, float]]:
        """The slabs between labelled slices: all that determines one → these slices and its end gap, mm."""
        slabs = {}
        for before, after in zip([None, *labelled], [*labelled, None], strict=True):
            start = before.index + 1 if before else 0
            stop = after.index if after else self.depth
            end = before or after
            end_gap = 0.0
            if end is not None and not (before and after):
                end_gap = self._end_gap([end] if alone else labelled, end)
            if stop > start:
                key = (start, stop, before and before.digest, after and after.digest, end_gap)
                slabs[key] = (before, after, end_gap)
        return slabs

    def uncertainty(self, labelled: list[int]) -> Tensor:
        """How far off borders may be in each slice (D,), mm."""
        distance = (torch.arange(self.depth)[:, None] - torch.tensor(labelled)).abs().amin(1)
        return min(self.spacing) + DRIFT * self.spacing[0] * distance

    def _measure(self, slices: dict[int, np.ndarray], count: int) -> list[LabelledSlice]:
        measured = {(z, digest(labels), count): labels for z, labels in sorted(slices.items())}
        self._measured = {
            key: self._measured.get(key)
            or LabelledSlice.of(key[0], labels, count, (self.spacing[1], self.spacing[2]))
            for key, labels in measured.items()
        }
        return list(self._measured.values())

    def _end_gap(self, labelled: list[LabelledSlice], end: LabelledSlice) -> float:
        """How far structures go on beyond the first or last labelled slice, mm."""
        if len(labelled) == 1:
            return max(end.reach((self.spacing[1], self.spacing[2])), self.spacing[0])
        neighbour = labelled[1] if end is labelled[0] else labelled[-2]
        return abs(neighbour.index - end.index) * self.spacing[0] / 2

    def _certain(self, one: LabelledSlice) -> Tensor:
        """Log-odds (H, W, L) in a labelled slice itself."""
        odds = one.distances * self._sureness(torch.zeros(1))[0]
        odds[torch.from_numpy(~one.present)] = IMPOSSIBLE
        if one.only is not None:
            odds[one.only] = -IMPOSSIBLE
        return odds.clamp_(IMPOSSIBLE, -IMPOSSIBLE).movedim(0, -1)

    def _fill(
        self, target: Tensor, before: LabelledSlice | None, after: LabelledSlice | None, end_gap: float
    ) -> None:
        """Write log-odds (n, H, W, L) of the slices between two labelled ones, or beyond the last."""
        start = before.index if before else -1
        stop = after.index if after else self.depth
        spots = torch.arange(start + 1, stop)
        sides = []
        if before:
            sides.append(_Side(before, self.tracks.chain(start, stop), (spots - start) * self.spacing[0]))
        if after:
            chain = self.tracks.chain(stop, start).flip(0)
            sides.append(_Side(after, chain, (stop - spots) * self.spacing[0]))
        gap = (stop - start) * self.spacing[0] / 2 if before and after else end_gap
        known = np.any([side.slice.present for side in sides], axis=0)
        known[0] = True
        labels = torch.from_numpy(np.flatnonzero(known))
        target[:] = IMPOSSIBLE
        rows = max(1, CHUNK // (len(labels) * target[0, ..., 0].numel()))
        for first in range(0, len(spots), rows):
            part = slice(first, first + rows)
            odds = self._between([side.cut(part) for side in sides], labels, gap)
            odds = odds.clamp_(IMPOSSIBLE, -IMPOSSIBLE).to(torch.float16).movedim(1, -1)
            if len(labels) == target.shape[-1]:
                target[part] = odds
            else:
                target[part, ..., labels] = odds

    def _between(self, sides: list[_Side], labels: Tensor, gap: float) -> Tensor:
        """Log-odds (n, L, H, W) of `labels`, the first of them background, in slices seen from `sides`."""
        present = [torch.from_numpy(side.slice.present)[labels] for side in sides]
        both = present[0] & present[-1] if len(sides) == 2 else torch.zeros_like(present[0])
        carried = [side.carried(labels) for side in sides]
        blend = sides[0].away / (sides[0].away + sides[-1].away)
        odds = torch.lerp(carried[0], carried[-1], blend[:, None, None, None])
        odds *= self._sureness(torch.stack([side.away for side in sides]).amin(0))
        lone = []
        for side, here, values in zip(sides, present, carried, strict=True):
            for label in (here & ~both).nonzero().flatten().tolist():
                ends = _ends(side.away / gap)[:, None, None]
                odds[:, label] = _and(values[:, label] * self._sureness(side.away)[:, 0], ends)
                lone += [label] if label else []
        beside = -odds[:, lone].amax(1) if lone else torch.full_like(odds[:, 0], -IMPOSSIBLE)
        odds[:, 0] = torch.minimum(odds[:, 0], beside) if both[0] else beside
        return odds

    def _sureness(self, away: Tensor) -> Tensor:
        """Log-odds per mm of signed distance in slices `away` mm from a labelled one → (n, 1, 1, 1)."""
        return (1 / (min(self.spacing) + DRIFT * away))[:, None, None, None]


@dataclass(frozen=True, eq=False)
class _Side:
    """A labelled slice seen from slices beside it: where their pixels are in it, and how far it is, mm."""

    slice: LabelledSlice
    chain: Tensor
    away: Tensor

    def cut(self, part: builtins.slice) -> _Side:
        return _Side(self.slice, self.chain[part], self.away[part])

    def carried(self, labels: Tensor) -> Tensor:
        """Its signed distances of some labels at the other slices → (n, L, H, W)."""
        return warped(self.slice.distances[labels].expand(len(self.chain), -1, -1, -1), self.chain)


def _ends(share: Tensor) -> Tensor:
    """Log-odds that a structure goes on, at a share of the way at which it is as likely to have ended."""
    return (1 - share / 2).clamp(1e-5, 1 - 1e-5).logit()


def _and(one: Tensor, other: Tensor) -> Tensor:
    """Log-odds of two independent things both being true."""
    return (one.sigmoid() * other.sigmoid()).clamp(1e-6, 1 - 1e-6).logit()
