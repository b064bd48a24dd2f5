"""The head of the demo with labels: tissues, cerebellum and brainstem; nobody's, so it may be shown."""

from __future__ import annotations

import numpy as np
import torch

from SynthFoundationLib.demo import head as made
from SynthFoundationLib.demo.pair import make_pair
from SynthFoundationLib.geometry import Transform, resample
from SynthFoundationLib.images import Image, LabelMap

NAMES = {1: "white matter", 2: "grey matter", 3: "deep fluid", 4: "cerebellum", 5: "brainstem"}
COLORS = {
    1: (0.95, 0.85, 0.4),
    2: (0.85, 0.45, 0.3),
    3: (0.25, 0.65, 0.95),
    4: (0.35, 0.75, 0.4),
    5: (0.7, 0.45, 0.85),
}
WHITE, FLUID = 140.0, 180.0  # brightness above which a voxel of the cerebrum is that, in T1 and in T2
DEEP_MM = 10.0  # below the surface of the cerebrum: fluid of ventricles and deep sulci


def labelled_pair(seed: int = 0) -> tuple[Image, LabelMap, Image, LabelMap]:
    """T1-weighted scan and T2-weighted scan of the same made person in another pose, with their labels."""
    fixed, moving, transform = make_pair(seed)
    labels = _labels(seed)
    return fixed, _on(labels, fixed, None), moving, _on(labels, moving, transform.inverse())


def _labels(seed: int) -> LabelMap:
    """What the head that `make_pair` scans consists of: the same draws, before noise."""
    cerebrum, cerebellum, stem = made._brain(made._individual(np.random.default_rng(seed)))
    t1, t2 = made.make_head(np.random.default_rng(seed)).data.numpy()
    labels = np.zeros(t1.shape, np.int32)
    labels[stem < 0] = 5
    labels[cerebellum < 0] = 4
    labels[(cerebrum < 0) & (t2 < FLUID)] = 2
    labels[(cerebrum < 0) & (t1 > WHITE)] = 1
    labels[(cerebrum < -DEEP_MM) & (t2 > FLUID)] = 3
    return LabelMap(torch.from_numpy(labels), made.GRID, NAMES, COLORS)


def _on(labels: LabelMap, image: Image, transform: Transform | None) -> LabelMap:
    """The labels on the voxels of a scan whose points the transform takes to those of the head."""
    moved = resample(labels.data[None].float(), labels.grid, image.grid, transform, mode="nearest")[0]
    return LabelMap(moved.round().int(), image.grid, labels.names, labels.colors)
