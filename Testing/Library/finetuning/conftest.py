"""Small scans of a ball with a core, for networks that learn them in seconds."""

import numpy as np
import pytest
import torch

from SynthFoundationLib.features.unet import UNetConfig
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, LabelMap

GRID = Grid((26, 24, 20), (1.0, 1.0, 1.2), (-10.0, 5.0, 30.0))
TINY = UNetConfig(in_channels=12, width=8, depth=2, norm="instance", norm_eps=1e-3, stem=2)


def scan(seed, grid=GRID):
    """A noisy scan of two nested balls of varying place and size, labels 3 and 7."""
    random = np.random.default_rng(seed)
    centre = np.array(GRID.center) + random.uniform(-2, 2, 3)
    points = grid.to_physical(np.stack(np.mgrid[tuple(slice(n) for n in grid.shape)], -1)[..., ::-1])
    distance = np.linalg.norm(points - centre, axis=-1) / random.uniform(7, 8.5)
    truth = np.where(distance < 0.6, 7, np.where(distance < 1, 3, 0)).astype(np.int32)
    tone = np.choose(np.searchsorted([0, 3, 7], truth), [0.2, 0.45, 0.85]) * random.uniform(50, 500)
    noise = 0.1 * tone.max() * random.normal(size=grid.shape)
    names, colors = {3: "shell", 7: "core"}, {3: (1.0, 0.0, 0.0)}
    return Image(torch.from_numpy(tone + noise), grid), LabelMap(torch.from_numpy(truth), grid, names, colors)


def dice(ours, theirs, label):
    a, b = ours.data == label, theirs.data == label
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.fixture(scope="session")
def cases():
    return [scan(seed) for seed in range(2)]
