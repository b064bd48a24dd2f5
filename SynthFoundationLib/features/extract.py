"""The one call from an image to dense features on a stated grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from SynthFoundationLib.errors import InputError, MemoryBoundError
from SynthFoundationLib.features.inputs import contrasts_taken, network_input
from SynthFoundationLib.features.mind import CHANNELS, MindConfig, mind_ssc
from SynthFoundationLib.features.registry import Registry
from SynthFoundationLib.features.tiling import GIGABYTE, infer, preferred_dtype
from SynthFoundationLib.features.weights import Weights, load_weights
from SynthFoundationLib.geometry import Grid, resample
from SynthFoundationLib.images import Image, ImageLike, as_image, normalise

Backend = Literal["auto", "mind", "learned", "learned+mind"]
Contrasts = Literal["concatenate", "average"]
Precision = Literal["auto", "float32", "bfloat16"]
# Volumes of one channel that computing MIND takes: its twelve channels and four in passing.
MIND_VOLUMES = CHANNELS + 4


@dataclass(frozen=True, eq=False)
class FeatureVolume:
    """Dense features.

    Attributes:
        data: (C, D, H, W) float32.
        grid: where the voxels are, LPS mm.
        parts: what the channels are, in order, and how many: ("learned", 16), ("mind", 12).
        weights: the pretrained network behind the learned part, or None.
    """

    data: Tensor
    grid: Grid
    parts: tuple[tuple[str, int], ...]
    weights: Weights | None = field(default=None, repr=False)


def isotropic(grid: Grid, spacing: float | None = None) -> Grid:
    """The voxels that an image of this grid is described on: of `spacing` mm, or its finest."""
    return grid.with_spacing(min(grid.spacing) if spacing is None else spacing)


def extract_features(
    image: ImageLike | Sequence[ImageLike],
    backend: Backend = "auto",
    weights: str | Path | Weights | None = None,
    spacing: float | None = None,
    device: str | torch.device = "cpu",
    max_memory_gb: float | None = None,
    contrasts: Contrasts = "concatenate",
    mind: MindConfig = MindConfig(),  # noqa: B008  (an immutable tuple)
    precision: Precision = "auto",
) -> FeatureVolume:
    """Return the features of an image of any modality.

    The image is scaled to [0, 1] (`images.normalise`) and resampled to isotropic voxels of `spacing` mm (its
    finest by default); the grid of the result has these voxels, or voxels twice as large for a network with a
    half-resolution stem. See `compute_features` for the other arguments.
    Raises `InputError` for unusable images or options, `WeightsError` for unusable weights.
    """
    image = as_image(image)
    grid = isotropic(image.grid, spacing)
    data = normalise(image).to(device)
    if grid.same_space(image.grid):
        grid = image.grid
    else:
        data = resample(data, image.grid, grid, fill=None, antialias=True)
    return compute_features(Image(data, grid), backend, weights, max_memory_gb, contrasts, mind, precision)


@torch.no_grad()
def compute_features(
    image: Image,
    backend: Backend = "auto",
    weights: str | Path | Weights | None = None,
    max_memory_gb: float | None = None,
    contrasts: Contrasts = "concatenate",
    mind: MindConfig = MindConfig(),  # noqa: B008
    precision: Precision = "auto",
    beat: Callable[[], None] | None = None,
) -> FeatureVolume:
    """Return the features of an image that is in [0, 1] and isotropic already, on the device of its data.

    Args:
        image: (C, D, H, W) of one or several contrasts.
        backend: "learned" has the U-Net's channels, of unit length at each voxel; "mind" has MIND-SSC's 12;
            "learned+mind" has both in this order; "auto" is that if there are weights, else "mind".
        weights: id, file or loaded weights; None is the registry's default.
        max_memory_gb: what each of the two may use for one contrast, besides the image and the network.
        contrasts: of an image with several, "concatenate" their features, which compares with an image of
            the same contrasts in the same order, or "average" them, which compares with any other image.
            A network that was trained on that many contrasts sees them together.
        mind: patch radius, dilation and noise floor of MIND-SSC.
        precision: of the network: "auto" is bfloat16 on hardware that computes in it, else float32.
        beat: called while the network runs; what it raises ends the work.
    """
    _check(backend=(backend, Backend), contrasts=(contrasts, Contrasts), precision=(precision, Precision))
    if backend == "auto":
        backend = "mind" if weights is None and Registry.read().default is None else "learned+mind"
    parts, loaded, stem = [], None, 1
    if "learned" in backend:
        loaded = weights if isinstance(weights, Weights) else load_weights(weights)
        stem = loaded.network.config.stem
        dtype = preferred_dtype(image.data.device) if precision == "auto" else getattr(torch, precision)
        parts.append(("learned", _learned(image.data, loaded, max_memory_gb, dtype, contrasts, beat)))
    if "mind" in backend:
        parts.append(("mind", _mind(image.data, mind, stem, max_memory_gb, contrasts)))
    data = parts[0][1] if len(parts) == 1 else torch.cat([part for _, part in parts])
    return FeatureVolume(
        data, image.grid.coarsened(stem), tuple((name, len(part)) for name, part in parts), loaded
    )


def _check(**choices: tuple[str, Any]) -> None:
    for name, (value, kind) in choices.items():
        if value not in get_args(kind):
            raise InputError(f"{name} is {value!r}; allowed are {', '.join(get_args(kind))}.")


def _learned(
    data: Tensor,
    weights: Weights,
    max_memory_gb: float | None,
    dtype: torch.dtype,
    contrasts: Contrasts,
    beat: Callable[[], None] | None,
) -> Tensor:
    network, config = weights.network, weights.network.config
    taken = contrasts_taken(config)
    if taken not in (1, len(data)):
        raise InputError(f"Weights {weights.id!r} take {taken} contrasts; the image has {len(data)}.")
    sides = [max(config.smallest_side, config.stride * ceil(n / config.stride)) for n in data.shape[1:]]
    padded, shape = _grown(data, sides), [ceil(n / config.stem) for n in data.shape[1:]]
    features = []
    for group in padded.split(taken):
        seen = network_input(group[None], config)[0]
        features.append(_cropped(_unit(infer(network, seen, max_memory_gb, dtype, beat)), shape))
    if contrasts == "average" and len(features) > 1:
        return _unit(torch.stack(features).sum(0))
    return features[0] if len(features) == 1 else torch.cat(features)


def _mind(
    data: Tensor, mind: MindConfig, stem: int, max_memory_gb: float | None, contrasts: Contrasts
) -> Tensor:
    needed = 4 * prod(data.shape[1:]) * MIND_VOLUMES / GIGABYTE
    if max_memory_gb is not None and needed > max_memory_gb:
        raise MemoryBoundError(
            f"MIND at {tuple(data.shape[1:])} voxels needs {needed:.2f} GB; allowed are {max_memory_gb} GB. "
            "Allow more memory or use a larger voxel spacing."
        )
    padded = _grown(data, [stem * ceil(n / stem) for n in data.shape[1:]])
    features = mind_ssc(padded[:, None], *mind)
    if stem > 1:
        features = F.avg_pool3d(features, stem)
    return features.mean(0) if contrasts == "average" else features.flatten(0, 1)


def _grown(data: Tensor, sides: Sequence[int]) -> Tensor:
    """Continue the volume by its last voxels until it has these sides."""
    missing = [n - m for n, m in zip(sides, data.shape[1:], strict=True)]
    if not any(missing):
        return data
    return F.pad(data[None], [p for n in reversed(missing) for p in (0, n)], mode="replicate")[0]


def _cropped(features: Tensor, shape: Sequence[int]) -> Tensor:
    depth, height, width = shape
    return features[:, :depth, :height, :width].contiguous()


def _unit(features: Tensor) -> Tensor:
    """Scale the channels (C, ...) of each voxel to unit length, in place."""
    length = torch.linalg.vector_norm(features, dim=0)
    return features.div_(length.clamp_min_(torch.finfo(features.dtype).tiny))
