"""The shape a structure must have between slices that are labelled completely.

Each label's signed distance in a labelled slice is carried along the tracks of the image to the slices in
between, where the two sides are blended. A structure that one side lacks ends somewhere on the way there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from .tracking import Tracks, warped

DRIFT = 0.3  # how much less certain a border becomes, mm per mm from the labelled slice
IMPOSSIBLE = -12.0  # log-odds of a label that no labelled slice nearby has
ROUND = 0.75  # a structure seen in one slice only reaches this many diameters beyond it


@dataclass
class LabelledSlice:
    """One completely labelled slice: signed distances (n, H, W) in mm, inside positive."""

    index: int
    distances: Tensor
    present: np.ndarray
    digest: bytes

    @classmethod
    def of(cls, index: int, labels: np.ndarray, count: int, spacing: tuple[float, float]) -> LabelledSlice:
        """Measure a slice of labels (H, W) in 0 … count-1."""
        distances = np.full((count, *labels.shape), np.nan, np.float32)
        for label in np.unique(labels):
            inside = labels == label
            if inside.all():
                continue  # no border to measure from
            distances[label] = distance_transform_edt(inside, spacing)
            distances[label] -= distance_transform_edt(~inside, spacing)
        present = np.isfinite(distances[:, 0, 0])
        return cls(index, torch.from_numpy(np.nan_to_num(distances)), present, digest(labels))

    def reach(self, spacing: tuple[float, float]) -> float:
        """How far the structures of this slice may go on where no other slice says, mm."""
        areas = (self.distances[1:] > 0).sum((1, 2)) * spacing[0] * spacing[1]
        return ROUND * float((4 * areas.max() / torch.pi).sqrt()) if len(areas) else 0.0


def digest(labels: np.ndarray) -> bytes:
    """A fingerprint of a slice of labels."""
    return hashlib.blake2b(np.ascontiguousarray(labels).tobytes(), digest_size=16).digest()


class ShapePrior:
    """Log-odds of every label in the slices along one axis; a change recomputes only the slabs beside it."""

    def __init__(self, tracks: Tracks, depth: int, spacing: tuple[float, float, float]) -> None:
        """Take the tracks of `depth` slices and the spacing in mm, the stack axis first."""
        self.tracks, self.depth, self.spacing = tracks, depth, spacing
        self._measured: dict[tuple, LabelledSlice] = {}
        self._slabs: dict[tuple, Tensor] = {}

    def volume(self, slices: dict[int, np.ndarray], count: int) -> tuple[Tensor, Tensor]:
        """Log-odds (count, D, H, W) float16 and the uncertainty of borders (D,) in mm.

        Args:
            slices: slice index → labels (H, W) in 0 … count-1.
            count: number of labels, the background among them.
        """
        labelled = self._measure(slices, count)
        result = torch.empty(count, self.depth, *self.tracks.shape, dtype=torch.float16)
        slabs = {}
        for before, after in zip([None, *labelled], [*labelled, None], strict=True):
            key = (*((s.index, s.digest) if s else None for s in (before, after)), count)
            start = before.index + 1 if before else 0
            stop = after.index if after else self.depth
            if stop > start:
                end_gap = self._end_gap(labelled, before or after) if not (before and after) else 0.0
                key += (end_gap,)
                slabs[key] = self._slabs[key] if key in self._slabs else self._slab(before, after, end_gap)
                result[:, start:stop] = slabs[key]
        for one in labelled:
            odds = one.distances[None] * self._sureness(torch.zeros(1))
            odds[:, torch.from_numpy(~one.present)] = IMPOSSIBLE
            result[:, one.index] = _stored(odds)[:, 0]
        self._slabs = slabs
        return result, self.uncertainty([s.index for s in labelled])

    def uncertainty(self, labelled: list[int]) -> Tensor:
        """How far off borders may be in each slice (D,), mm."""
        distance = (torch.arange(self.depth)[:, None] - torch.tensor(labelled)).abs().amin(1)
        return min(self.spacing) + DRIFT * self.spacing[0] * distance

    def _measure(self, slices: dict[int, np.ndarray], count: int) -> list[LabelledSlice]:
        measured = {(z, digest(labels), count): labels for z, labels in sorted(slices.items())}
        self._measured = {
            key: self._measured.get(key) or LabelledSlice.of(key[0], labels, count, self.spacing[1:])
            for key, labels in measured.items()
        }
        return list(self._measured.values())

    def _end_gap(self, labelled: list[LabelledSlice], end: LabelledSlice) -> float:
        """How far structures go on beyond the first or last labelled slice, mm."""
        if len(labelled) == 1:
            return max(end.reach(self.spacing[1:]), self.spacing[0])
        neighbour = labelled[1] if end is labelled[0] else labelled[-2]
        return abs(neighbour.index - end.index) * self.spacing[0] / 2

    def _slab(self, before: LabelledSlice | None, after: LabelledSlice | None, end_gap: float) -> Tensor:
        """Log-odds of the slices between two labelled ones, or between one and the end of the volume."""
        start = before.index if before else -1
        stop = after.index if after else self.depth
        spots = torch.arange(start + 1, stop)
        sides = []
        if before:
            sides.append((before, self.tracks.chain(start, stop), (spots - start) * self.spacing[0]))
        if after:
            sides.append((after, self.tracks.chain(stop, start).flip(0), (stop - spots) * self.spacing[0]))
        gap = (stop - start) * self.spacing[0] / 2 if before and after else end_gap
        carried = [self._carried(side, chain) for side, chain, _ in sides]
        both = (
            sides[0][0].present & sides[-1][0].present
            if len(sides) == 2
            else np.zeros_like(sides[0][0].present)
        )
        blend = (sides[0][2] / (sides[0][2] + sides[-1][2]))[:, None, None, None]
        blended = torch.lerp(carried[0], carried[-1], blend)
        sure = self._sureness(torch.stack([distance for _, _, distance in sides]).amin(0))
        odds = blended * sure
        odds[:, ~torch.from_numpy(both)] = IMPOSSIBLE
        for (side, _, distance), values in zip(sides, carried, strict=True):
            for label in np.flatnonzero(side.present & ~both):
                odds[:, label] = _and(values[:, label] * sure[:, 0], _ends(distance / gap)[:, None, None])
        lone = np.any([side.present for side, _, _ in sides], axis=0) & ~both
        lone[0] = False
        if lone.any():
            beside = -odds[:, torch.from_numpy(lone)].amax(1)
            odds[:, 0] = torch.minimum(odds[:, 0], beside) if both[0] else beside
        elif not both[0]:
            odds[:, 0] = -IMPOSSIBLE
        return _stored(odds)

    def _carried(self, side: LabelledSlice, chain: Tensor) -> Tensor:
        """Signed distances of a labelled slice at every slice of a chain → (n, L, H, W)."""
        return warped(side.distances.expand(len(chain), -1, -1, -1), chain)

    def _sureness(self, away: Tensor) -> Tensor:
        """Log-odds per mm of signed distance in slices `away` mm from a labelled one → (n, 1, 1, 1)."""
        return (1 / (min(self.spacing) + DRIFT * away))[:, None, None, None]


def _ends(share: Tensor) -> Tensor:
    """Log-odds that a structure goes on, at a share of the way at which it is as likely to have ended."""
    going_on = (1 - share / 2).clamp(1e-5, 1 - 1e-5)
    return going_on.logit()


def _and(one: Tensor, other: Tensor) -> Tensor:
    """Log-odds of two independent things both being true."""
    both = one.sigmoid() * other.sigmoid()
    return both.clamp(1e-6, 1 - 1e-6).logit()


def _stored(odds: Tensor) -> Tensor:
    """(n, L, H, W) as (L, n, H, W) float16 within the range of log-odds."""
    return odds.clamp(IMPOSSIBLE, -IMPOSSIBLE).transpose(0, 1).to(torch.float16)
