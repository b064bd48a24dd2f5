"""Whether two patients differ in size, or only outlines do.

The outline of a brain without its skull, or of a brain in PET, fits that of a whole head when it is stretched
by a tenth. Grey values tell: stretched rightly, they say far more of each other than before.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..geometry import Affine
from .linear import mean_stretch, nearest_rotation
from .pose import Pose

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..geometry import Transform

# A mean stretch that is not worth asking, as a natural logarithm.
SMALL = 0.05
# What mutual information has to gain, as a natural logarithm, in units of that of the mean stretch: right
# stretches of people gained 1.3 times and more, outlines of a brain on those of a head 1.05 times at most;
GAIN = 1.2
# but for one of 1.35 times: where a brain is bare, or much smaller, it takes more.
GAIN_OF_BARE = 1.5


def growth_of(pose: Pose) -> float:
    """By how much the pose stretches lengths on average, as a natural logarithm."""
    return math.log(mean_stretch(pose.affine.matrix[:3, :3]))


def without_stretch(pose: Pose, about: np.ndarray) -> Pose:
    """The rigid pose nearest to an affine one that leads the point `about` (3,) to the same place."""
    rotation = nearest_rotation(pose.affine.matrix[:3, :3])
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = pose.affine.apply(about[None])[0] - rotation @ about
    return pose._replace(affine=Affine(matrix))


def believed(
    pose: Pose,
    rigid: Callable[[], Pose],
    information: Callable[[Transform], float],
    is_bare: Callable[[Transform], bool],
) -> Pose:
    """The affine pose, or `rigid()` where grey values do not speak for how much the affine one stretches.

    `is_bare` tells of a pose whether one scan shows a part of the other's patient there, and padding around.
    """
    growth = abs(growth_of(pose))
    if growth < SMALL:
        return pose
    other = rigid()
    before, after = (max(information(p.transform), 1e-9) for p in (other, pose))
    needed = GAIN_OF_BARE if is_bare(other.transform) else GAIN
    return pose if math.log(after / before) >= needed * growth else other
