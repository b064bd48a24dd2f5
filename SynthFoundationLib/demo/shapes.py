"""Signed distances in mm (negative inside) to simple bodies, and smooth noise: what the head is made of.

`points` are three arrays of one shape (x, y, z), LPS mm; every function gives an array of that shape.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from scipy import ndimage

Coordinates: TypeAlias = "tuple[np.ndarray, np.ndarray, np.ndarray]"
Triple: TypeAlias = "tuple[float, float, float]"


def ellipsoid(points: Coordinates, center: Triple, radii: Triple) -> np.ndarray:
    """Distance to an ellipsoid with axes along x, y and z, exact at its surface."""
    offset = [p - c for p, c in zip(points, center, strict=True)]
    near = np.sqrt(sum((o / r) ** 2 for o, r in zip(offset, radii, strict=True)))
    slope = np.sqrt(sum((o / r**2) ** 2 for o, r in zip(offset, radii, strict=True)))
    return near * (near - 1) / np.maximum(slope, 1e-6)


def tube(points: Coordinates, path: list[Triple], radii: list[float]) -> np.ndarray:
    """Distance to a tube through the corners of `path`, with a radius at each of them."""
    pieces = zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True)
    return union(*[_cone(points, *piece) for piece in pieces])


def _cone(points: Coordinates, start: Triple, end: Triple, thick: float, thin: float) -> np.ndarray:
    axis = np.subtract(end, start)
    offset = [p - s for p, s in zip(points, start, strict=True)]
    along = np.clip(sum(o * a for o, a in zip(offset, axis, strict=True)) / (axis @ axis), 0, 1)
    distance = np.sqrt(sum((o - along * a) ** 2 for o, a in zip(offset, axis, strict=True)))
    return distance - (thick + along * (thin - thick))


def union(*bodies: np.ndarray) -> np.ndarray:
    """Distance to whichever body is nearest."""
    return np.minimum.reduce(bodies)


def blend(first: np.ndarray, second: np.ndarray, reach: float) -> np.ndarray:
    """Union whose crease is rounded over `reach` mm."""
    step = np.maximum(reach - np.abs(first - second), 0) / reach
    return np.minimum(first, second) - step**2 * reach / 4


def without(body: np.ndarray, *cuts: np.ndarray) -> np.ndarray:
    """The body with others cut out of it."""
    return np.maximum.reduce([body, *[-cut for cut in cuts]])


def common(*bodies: np.ndarray) -> np.ndarray:
    """What lies in all the bodies."""
    return np.maximum.reduce(bodies)


def noise(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth random field with mean 0, deviation 1 and a Gaussian kernel of `scale` voxels."""
    step = max(1.0, scale / 2.0)  # smooth fields are drawn on fewer voxels
    coarse = [int(np.ceil(n / step)) + 3 for n in shape]
    field = ndimage.gaussian_filter(
        rng.standard_normal(coarse, np.float32), scale / step, mode="wrap", truncate=3
    )
    if step > 1:
        for axis, n in enumerate(shape):
            field = _stretched(field, axis, n, step)
    else:
        field = field[tuple(slice(n) for n in shape)]
    return field / field.std()


def _stretched(field: np.ndarray, axis: int, count: int, step: float) -> np.ndarray:
    """Quadratic B-spline through the samples along one axis: smooth, and quicker than a general zoom."""
    place = np.arange(count, dtype=np.float32) / step + 1
    nearest = np.rint(place).astype(int)
    t = (place - nearest).reshape([-1 if a == axis else 1 for a in range(field.ndim)])
    weights = (0.5 * (0.5 - t) ** 2, 0.75 - t**2, 0.5 * (0.5 + t) ** 2)
    return sum(w * np.take(field, nearest + o, axis) for o, w in zip((-1, 0, 1), weights, strict=True))
