"""Patches to learn from: half of them around something labelled, turned, scaled and bent."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..geometry import resample
from ..geometry.sampling import sample_at_index
from ..images import Image, LabelMap
from ..synthesis.draws import chance, rotation, seed_of
from ..synthesis.fields import smooth_noise
from .appearance import vary
from .grids import largest
from .plan import Plan
from .prediction import prepared

FOREGROUND = 0.67  # of the patches are centred near a voxel of a random label
MOSTLY = 0.5  # of a voxel that a label must cover
PLACES = 20_000  # voxels remembered of each label
TURN = 0.35  # radians
SIZE = (0.8, 1.25)
BEND = 1.5  # voxels, standard deviation of the bending
AWAY = 0.25  # of a patch, by which its middle may miss the voxel


@dataclass(frozen=True, eq=False)
class Case:
    """A case on the plan's voxels.

    Attributes:
        volume: (C, D, H, W) in 0…1.
        classes: (D, H, W) int64.
        places: for each label present, indices (N, 3) of some of its voxels.
    """

    volume: Tensor
    classes: Tensor
    places: tuple[Tensor, ...]


def prepare(image: Image, labels: LabelMap, plan: Plan) -> Case:
    """Bring a labelled case onto the plan's voxels."""
    volume, grid = prepared(image, plan)
    present = set(labels.values)
    covers = (
        (number, resample((labels.data == value)[None].float(), labels.grid, grid, antialias=True)[0])
        for number, value in enumerate(plan.values)
        if value in present
    )
    best = largest(covers, grid.shape, MOSTLY)
    places = []
    for number in best.unique():
        if number:
            where = (best == number).nonzero()
            places.append(where[:: max(1, len(where) // PLACES)])
    return Case(volume, best, tuple(places))


def draw(cases: Sequence[Case], patch: tuple[int, int, int], rng: random.Random) -> tuple[Tensor, Tensor]:
    """An augmented patch (C, D, H, W) of a random case, and its classes (1, D, H, W)."""
    case = rng.choice(cases)
    index = _warped(patch, _centre(case, patch, rng), rng)
    volume = sample_at_index(case.volume, index, fill=None)
    classes = sample_at_index(case.classes[None].float(), index, "nearest", 0.0).long()
    return vary(volume, classes[0], rng), classes


def _centre(case: Case, patch: tuple[int, int, int], rng: random.Random) -> list[float]:
    """The middle of a patch, as a continuous index (z, y, x)."""
    shape = case.classes.shape
    if case.places and chance(rng, FOREGROUND):
        places = rng.choice(case.places)
        spot = places[rng.randrange(len(places))].tolist()
        spot = [s + rng.uniform(-AWAY, AWAY) * n for s, n in zip(spot, patch, strict=True)]
    else:
        spot = [rng.uniform(0, n - 1) for n in shape]
    lowest = [min(n, p) / 2 for n, p in zip(shape, patch, strict=True)]
    return [min(max(s, low), n - low) - 0.5 for s, low, n in zip(spot, lowest, shape, strict=True)]


def _warped(patch: tuple[int, int, int], centre: list[float], rng: random.Random) -> Tensor:
    """Indices (D, H, W, 3) in (i, j, k) order at which a turned, scaled and bent patch is read."""
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in patch]
    offset = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    scale = torch.tensor([rng.uniform(*SIZE) for _ in range(3)])
    offset = (offset * scale) @ torch.tensor(rotation(rng, TURN)).T
    cells: Any = [max(1.0, n / rng.uniform(10, 24)) for n in patch]
    bend = smooth_noise(seed_of(rng), cells, patch, torch.device("cpu"), 3) * rng.uniform(0, BEND)
    return (offset + bend.movedim(0, -1) + torch.tensor(centre)).flip(-1)
