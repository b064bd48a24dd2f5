"""A contact sheet that a person can judge: views and labels of several pairs in three planes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from SynthFoundationLib.files import replacing
from SynthFoundationLib.synthesis.engine import Pair


@cache
def label_colors(count: int = 256) -> np.ndarray:
    """A fixed palette, background black, neighbours in number far apart in hue: (count, 3)."""
    from matplotlib.colors import hsv_to_rgb

    k = np.arange(count)
    hsv = np.stack(((k * 0.618034) % 1, 0.55 + 0.45 * ((k * 0.37) % 1), 0.65 + 0.35 * ((k * 0.71) % 1)), 1)
    colors = hsv_to_rgb(hsv)
    colors[0] = 0
    return colors


def block(pair: Pair) -> np.ndarray:
    """One pair as a picture (rows, columns, 3): rows are planes, columns first view, second view, labels."""
    volumes, colors = [volume.cpu().numpy() for volume in pair], label_colors()
    strips = []
    for plane in range(3):
        *views, labels = (volume.take(volume.shape[plane] // 2, plane) for volume in volumes)
        strips.append(np.concatenate([*(np.repeat(v[..., None], 3, 2) for v in views), colors[labels]], 1))
    width = max(strip.shape[1] for strip in strips)
    return np.concatenate([np.pad(s, ((0, 2), (0, width - s.shape[1]), (0, 0))) for s in strips])


def contact_sheet(blocks: Sequence[np.ndarray], path: str | Path, titles: Sequence[str]) -> Path:
    """Write a PNG with one block per pair, whole or not at all."""
    from matplotlib.figure import Figure

    columns = min(4, len(blocks))
    rows = -(-len(blocks) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.8 * rows), dpi=100, facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, title in zip(axes.flat, blocks, titles, strict=False):
        axis.imshow(picture)
        axis.set_title(title, fontsize=8)
    figure.tight_layout(pad=0.4)
    with replacing(path) as beside:
        figure.savefig(beside)
    return Path(path)
