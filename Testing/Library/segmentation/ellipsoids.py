"""A made scan of two ellipsoids, and what tests of sessions draw in it."""

import numpy as np
import torch

from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.segmentation.filters import smoothed

GRID = Grid((40, 36, 32), (1.0, 1.2, 2.0), (-10.0, 5.0, 30.0), (0, 1, 0, -1, 0, 0, 0, 0, 1))


def scene(seed=0, shift=0.0):
    """A noisy scan of two nested, slanted ellipsoids and their labels 3 and 7."""
    z, y, x = np.mgrid[:32, :36, :40]
    slant = 0.3 * (z - 16) + shift
    outer = ((z - 16) / 13) ** 2 + ((y - 18) / 11) ** 2 + ((x - 20 - slant) / 12) ** 2 < 1
    inner = ((z - 17) / 6) ** 2 + ((y - 16) / 5) ** 2 + ((x - 21 - slant) / 5) ** 2 < 1
    truth = np.where(inner, 7, np.where(outer, 3, 0)).astype(np.int32)
    clean = torch.from_numpy(np.choose(np.searchsorted([0, 3, 7], truth), [0.2, 0.6, 0.9])).float()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    return (smoothed(clean, (0.5, 0.7, 0.7)) + 0.08 * noise + 1).numpy(), truth


def dice(ours, theirs, label):
    return 2 * ((ours == label) & (theirs == label)).sum() / ((ours == label).sum() + (theirs == label).sum())


def on_slices(truth, *indices):
    seeds = np.zeros_like(truth)
    seeds[list(indices)] = truth[list(indices)]
    return seeds
