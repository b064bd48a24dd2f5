"""Labels of scans that lie on an image already, weighed voxel by voxel by how alike their patches are.

Registration leaves borders off by a voxel or so: each voxel asks its neighbourhood in every labelled scan,
and those whose surroundings look like its own count most (Coupé et al., NeuroImage 2011).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from ..features.mind import mind_ssc
from .filters import smoothed

REACH = 1  # voxels around the place where registration puts a voxel
PATCH = 1  # voxels around a voxel that are compared
TOLERANCE = 0.7  # distances are judged against the least one, times this, and the image's noise
NOISE_OVER = 3.0  # voxels over which noise is averaged
NEARER = 0.88  # weight of a place one voxel off, 0.88 to the square of the distance
SURROUNDINGS = 3.0  # voxels over which intensities are standardised
FLAT = 1e-2  # of the range of intensities: differences below it are noise
MIND_NOISE = 0.02
CONTRAST = 0.3  # scale of standardised intensities against learned features


def comparable(volume: Tensor, spacing: Sequence[float], same_contrast: bool) -> Tensor:
    """What patches are compared by: (C, D, H, W) in 0…1 → intensities, standardised nearby, or MIND-SSC."""
    if not same_contrast:
        return mind_ssc(volume[:, None], noise_floor=MIND_NOISE).flatten(0, 1) * CONTRAST
    sigma = tuple(SURROUNDINGS * min(spacing) / s for s in spacing)
    mean = smoothed(volume, sigma)
    spread = (smoothed(volume * volume, sigma) - mean * mean).clamp_min(FLAT**2).sqrt()
    return (volume - mean) / spread * CONTRAST


def noise_of(compared: Tensor) -> Tensor:
    """Variance (D, H, W) of noise in (F, D, H, W), channels added, by how voxels miss their neighbours."""
    steps = [step for step in product((-1, 0, 1), repeat=3) if sum(map(abs, step)) == 1]
    around = reduce(torch.add, (shifted(compared, step) for step in steps)) / len(steps)
    variance = 6 / 7 * (compared - around).square_().sum(0, keepdim=True)  # the mean of six has noise, too
    return smoothed(variance, (NOISE_OVER,) * 3)[0]


def matched_votes(
    fixed: Tensor, moved: Iterable[Tensor], votes: Iterable[Tensor], noise: Tensor | float = 0.0
) -> Tensor:
    """Probability of each label (n, D, H, W); scans are gone through twice, one at a time.

    Where differences are the image's noise, the scan that happens to differ least knows no more than others.

    Args:
        fixed: what the image is compared by, (F, D, H, W).
        moved: the same of each labelled scan, on the voxels of the image.
        votes: probabilities (n, D, H, W) of their labels there.
        noise: `noise_of` the image (D, H, W).
    """
    least = torch.full(fixed.shape[1:], torch.inf)
    for scan in moved:
        for _, distance in _distances(fixed, scan):
            least = torch.minimum(least, distance)
    scale = TOLERANCE * least + noise + 1e-5
    total, weights = None, torch.zeros_like(least)
    for scan, labels in zip(moved, votes, strict=True):
        total = torch.zeros_like(labels) if total is None else total
        for step, distance in _distances(fixed, scan):
            weight = ((least - distance) / scale).exp_().mul_(NEARER ** sum(s * s for s in step))
            total.addcmul_(shifted(labels, step), weight)
            weights += weight
    assert total is not None, "no scan"
    return total / weights


def _distances(fixed: Tensor, moved: Tensor) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Mean squared differences of patches (D, H, W) for each step of the search."""
    for step in product(range(-REACH, REACH + 1), repeat=3):
        difference = (fixed - shifted(moved, step)).square_().sum(0)
        yield step, _mean_around(difference)


def shifted(volume: Tensor, step: Sequence[int]) -> Tensor:
    """(C, D, H, W) read `step` voxels further, the border repeated."""
    for axis, s in zip((1, 2, 3), step, strict=True):
        if s:
            n = volume.shape[axis]
            volume = volume.index_select(axis, (torch.arange(n) + s).clamp_(0, n - 1))
    return volume


def _mean_around(volume: Tensor) -> Tensor:
    """Mean over the patch around each voxel, along one axis after the other."""
    side = 2 * PATCH + 1
    result = volume[None, None]
    for axis in range(3):
        window = [side if a == axis else 1 for a in range(3)]
        margin = [PATCH if a == axis else 0 for a in range(3)]
        result = F.avg_pool3d(result, window, 1, margin, count_include_pad=False)
    return result[0, 0]
