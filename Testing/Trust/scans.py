"""Scans made on the spot: a body of marbled tissue in air, seen twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import ndimage

from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, LabelMap

EXTENT_MM = 256.0
TISSUES = 4


def make_scan(size: tuple[int, int, int], contrast: int = 0, bend_mm: float = 0.0) -> Image:
    """A body on (x, y, z) voxels; another contrast gives its tissues other values, `bend_mm` deforms it."""
    values = 300 + 200.0 * np.random.default_rng(contrast).permutation(TISSUES)
    noise = np.random.default_rng(100 + contrast)
    volume = np.zeros(size[::-1], np.float32)
    for plane, tissue in zip(volume, _tissues(size, bend_mm), strict=True):
        plane[:] = np.where(tissue > 0, values[tissue - 1], 0)
        plane += 10 * noise.standard_normal(plane.shape, np.float32)
    return Image(torch.from_numpy(volume), _grid(size))


def make_seeds(size: tuple[int, int, int], slices: int = 5) -> LabelMap:
    """The tissues of `make_scan`, on a few slices."""
    labels = np.zeros(size[::-1], np.int32)
    wanted = set(np.linspace(0.3 * size[2], 0.7 * size[2], slices).astype(int))
    for index, tissue in enumerate(_tissues(size, 0.0)):
        if index in wanted:
            labels[index] = tissue
    return LabelMap(torch.from_numpy(labels), _grid(size))


def _grid(size: tuple[int, int, int]) -> Grid:
    spacing = tuple(EXTENT_MM / n for n in size)
    return Grid(size, spacing, tuple((s - EXTENT_MM) / 2 for s in spacing))


def _tissues(size: tuple[int, int, int], bend_mm: float) -> Iterator[np.ndarray]:
    """Slice by slice 0 (air) or 1…4, so that the largest scan takes no more memory than itself."""
    marbling = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((40, 40, 40)), 2.5)
    borders = np.quantile(marbling, np.arange(1, TISSUES) / TISSUES)
    z, y, x = ((np.arange(n) + 0.5) / n for n in size[::-1])
    for height in z:
        row, column = np.meshgrid(y, x, indexing="ij")
        column = column - bend_mm / EXTENT_MM * (1 + 0.3 * np.sin(6 * row + 4 * height))
        places = np.stack([np.full_like(row, height), row, column])
        kinds = 1 + np.digitize(
            ndimage.map_coordinates(marbling, 39 * places, order=1, mode="nearest"), borders
        )
        outside = ((places - 0.5) ** 2 / np.reshape((0.18, 0.12, 0.10), (3, 1, 1))).sum(0) > 1
        yield np.where(outside, 0, kinds)
