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
        InputError: a landmark has no partner.
    """
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
