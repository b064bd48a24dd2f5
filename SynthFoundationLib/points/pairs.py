"""Which landmark in one scan is which in the other."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .points import Points


def pair_points(fixed: Points, moving: Points) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Pair landmarks by label where both sides use the same, unlike ones, else by order.

    Returns:
        fixed (N, 3) and moving (N, 3) positions in LPS mm, and their labels.

    Raises:
        InputError: a landmark has no partner, or two of one image lie at the same place.
    """
    for points, side in ((fixed, "fixed"), (moving, "moving")):
        _check_apart(points, side)
    places = {label: place for place, label in enumerate(moving.labels)}
    common = set(fixed.labels) & set(moving.labels)
    unlike = len(set(fixed.labels)) == len(fixed) and len(places) == len(moving)
    if unlike and set(fixed.labels) == set(moving.labels):
        return fixed.positions, moving.positions[[places[label] for label in fixed.labels]], fixed.labels
    if unlike and common - {""}:
        alone = sorted(set(fixed.labels) ^ set(moving.labels))
        raise InputError(
            f"landmark {alone[0]!r} is on one side only; give every landmark to both, under the same label"
        )
    if len(fixed) != len(moving):
        raise InputError(
            f"{len(fixed)} fixed and {len(moving)} moving landmarks cannot be paired; "
            "give both sides the same labels or the same number in the same order"
        )
    return fixed.positions, moving.positions, fixed.labels


def _check_apart(points: Points, side: str) -> None:
    _, first, count = np.unique(points.positions, axis=0, return_index=True, return_counts=True)
    if (count > 1).any():
        place = points.positions[first[count > 1][0]]
        one, other = np.flatnonzero((points.positions == place).all(1))[:2] + 1
        raise InputError(f"{side} landmarks {one} and {other} lie at the same place; remove one of them")
