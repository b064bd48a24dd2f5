"""Features as colours, to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..features.pca import features_to_rgb
from .desk import BACKENDS, DEVICES

if TYPE_CHECKING:
    from .desk import Desk
    from .job import Job


def feature_picture(job: Job, desk: Desk) -> dict[str, Any]:
    """The first three principal components of a scan's features as red, green and blue."""
    params = job.params
    key = params.text("volume")
    backend: Any = params.choice("features", BACKENDS, "auto")
    desk.volumes.get(key)
    weights = desk.network(job, backend)
    found = desk.features(key, backend, weights, params.choice("device", DEVICES, "auto"))
    colours = features_to_rgb([found.data])[0].mul_(255).round_().byte().movedim(0, -1)
    return job.send_volume(np.ascontiguousarray(colours.numpy()), found.grid) | {"parts": found.parts}
