"""How near a voxel is to what is scribbled: edges on the way count as distance.

Geodesic distances (Criminisi, Sharp & Blake, ECCV 2008) by sweeps over planes, each of which takes what the
plane before it knows (Toivanen, Pattern Recognition Letters 1996).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .boxes import around
from .filters import enlarged
from .layout import mean_edge, merged
from .shape import digest

# Lengths are in edges of a voxel of mean size, or shares of what is drawn: people and mice are alike.
EDGE = 200.0  # the way that a step over the whole range of intensities counts as
FADE = 1 / 16  # farther from a label than from all others by so much of what is drawn: log-odds of -1
LEAST_FADE = 3.0  # where little is drawn, such as a single slice
MOST = 4.0  # log-odds that nearness can give: what a voxel looks like may always speak against it
FAR = 1e6
VOXELS = 400_000
SWEEPS = 2


class Nearness:
    """Log-odds of every label by how near its scribbles are; a change measures anew the labels drawn on."""

    def __init__(self, volume: Tensor, spacing: tuple[float, ...]) -> None:
        """Take contrasts (C, D, H, W) in 0…1 and mm along (D, H, W)."""
        self.shape = tuple(volume.shape[1:])
        self.edges = np.array(spacing) / mean_edge(spacing)
        self.factors = merged(self.shape, spacing, VOXELS)
        self.volume = F.avg_pool3d(volume, self.factors, ceil_mode=True, count_include_pad=False)
        self._known: dict[tuple[int, bytes], Tensor] = {}

    def odds(self, classes: np.ndarray, count: int) -> Tensor:
        """Log-odds (D, H, W, count) float16; all 0 where fewer than two classes are drawn.

        Args:
            classes: (D, H, W), -1 not labelled.
            count: number of classes 0 … count-1.
        """
        result = torch.zeros(*self.shape, count, dtype=torch.float16)
        drawn = np.unique(classes[classes >= 0])
        if len(drawn) < 2:
            return result
        self._measure(classes, drawn)
        odds = torch.full((count, *self.volume.shape[1:]), FAR)
        for (n, _), distance in self._known.items():
            odds[n] = distance
        _against_the_nearest_other(odds)
        odds.div_(max(LEAST_FADE, FADE * self._longest(classes))).clamp_(-MOST, MOST)
        for rows, part in enlarged(odds, self.factors, self.shape):
            result[rows] = part.movedim(0, -1)
        return result

    def _longest(self, classes: np.ndarray) -> float:
        """The longest side of the box around what is drawn."""
        sides = around(classes >= 0)
        return float(
            max(edge * (side.stop - side.start) for edge, side in zip(self.edges, sides, strict=True))
        )

    def _measure(self, classes: np.ndarray, drawn: np.ndarray) -> None:
        """Know the distances to the classes that are drawn, and no others."""
        flat, shape = classes.ravel(), self.volume.shape[1:]
        spots = {int(n): np.flatnonzero(flat == n) for n in drawn}
        keys = [(n, digest(where)) for n, where in spots.items()]
        self._known = {key: self._known[key] for key in keys if key in self._known}
        new = [key for key in keys if key not in self._known]
        start = torch.full((len(new), *shape), FAR)
        for distance, (n, _) in zip(start, new, strict=True):
            places = np.unravel_index(spots[n], self.shape)
            distance[tuple(p // f for p, f in zip(places, self.factors, strict=True))] = 0.0
        if new:
            spacing = tuple((self.edges * self.factors).tolist())
            self._known |= dict(zip(new, geodesic(start, self.volume, spacing), strict=True))


def _against_the_nearest_other(distances: Tensor) -> None:
    """Replace distances (n, D, H, W) in place by how much farther the nearest of all others is."""
    near, second = torch.minimum(*distances[:2]), torch.maximum(*distances[:2])
    for distance in distances[2:]:
        second = torch.minimum(second, torch.maximum(distance, near))
        near = torch.minimum(near, distance)
    for distance in distances:
        distance.copy_(torch.where(distance == near, second, near) - distance)


def geodesic(start: Tensor, volume: Tensor, spacing: tuple[float, ...]) -> Tensor:
    """Length of the shortest way from where `start` (n, D, H, W) is 0 → (n, D, H, W), in units of `spacing`.

    A step costs its length and `EDGE` times the change of the contrasts (C, D, H, W). Ways that wind back
    and forth more than `SWEEPS` times are found longer than they are.
    """
    distance = start
    for axis in [0, 1, 2] * SWEEPS:
        planes = distance.movedim(axis + 1, 0).contiguous()  # (D, n, H, W), whichever axis is D
        seen = volume.movedim(axis + 1, 0).contiguous()
        ways = _ways(tuple(planes.shape[-2:]), spacing[axis], [s for a, s in enumerate(spacing) if a != axis])
        for order in (range(len(planes)), reversed(range(len(planes)))):
            for before, here in pairwise(order):
                _listen(planes[here], planes[before], seen[here], seen[before], ways)
        distance = planes.movedim(0, axis + 1)
    return distance


class _Way(NamedTuple):
    """Pixels of a plane (n, H, W), those of the next one beside them in some direction, and how far."""

    start: tuple[slice, ...]
    end: tuple[slice, ...]
    length: float


def _ways(shape: tuple[int, ...], away: float, spacing: list[float]) -> list[_Way]:
    """Straight on, and aslant along one axis of the plane."""
    result = []
    for steps in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)):
        start, end = (
            (slice(None), *(_shifted(n, sign * step) for n, step in zip(shape, steps, strict=True)))
            for sign in (-1, 1)
        )
        length = math.hypot(away, *(s * size for s, size in zip(steps, spacing, strict=True)))
        result.append(_Way(start, end, length))
    return result


def _shifted(length: int, step: int) -> slice:
    """Places of an axis that still lie on it `-step` further."""
    return slice(max(0, step), length + min(0, step))


def _listen(here: Tensor, before: Tensor, seen: Tensor, seen_before: Tensor, ways: list[_Way]) -> None:
    """Shorten distances (n, H, W) of a plane, in place, to ways that come from the plane before it."""
    for start, end, length in ways:
        change = (seen[end] - seen_before[start]).abs_().mean(0)
        there = here[end]
        torch.minimum(there, before[start] + change.mul_(EDGE).add_(length), out=there)
