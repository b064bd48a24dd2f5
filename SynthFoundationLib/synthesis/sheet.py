"""A contact sheet that a person can judge: views and labels of several pairs in three planes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from SynthFoundationLib.synthesis.engine import Pair


def label_colors(count: int = 256) -> np.ndarray:
    """A fixed palette, background black, neighbours in number far apart in hue: (count, 3)."""
    from matplotlib.colors import hsv_to_rgb

    k = np.arange(count)
    hsv = np.stack(((k * 0.618034) % 1, 0.55 + 0.45 * ((k * 0.37) % 1), 0.65 + 0.35 * ((k * 0.71) % 1)), 1)
    colors = hsv_to_rgb(hsv)
    colors[0] = 0
    return colors


def contact_sheet(pairs: Sequence[Pair], path: str | Path, titles: Sequence[str] | None = None) -> Path:
    """Write a PNG with one pair per block: rows are planes, columns first view, second view, labels."""
    from matplotlib.figure import Figure

    columns = min(4, len(pairs))
    rows = -(-len(pairs) // columns)
    colors = label_colors()
    figure = Figure(figsize=(3.6 * columns, 3.8 * rows), dpi=100, facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False)
    for k, axis in enumerate(axes.flat):
        axis.axis("off")
        if k >= len(pairs):
            continue
        views = [pairs[k].view1.cpu().numpy(), pairs[k].view2.cpu().numpy()]
        labels = colors[pairs[k].labels.cpu().numpy()]
        strips = []
        for plane in range(3):
            cut = [volume.take(volume.shape[plane] // 2, plane) for volume in (*views, labels)]
            strips.append(
                np.concatenate([np.repeat(c[..., None], 3, 2) if c.ndim == 2 else c for c in cut], 1)
            )
        width = max(s.shape[1] for s in strips)
        axis.imshow(np.concatenate([np.pad(s, ((0, 2), (0, width - s.shape[1]), (0, 0))) for s in strips]))
        axis.set_title(titles[k] if titles else f"pair {k}", fontsize=8)
    figure.tight_layout(pad=0.4)
    target = Path(path)
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    figure.savefig(partial)
    return partial.replace(target)
