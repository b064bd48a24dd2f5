"""Sampling of label ensembles: which shapes, where, of which tissue. Plain numbers; `paint` renders them.

Space is the unit cube [-1, 1]³ in array order (z, y, x). Later layers are painted over earlier ones. Label 0
is background. Every other label belongs to a tissue, and labels of one tissue have similar intensities, so
that some borders are faint, as between neighbouring muscles.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from SynthFoundationLib.synthesis.draws import (
    Parameters,
    chance,
    diagonal,
    log_uniform,
    rotation,
    seed_of,
    times,
    unit_vector,
)

MAX_LABELS = 120


class Ledger:
    """Hands out label numbers and remembers the tissue of each."""

    def __init__(self, rng: random.Random) -> None:
        """Draw how many tissues this ensemble has; background is tissue 0."""
        self.rng = rng
        self.tissues = rng.randint(4, 14)
        self.tissue_of = [0]

    def new(self, tissue: int | None = None) -> int:
        """A fresh label, of the given tissue or of a random one (the last label again when all are used)."""
        if len(self.tissue_of) >= MAX_LABELS:
            return self.rng.randrange(1, MAX_LABELS)
        self.tissue_of.append(self.rng.randint(1, self.tissues) if tissue is None else tissue)
        return len(self.tissue_of) - 1


def _solid(
    rng: random.Random, center: list[float], radii: list[float], labels: list[int], **more: object
) -> Parameters:
    """A superquadric, `labels[k]` between the k-th and the next of the nested shells."""
    inner = sorted((rng.uniform(0.35, 0.92) for _ in labels[1:]), reverse=True)
    layer: Parameters = {
        "kind": "solid",
        "center": center,
        "matrix": times(diagonal([1 / r for r in radii]), rotation(rng)),
        "reach": max(radii),
        "power": rng.choice([2, 2, 2, 4, 8]),
        "bump": rng.choice([0, 1, 2]),
        "amplitude": rng.uniform(0.0, 0.35),
        "shells": [1.0, *inner],
        "labels": labels,
        "inside": False,
    }
    layer.update(more)
    return layer


def _position(rng: random.Random, spread: float = 0.85) -> list[float]:
    return [rng.uniform(-spread, spread) for _ in range(3)]


def _radii(rng: random.Random, low: float, high: float) -> list[float]:
    size = log_uniform(rng, low, high)
    return [size * log_uniform(rng, 0.55, 1.8) for _ in range(3)]


def parcels(rng: random.Random, ledger: Ledger, inside: bool = False) -> list[Parameters]:
    """Fill space (or the body) with parcels cut by the level sets of two or three smooth fields."""
    bands = [rng.randint(2, 4) for _ in range(rng.choice([2, 3]))]
    cells = [log_uniform(rng, 2, 8) * log_uniform(rng, 0.8, 1.25) for _ in range(3)]
    total = 1
    for b in bands:
        total *= b
    labels = [ledger.new() for _ in range(total)]
    if not inside and chance(rng, 0.4):
        for k in rng.sample(range(total), max(1, total // 4)):
            labels[k] = 0
    cuts = [sorted(rng.uniform(-1.1, 1.1) for _ in range(b - 1)) for b in bands]
    return [
        {
            "kind": "parcels",
            "seed": seed_of(rng),
            "cells": cells,
            "cuts": cuts,
            "labels": labels,
            "inside": inside,
        }
    ]


def solids(rng: random.Random, ledger: Ledger, inside: bool = False) -> list[Parameters]:
    """Deformed superquadrics, some with nested shells, of all sizes: organs."""
    count = rng.randint(6, 32)
    layers = []
    for _ in range(count):
        labels = [ledger.new() for _ in range(rng.choice([1, 1, 2, 3]))]
        layers.append(_solid(rng, _position(rng), _radii(rng, 0.07, 0.4), labels, inside=inside))
    return sorted(layers, key=lambda layer: -float(layer["reach"]))


def clusters(rng: random.Random, ledger: Ledger, inside: bool = False) -> list[Parameters]:
    """Groups of small objects: nodes, cysts, lesions, vertebral pieces."""
    layers = []
    for _ in range(rng.randint(1, 3)):
        center, spread = _position(rng, 0.7), rng.uniform(0.1, 0.35)
        shared, tissue = chance(rng, 0.3), rng.randint(1, ledger.tissues)
        label = ledger.new(tissue)
        for _ in range(rng.randint(4, 16)):
            place = [c + rng.gauss(0, spread) for c in center]
            mine = label if shared else ledger.new(tissue)
            layers.append(_solid(rng, place, _radii(rng, 0.03, 0.1), [mine], inside=inside))
    return layers


def chain(rng: random.Random, ledger: Ledger, inside: bool = False) -> list[Parameters]:
    """A row of similar blocks with discs between, along a bent line: a spine, ribs, teeth."""
    step, axis = rng.uniform(0.13, 0.3), unit_vector(rng)
    bend, place = unit_vector(rng), _position(rng, 0.4)
    radii = [step * rng.uniform(0.35, 0.5), step * rng.uniform(0.4, 1.1), step * rng.uniform(0.4, 1.1)]
    turn, power = rotation(rng), rng.choice([2, 4, 8])
    bone, disc, own = ledger.new(), ledger.new(), chance(rng, 0.6)
    tissue, layers, half = ledger.tissue_of[bone], [], rng.randint(3, 6)
    for k in range(-half, half + 1):
        at = [p + k * step * a + 0.02 * k * k * step * b for p, a, b in zip(place, axis, bend, strict=True)]
        label = ledger.new(tissue) if own else bone
        shape = {"matrix": times(diagonal([1 / r for r in radii]), turn), "reach": max(radii), "power": power}
        layers.append(
            _solid(rng, at, radii, [label, ledger.new()] if k % 2 else [label], inside=inside, **shape)
        )
        between = [a + 0.5 * step * x for a, x in zip(at, axis, strict=True)]
        layers.append(_solid(rng, between, [0.35 * r for r in radii], [disc], inside=inside))
    return layers


def tree(rng: random.Random, ledger: Ledger, inside: bool = False) -> list[Parameters]:
    """A branching tree of tapering tubes: vessels, airways, nerves."""
    points: list[list[list[float]]] = []
    widths: list[list[float]] = []
    width = rng.uniform(0.03, 0.1)
    tips = [(_position(rng, 0.6), unit_vector(rng), width)]
    for _ in range(rng.randint(8, 40)):
        start, heading, thick = tips.pop(rng.randrange(len(tips)))
        wander = [h + 0.45 * w for h, w in zip(heading, unit_vector(rng), strict=True)]
        length = rng.uniform(0.1, 0.3)
        stop = [s + length * w for s, w in zip(start, wander, strict=True)]
        thin = max(0.012, thick * rng.uniform(0.8, 0.97))
        points.append([start, stop])
        widths.append([thick, thin])
        for _ in range(2 if chance(rng, 0.45) else 1):
            side = [w + 0.5 * v for w, v in zip(wander, unit_vector(rng), strict=True)]
            norm = sum(x * x for x in side) ** 0.5 + 1e-6
            tips.append((stop, [x / norm for x in side], thin))
    wall = ledger.new() if chance(rng, 0.3) else None
    return [
        {"kind": "tube", "ends": ends, "radii": radii, "label": label, "inside": inside}
        for label, grow in ([(wall, 1.5)] if wall else []) + [(ledger.new(), 1.0)]
        for ends, radii in zip(points, [[grow * r for r in pair] for pair in widths], strict=True)
    ]


def sheets(rng: random.Random, ledger: Ledger, inside: bool = False) -> list[Parameters]:
    """Thin curved sheets: membranes, fasciae, cortices."""
    return [
        {
            "kind": "sheet",
            "seed": seed_of(rng),
            "cells": [log_uniform(rng, 1.5, 6)] * 3,
            "level": rng.uniform(-0.8, 0.8),
            "width": rng.uniform(0.05, 0.25),
            "label": ledger.new(),
            "inside": inside,
        }
        for _ in range(rng.randint(1, 3))
    ]


def body(rng: random.Random, ledger: Ledger) -> list[Parameters]:
    """An envelope of nested shells, at times folded like a cortex, with organs inside."""
    count = rng.randint(2, 6)
    shells = [1.0]
    for _ in range(count - 1):
        shells.append(shells[-1] - rng.choice([rng.uniform(0.02, 0.08), rng.uniform(0.05, 0.2)]))
    size = rng.uniform(0.6, 1.1)
    envelope = _solid(
        rng,
        _position(rng, 0.2),
        [size * rng.uniform(0.7, 1.25) for _ in range(3)],
        [ledger.new() for _ in shells],
        shells=shells,
        power=rng.choice([2, 2, 4]),
        bump=rng.choice([0, 1, 1, 2]),
        amplitude=rng.uniform(0.02, 0.3),
    )
    layers = [envelope]
    if chance(rng, 0.5):
        layers.append(
            {**envelope, "kind": "core", "below": rng.uniform(0.3, 0.8), "parcels": parcels(rng, ledger)[0]}
        )
    layers += solids(rng, ledger, inside=True)
    for extra, probability in ((chain, 0.4), (tree, 0.5), (clusters, 0.4), (sheets, 0.25)):
        if chance(rng, probability):
            layers += extra(rng, ledger, inside=True)
    return layers


def mask(rng: random.Random, ledger: Ledger) -> Parameters:
    """Keep what lies in a bumpy ball; half of the time with an envelope around it."""
    width = rng.uniform(0.04, 0.15) if chance(rng, 0.5) else 0.0
    radii = [rng.uniform(0.5, 1.0) for _ in range(3)]
    label = ledger.new()
    return _solid(rng, _position(rng, 0.35), radii, [label], kind="mask", width=width, filling=ledger.new())


Family = Callable[[random.Random, Ledger], list[Parameters]]
BASES: tuple[tuple[Family, float], ...] = ((body, 0.55), (parcels, 0.3), (solids, 0.15))
EXTRAS: tuple[tuple[Family, float], ...] = (
    (solids, 0.5),
    (chain, 0.25),
    (tree, 0.45),
    (clusters, 0.4),
    (sheets, 0.3),
)


def sample_anatomy(rng: random.Random) -> Parameters:
    """Layers of one ensemble, the tissue of each label, the pose of the window and its deformation."""
    ledger = Ledger(rng)
    base = rng.choices([b for b, _ in BASES], [w for _, w in BASES])[0]
    layers = base(rng, ledger)
    if base is not body:
        for extra, probability in EXTRAS:
            if extra is not base and chance(rng, probability):
                layers += extra(rng, ledger)
        if chance(rng, 2 / 3):
            layers.append(mask(rng, ledger))
    while len(ledger.tissue_of) < 9:
        layers += solids(rng, ledger)
    return {"layers": layers, "tissue_of": ledger.tissue_of, "bumps": sample_bumps(rng), **sample_pose(rng)}


def sample_bumps(rng: random.Random) -> list[Parameters]:
    """Three fields, smooth to rough, that make surfaces irregular; the roughest folds them like gyri."""
    return [{"seed": seed_of(rng), "cells": [log_uniform(rng, *b)] * 3} for b in ((2, 5), (5, 10), (10, 22))]


def sample_pose(rng: random.Random) -> Parameters:
    """A random affine about the centre (window of the world seen) and a two-scale displacement."""
    zoom = log_uniform(rng, 0.4, 1.15)
    scales = [zoom * log_uniform(rng, 0.8, 1.25) for _ in range(3)]
    shear = [
        [1.0 if i == j else (rng.uniform(-0.2, 0.2) if i < j else 0.0) for j in range(3)] for i in range(3)
    ]
    slack = max(0.0, 1.0 - zoom)
    warps = [
        {"seed": seed_of(rng), "cells": [log_uniform(rng, 1.5, 3)] * 3, "size": rng.uniform(0.0, 0.12)},
        {"seed": seed_of(rng), "cells": [log_uniform(rng, 4, 8)] * 3, "size": rng.uniform(0.0, 0.04)},
    ]
    return {
        "matrix": times(times(rotation(rng), shear), diagonal(scales)),
        "shift": [rng.uniform(-0.6, 0.6) * slack for _ in range(3)],
        "warps": warps,
    }
