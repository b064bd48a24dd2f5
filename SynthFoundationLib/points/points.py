"""Named points in physical space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..errors import InputError


@dataclass(frozen=True, eq=False)
class Points:
    """Points in the patient.

    Attributes:
        positions: (N, 3) float64, LPS mm.
        labels: N names; empty strings where there are none.

    Raises:
        InputError: no points, another shape, numbers that are not finite, or as many labels as do not fit.
    """

    positions: np.ndarray
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the numbers and fill in missing labels."""
        positions = np.asarray(self.positions, np.float64)
        if positions.size == 0:
            raise InputError("there are no points; place at least one")
        if positions.ndim != 2 or positions.shape[1] != 3:
            raise InputError(f"points have shape {positions.shape}; give (N, 3), LPS mm")
        bad = np.flatnonzero(~np.isfinite(positions).all(1))
        if len(bad):
            raise InputError(
                f"point {bad[0] + 1} has a coordinate that is not a finite number; place it again"
            )
        labels = tuple(str(label) for label in self.labels) or ("",) * len(positions)
        if len(labels) != len(positions):
            raise InputError(f"{len(labels)} labels do not fit {len(positions)} points")
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        """Number of points."""
        return len(self.positions)


PointsLike: TypeAlias = "str | Path | np.ndarray | list | Points"


def as_points(source: PointsLike, what: str = "the points") -> Points:
    """A file, an (N, 3) array in LPS mm or `Points` as `Points`.

    Raises:
        InputError: it is none of these, or holds no usable points; `what` names it in the message.
    """
    from .reading import read_points

    if isinstance(source, Points):
        return source
    if isinstance(source, (str, Path)):
        return read_points(source)
    try:
        return Points(np.asarray(source, np.float64))
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{what} are given as {type(source).__name__}; give a file or an (N, 3) array in LPS mm"
        ) from error
