"""What the user knows about a pair: where to look, which places belong together, how stiff the tissue is."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..geometry import Grid
from ..images import Image, LabelsLike, as_mask
from ..points import PointsLike, as_points, pair_points


class Landmarks(NamedTuple):
    """Places (N, 3) in the fixed image and the same places (N, 3) in the moving image, LPS mm."""

    fixed: np.ndarray
    moving: np.ndarray


class Guides(NamedTuple):
    """The guidance of one run, read and checked; None where there is none."""

    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    landmarks: Landmarks | None = None
    stiffness: float = 1.0

    @property
    def masked(self) -> bool:
        """Whether only a part of one of the images is compared."""
        return self.fixed_mask is not None or self.moving_mask is not None


def read_guides(
    fixed_mask: LabelsLike | Image | None,
    moving_mask: LabelsLike | Image | None,
    fixed_landmarks: PointsLike | None,
    moving_landmarks: PointsLike | None,
    stiffness: float,
) -> Guides:
    """Read and check them.

    Raises:
        InputError: a mask marks nothing, landmarks do not pair, or the stiffness is no positive number.
    """
    if not (math.isfinite(stiffness) and stiffness > 0):
        raise InputError(f"stiffness is {stiffness}; give a positive number, 1 is the preset's own")
    return Guides(
        None if fixed_mask is None else as_mask(fixed_mask, "the fixed mask"),
        None if moving_mask is None else as_mask(moving_mask, "the moving mask"),
        _landmarks(fixed_landmarks, moving_landmarks),
        float(stiffness),
    )


def check_near(landmarks: Landmarks | None, fixed: Grid, moving: Grid) -> None:
    """Refuse landmarks farther from their image than this is long: they are of another, or not in LPS mm.

    Raises:
        InputError: one is.
    """
    if landmarks is None:
        return
    for side, places, grid in (("fixed", landmarks.fixed, fixed), ("moving", landmarks.moving, moving)):
        index = grid.to_index(places)
        beyond = np.maximum(np.maximum(-0.5 - index, index + 0.5 - np.array(grid.size)), 0)
        distance = np.linalg.norm(beyond * grid.spacing, axis=1)
        worst = int(distance.argmax())
        if distance[worst] > np.linalg.norm(grid.extent):
            raise InputError(
                f"{side} landmark {worst + 1} lies {distance[worst]:,.0f} mm outside the {side} image; "
                "place it in this image, in mm along left, posterior, superior (LPS)"
            )


def _landmarks(fixed: PointsLike | None, moving: PointsLike | None) -> Landmarks | None:
    if (fixed is None) != (moving is None):
        raise InputError("landmarks are given for one image only; give the same places in the other, too")
    if fixed is None or moving is None:
        return None
    places_fixed, places_moving, _ = pair_points(
        as_points(fixed, "the fixed landmarks"), as_points(moving, "the moving landmarks")
    )
    return Landmarks(places_fixed, places_moving)
