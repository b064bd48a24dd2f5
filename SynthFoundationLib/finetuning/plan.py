"""What training and prediction must agree on, found from the cases: spacing, patch, intensities, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..features.unet import UNetConfig
from ..images import Image, LabelMap
from .grids import canonical
from .intensities import Modality, Scale, find_scales

LONGEST_STRUCTURE = 128  # voxels that all labels together may be long: finer ones leave no context in a patch
PATCH = 64  # voxels along an axis of a patch, at most


@dataclass(frozen=True)
class Plan:
    """What a model needs besides its network.

    Attributes:
        spacing: mm of its voxels along (x, y, z).
        patch: voxels (D, H, W) it sees at once.
        scales: how each contrast is brought to 0…1.
        values: the label of each class; values[0] = 0.
        names, colors: of the labels, where known.
    """

    spacing: tuple[float, float, float]
    patch: tuple[int, int, int]
    scales: tuple[Scale, ...]
    values: tuple[int, ...]
    names: dict[int, str]
    colors: dict[int, tuple[float, float, float]]

    def plain(self) -> dict[str, Any]:
        """JSON-plain values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Plan:
        """The plan that `plain` described, also after a way through JSON."""
        return cls(
            tuple(plain["spacing"]),
            tuple(plain["patch"]),
            tuple(Scale(**scale) for scale in plain["scales"]),
            tuple(plain["values"]),
            {int(k): v for k, v in plain["names"].items()},
            {int(k): tuple(v) for k, v in plain["colors"].items()},
        )


def make_plan(
    cases: Sequence[tuple[Image, LabelMap]],
    config: UNetConfig,
    modality: Modality = "auto",
    spacing: float | None = None,
) -> Plan:
    """Plan for labelled cases and a network: median spacing and size, as far as patches stay wide enough.

    Raises:
        InputError: nothing is labelled, or the cases have different numbers of contrasts.
    """
    values = sorted(set().union(*(labels.values for _, labels in cases)))
    if not values:
        raise InputError("the labels are empty; at least one voxel of one label is needed")
    grids = [canonical(image.grid) for image, _ in cases]
    chosen = np.median([g.spacing for g in grids], axis=0) if spacing is None else np.full(3, spacing)
    if spacing is None:
        longest = float(np.median([_length(labels) for _, labels in cases if labels.values]))
        chosen = chosen * max(1.0, longest / (chosen.mean() * LONGEST_STRUCTURE))
    size = np.median([g.extent for g in grids], axis=0) / chosen
    sides = np.clip(np.floor(size / config.stride + 0.5) * config.stride, config.smallest_side, PATCH)
    scales = find_scales([image for image, _ in cases], [_mask(*case) for case in cases], modality)
    wanted: Any = tuple(float(round(s, 4)) for s in chosen)
    patch: Any = tuple(int(max(n, config.smallest_side)) for n in sides[::-1])
    return Plan(
        wanted,
        patch,
        tuple(scales),
        (0, *values),
        {k: v for _, m in reversed(cases) for k, v in m.names.items() if k in values},
        {k: v for _, m in reversed(cases) for k, v in m.colors.items() if k in values},
    )


def _length(labels: LabelMap) -> float:
    """The longest edge in mm of the box that holds all labels."""
    where = labels.data.nonzero()
    voxels = (where.amax(0) - where.amin(0) + 1).numpy()
    return float((voxels * np.array(labels.grid.spacing[::-1])).max())


def _mask(image: Image, labels: LabelMap) -> torch.Tensor:
    from ..images import warp_labels

    on_image = (
        labels if labels.grid.same_space(image.grid) else warp_labels(labels, None, image.grid, "nearest")
    )
    return on_image.data > 0
