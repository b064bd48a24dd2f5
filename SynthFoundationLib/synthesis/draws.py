"""Random scalars in plain Python, so that parameters are JSON and never depend on a device."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

Parameters = dict[str, Any]


def chance(rng: random.Random, probability: float) -> bool:
    """True with the given probability."""
    return rng.random() < probability


def log_uniform(rng: random.Random, low: float, high: float) -> float:
    """Scale-free draw between two positive bounds."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def seed_of(rng: random.Random) -> int:
    """A seed for one tensor of noise, small enough for every generator and for JSON."""
    return rng.randrange(2**31 - 1)


def sign(rng: random.Random) -> float:
    """Plus or minus one."""
    return 1.0 if rng.random() < 0.5 else -1.0


def unit_vector(rng: random.Random) -> list[float]:
    """A direction uniform on the sphere."""
    while True:
        v = [rng.gauss(0, 1) for _ in range(3)]
        norm = math.sqrt(sum(x * x for x in v))
        if norm > 1e-6:
            return [x / norm for x in v]


def rotation(rng: random.Random, limit: float = math.pi) -> list[list[float]]:
    """Rotation about a uniform axis by an angle of at most `limit` radians (Rodrigues' formula)."""
    x, y, z = unit_vector(rng)
    angle = rng.uniform(-limit, limit)
    c, s = math.cos(angle), math.sin(angle)
    t = 1 - c
    return [
        [t * x * x + c, t * x * y - s * z, t * x * z + s * y],
        [t * x * y + s * z, t * y * y + c, t * y * z - s * x],
        [t * x * z - s * y, t * y * z + s * x, t * z * z + c],
    ]


def times(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> list[list[float]]:
    """Product of two 3 by 3 matrices."""
    return [[sum(a[i][k] * b[k][j] for k in range(3)) for j in range(3)] for i in range(3)]


def diagonal(values: Sequence[float]) -> list[list[float]]:
    """Diagonal 3 by 3 matrix."""
    return [[values[i] if i == j else 0.0 for j in range(3)] for i in range(3)]
