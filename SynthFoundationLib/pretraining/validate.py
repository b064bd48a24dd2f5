"""Validation on fixed synthetic pairs, and pictures of what the features look like."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from SynthFoundationLib.features.inputs import network_input
from SynthFoundationLib.pretraining.anchors import labels_at
from SynthFoundationLib.pretraining.config import PretrainConfig
from SynthFoundationLib.pretraining.data import VALIDATION_SEED, make_batch
from SynthFoundationLib.pretraining.retrieval import retrieval, unit_features


@torch.no_grad()
def validate(config: PretrainConfig, net: nn.Module, device: torch.device) -> dict[str, float]:
    """Mean retrieval over the validation pairs, foreground only, one voxel taken as 1 mm."""
    found = []
    step = config.network.stem
    for k in range(config.run.validation_pairs):
        views, labels, maps, _ = make_batch(config, [VALIDATION_SEED + k], device, turn=0.0)
        features = net(network_input(views, config.network))
        grid = (features.shape[2], features.shape[3], features.shape[4])
        # The windows are shifted by whole feature voxels: what both see is compared in place.
        boxes = [_overlap(-round(float(s) / step), n) for s, n in zip(maps[0, :, 3], grid, strict=True)]
        first, second = ((slice(None), *(box[view] for box in boxes)) for view in (0, 1))
        where = labels_at(labels[:1], grid)[first][0] > 0
        if int(where.sum()) < 64:
            continue
        one, two = unit_features(features[0])[first], unit_features(features[1])[second]
        found.append(retrieval(one, two, where, (float(step),) * 3, queries=1024))
    names = ("within", "median_mm", "local_mm", "chance")
    return {name: sum(f[name] for f in found) / max(1, len(found)) for name in names}


def _overlap(shift: int, n: int) -> tuple[slice, slice]:
    """Common voxels of two windows when index i of the first is index i + shift of the second."""
    low, high = max(0, -shift), min(n, n - shift)
    return slice(low, high), slice(low + shift, high + shift)


@torch.no_grad()
def draw_pictures(
    config: PretrainConfig, net: nn.Module, folder: Path, step: int, device: torch.device
) -> Path:
    """Write a PNG: two validation pairs, views and the first three principal components of their features."""
    from matplotlib.figure import Figure

    rows = []
    for k in range(4):
        views = make_batch(config, [VALIDATION_SEED + k], device).views
        rows.append((views, colors(net(network_input(views, config.network)))))
    figure = Figure(figsize=(8, 8), dpi=100)
    axes = figure.subplots(len(rows), 4)
    for row, (views, rgb) in zip(axes, rows, strict=True):
        for view in (0, 1):
            row[2 * view].imshow(views[view, 0, views.shape[2] // 2].cpu(), cmap="gray")
            row[2 * view + 1].imshow(rgb[view, rgb.shape[1] // 2].cpu())
        for axis in row:
            axis.axis("off")
    figure.tight_layout(pad=0.3)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"features-{step:07d}.png"
    figure.savefig(path)
    return path


def colors(features: Tensor) -> Tensor:
    """First three principal components as RGB, common to both views: (2, C, …) to (2, …, 3)."""
    unit = torch.stack([unit_features(f) for f in features])
    rows = unit.flatten(2).transpose(1, 2).reshape(-1, unit.shape[1])
    rows = rows - rows.mean(0)
    _, _, basis = torch.linalg.svd(rows[:: max(1, len(rows) // 20000)], full_matrices=False)
    shown = rows @ basis[:3].T
    low, high = shown.quantile(0.02, 0) if len(shown) < 10**6 else shown.amin(0), shown.amax(0)
    shown = ((shown - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    return shown.reshape(unit.shape[0], *unit.shape[2:], 3)
