"""The `evaluate-features` verb: learned features against MIND-SSC and raw intensity, by retrieval."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d, pad

from SynthFoundationLib.errors import InputError, WeightsError
from SynthFoundationLib.features.inputs import network_input
from SynthFoundationLib.features.mind import mind_ssc
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weights import load_weights
from SynthFoundationLib.files import replacing
from SynthFoundationLib.pretraining.retrieval import retrieval, unit_features

Describe = Callable[[Tensor], Tensor]


def checkpoint_facts(folder: Path) -> dict[str, Any]:
    """What a checkpoint folder says of its training.

    Raises:
        WeightsError: when it is no checkpoint folder.
    """
    try:
        return json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{folder.name} is no checkpoint folder: facts.json is missing or damaged"
        ) from error


def load_network(path: str | Path) -> UNet:
    """The averaged network of a checkpoint folder, a registered id, or a weights file, ready for inference.

    Raises:
        WeightsError: when there are no such weights, or the folder holds no network of ours.
    """
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_dir():
        return load_weights(path).network
    config = UNetConfig(**checkpoint_facts(path)["config"]["network"])
    tensors = load_file(path / "weights.safetensors")
    state = {key[8:]: value for key, value in tensors.items() if key.startswith("average.")}
    return UNet(config).load(state).eval()


def describers(network: UNet | None) -> dict[str, Describe]:
    """What is compared, each (D, H, W) at spacing s to (C, D/2, H/2, W/2) at spacing 2 s."""

    def learned(volume: Tensor) -> Tensor:
        assert network is not None
        features = network(network_input(volume[None, None], network.config))
        if network.config.stem == 1:
            features = avg_pool3d(features, 2)
        return unit_features(features[0])

    def mind(volume: Tensor) -> Tensor:
        return avg_pool3d(mind_ssc(volume[None, None]), 2)[0]

    def intensity(volume: Tensor) -> Tensor:
        return avg_pool3d(volume[None, None], 2)[0]

    found: dict[str, Describe] = {"mind": mind, "intensity": intensity}
    if network is not None:
        found = {"learned": learned, "learned+mind": lambda v: torch.cat((learned(v), mind(v))), **found}
    return found


@torch.no_grad()
def compare(
    first: Tensor, second: Tensor, where: Tensor, spacing: float, network: UNet | None, queries: int = 4096
) -> dict[str, dict[str, float]]:
    """Retrieval of every descriptor for aligned volumes in [0, 1], (D, H, W), sides multiples of a stride."""
    # The same place lies at another index in each volume: a network that encodes its position in the window,
    # as padding allows, finds nothing this way.
    stride = network.config.stride if network else 16
    ahead, behind = (0, stride) * 3, (stride, 0) * 3
    inside = avg_pool3d(where[None, None].float(), 2)[0, 0] >= 0.5
    kept = (slice(None), *(slice(0, n) for n in inside.shape))
    moved = (slice(None), *(slice(stride // 2, stride // 2 + n) for n in inside.shape))
    grid = (2 * spacing,) * 3
    return {
        name: retrieval(
            describe(pad(first, ahead))[kept],
            describe(pad(second, behind))[moved],
            inside,
            grid,
            queries=queries,
        )
        for name, describe in describers(network).items()
    }


def aligned_volumes(paths: Sequence[Path], spacing: float, stride: int) -> tuple[list[Tensor], Tensor]:
    """Aligned scans on one isotropic grid around their common foreground, in [0, 1]; and the foreground.

    Raises:
        InputError: when the scans do not lie in the same space.
    """
    from SynthFoundationLib.geometry import resample
    from SynthFoundationLib.images import Image, foreground, normalise, read_image

    images = [read_image(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if not image.grid.same_space(images[0].grid):
            raise InputError(f"{path.name} and {paths[0].name} lie on different grids: give aligned volumes")
    grid = images[0].grid.with_spacing(spacing)
    images = [Image(resample(image.data[:1], image.grid, grid), grid) for image in images]
    mask = foreground(images[0])
    for image in images[1:]:
        mask &= foreground(image)
    found = mask.nonzero()
    if len(found) == 0:
        raise InputError(f"{paths[0].name}: no foreground was found")
    low = (found.amin(0) - 8).clamp(min=0)
    high = torch.minimum(found.amax(0) + 9, torch.tensor(mask.shape))
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    margins: list[int] = []
    for side in reversed([s.stop - s.start for s in box]):
        margins += [0, max(-side % stride, 2 * stride - side)]
    volumes = [pad(normalise(image)[0][box], margins) for image in images]
    return volumes, pad(mask[box], margins)


def evaluate_features(
    weights: str | Path | None,
    out: str | Path | None = None,
    pairs: Sequence[tuple[str | Path, str | Path]] = (),
    synthetic: int = 0,
    spacing: float = 1.0,
    queries: int = 4096,
    side: int = 96,
) -> list[dict[str, str | float]]:
    """Fraction of voxels whose nearest feature in the other aligned volume lies within 5 mm.

    Args:
        weights: registered id, checkpoint folder or file; None compares MIND-SSC and intensity alone.
        out: CSV file for the rows.
        pairs: pairs of aligned scans of different contrast.
        synthetic: number of synthetic validation pairs, taken as 1 mm volumes.
        spacing: mm of the grid on which features are computed (features lie at twice the spacing).
        queries: voxels asked for per pair.
        side: voxels of the synthetic pairs.

    Returns:
        One row per pair and descriptor: `pair`, `features`, `within`, `median_mm`, `local_mm`, `chance`.

    Raises:
        InputError: when neither pairs nor synthetic pairs are asked for, or scans are not aligned.
    """
    from SynthFoundationLib.pretraining.data import VALIDATION_SEED
    from SynthFoundationLib.synthesis import render, sample

    if not pairs and synthetic < 1:
        raise InputError("nothing to evaluate: name pairs of aligned scans, or a number of synthetic pairs")
    network = load_network(weights) if weights is not None else None
    stride = network.config.stride if network else 2
    rows: list[dict[str, str | float]] = []
    for first, second in pairs:
        (a, b), where = aligned_volumes([Path(first), Path(second)], spacing, stride)
        name = f"{Path(first).parent.name}/{Path(first).name.split('.')[0]}-{Path(second).name.split('.')[0]}"
        rows += _rows(name, compare(a, b, where, spacing, network, queries))
    for k in range(synthetic):
        pair = render(sample(VALIDATION_SEED + 1000 + k, (side,) * 3))
        rows += _rows(
            f"synthetic {k}", compare(pair.view1, pair.view2, pair.labels > 0, 1.0, network, queries)
        )
    if out is not None:
        _write(rows, Path(out))
    return rows


def _rows(pair: str, found: dict[str, dict[str, float]]) -> list[dict[str, str | float]]:
    return [{"pair": pair, "features": name, **values} for name, values in found.items()]


def _write(rows: list[dict[str, str | float]], path: Path) -> None:
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
