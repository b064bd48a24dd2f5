"""Scans to try things out with, made on the spot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..demo import make_pair, make_small_pair

if TYPE_CHECKING:
    from .desk import Desk
    from .job import Job


def sample_pair(job: Job, desk: Desk) -> dict[str, Any]:
    """A T1- and a T2-weighted scan of one made-up head, or of a small marbled ball."""
    make = make_small_pair if job.params.flag("small", False) else make_pair
    fixed, moving, _ = make(job.params.whole("seed", 0, 2**31 - 1, 0) or 0)
    return {
        name: job.send_volume(image.data[0].numpy().astype(np.int16), image.grid)
        for name, image in (("fixed", fixed), ("moving", moving))
    }
