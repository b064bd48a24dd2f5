"""Segment a scan from a few other labelled scans, without training a network.

Every support scan is brought onto the image by registration. Its labels vote where they land, and a small
head learns from all of them, on the voxels of the image, what each label looks like there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import maximum_filter
from torch import Tensor

from ..errors import InputError
from ..features.mind import mind_ssc
from ..geometry import Transform, resample
from ..images import Image, ImageLike, LabelMap, LabelsLike, as_image, as_labels, foreground, normalise
from .appearance import describe
from .filters import smoothed
from .head import Head
from .result import Result, Scores, make_result
from .seeds import Seeds
from .session import FIRST_STEPS, MAX_VALUES, MAX_VOXELS
from .workspace import Frame, Workspace

BLURS_MM = (1.0, 3.0)  # how far off registration leaves borders: mostly, and at times
LEAST_VOTE = 1e-4
TRUST = 0.6  # weight of appearance against votes
NEAR_MM = 12.0  # background further from all labels teaches nothing
JITTER_MM = 3.0
FEATURE_NOISE = 0.15
POSSIBLE = 1e-3  # vote for any structure from which on a voxel is looked at
CHUNK = 16_384


def segment_from_support(
    image: ImageLike | Sequence[ImageLike],
    support_images: Sequence[ImageLike],
    support_labels: Sequence[LabelsLike],
    transforms: Sequence[Transform] | None = None,
    same_contrast: bool = True,
    max_voxels: int = MAX_VOXELS,
) -> Result:
    """Segment an image from labelled scans of other people or other contrasts.

    Args:
        image: the scan to segment.
        support_images: k ≥ 1 labelled scans.
        support_labels: their label maps, 0 = background.
        transforms: image points → points of each support scan; by default they are registered here.
        same_contrast: whether intensities mean the same in all scans; if not, self-similarity is compared.
        max_voxels: larger scans are worked on in merged voxels.

    Raises:
        InputError: no support, unequal numbers, labels that are empty, or scans that cannot be used.
    """
    target = as_image(image)
    scans = [as_image(one, f"support image {n}") for n, one in enumerate(support_images, 1)]
    maps = [as_labels(one, f"the labels of support image {n}") for n, one in enumerate(support_labels, 1)]
    values = _check(scans, maps, transforms)
    with torch.no_grad():
        room = max(50_000, min(max_voxels, MAX_VALUES // (len(values) * 2)))
        workspace = Workspace(target, room, None if same_contrast else _self_similarity(target))
        found = transforms or [_registered(target, scan) for scan in scans]
        cases = list(zip(scans, maps, found, strict=True))
        votes = sum(_votes(labels, to, workspace.frame, values) for _, labels, to in cases) / len(cases)
        head = _learned(workspace, cases, values, same_contrast)
        scores = _fused(workspace, votes, head, same_contrast)
    nothing = np.full(target.grid.shape, -1, np.int16)
    names = {k: v for m in reversed(maps) for k, v in m.names.items()}
    colors = {k: v for m in reversed(maps) for k, v in m.colors.items()}
    blank = LabelMap(torch.zeros(target.grid.shape, dtype=torch.int32), target.grid, names, colors)
    return make_result(scores, blank, Seeds(nothing, values, (), False))


def _check(
    scans: list[Image], maps: list[LabelMap], transforms: Sequence[Transform] | None
) -> tuple[int, ...]:
    numbers = {len(scans), len(maps)} | ({len(transforms)} if transforms is not None else set())
    if not scans or len(numbers) > 1:
        raise InputError(
            f"{len(scans)} support images, {len(maps)} label maps"
            + (f" and {len(transforms)} transforms" if transforms is not None else "")
            + " are given; give at least one image and as many of each"
        )
    if len({scan.channels for scan in scans}) > 1:
        raise InputError("the support images have different numbers of contrasts; give the same for each")
    values = sorted(set().union(*(m.values for m in maps)))
    if not values:
        raise InputError("the support labels are empty; at least one voxel of one label is needed")
    return (0, *values)


def _registered(image: Image, scan: Image) -> Transform:
    from ..registration import register

    return register(image, scan).transform


def _votes(labels: LabelMap, to: Transform, frame: Frame, values: tuple[int, ...]) -> Tensor:
    """Probability of each label (n, D, H, W) where a support label map lands, blurred by what may be off."""
    grid = frame.work_grid
    votes = torch.zeros(len(values), *frame.shape)
    for channel, value in enumerate(values[1:], 1):
        mask = (labels.data == value)[None].float()
        if mask.any():
            landed = resample(mask, labels.grid, grid, to, antialias=True)[0]
            for blur in BLURS_MM:
                votes[channel] += smoothed(landed, tuple(blur / s for s in frame.spacing)) / len(BLURS_MM)
    votes[0] = (1 - votes[1:].sum(0)).clamp_min_(0)
    return votes


def _learned(
    workspace: Workspace,
    cases: list[tuple[Image, LabelMap, Transform]],
    values: tuple[int, ...],
    same_contrast: bool,
) -> Head:
    """A head that knows the labels of the support scans, each seen on the voxels of the image."""
    rows, classes = zip(*(_examples(workspace, *case, values, same_contrast) for case in cases), strict=True)
    head = Head(rows[0].shape[1], len(values))
    noise = torch.full_like(head.scale, FEATURE_NOISE)
    noise[-3:] = JITTER_MM * workspace.position_scale
    head.fit(torch.cat(rows), torch.cat(classes), FIRST_STEPS, noise)
    return head


def _examples(
    workspace: Workspace,
    scan: Image,
    labels: LabelMap,
    to: Transform,
    values: tuple[int, ...],
    same_contrast: bool,
) -> tuple[Tensor, Tensor]:
    """Rows (M, F) and classes (M,) of a support scan near its labels, brought onto the image."""
    frame = workspace.frame
    grid = frame.work_grid
    landed = resample(labels.data[None].float(), labels.grid, grid, to, "nearest")[0].int()
    order = torch.tensor(values, dtype=torch.int32)
    classes = torch.searchsorted(order, landed.contiguous())
    reach = [2 * round(NEAR_MM / s) + 1 for s in frame.spacing]
    near = maximum_filter((classes > 0).numpy(), reach)
    body = foreground(scan)
    seen = resample(body[None].float(), scan.grid, grid, to)[0] > 0.5
    mask = workspace.inside & torch.from_numpy(near) & (seen | (classes > 0))
    moved = resample(normalise(scan, body), scan.grid, grid, to, fill=None, antialias=True)
    extra = None if same_contrast else _described(moved)
    rows = describe(moved, frame.spacing, workspace.inside & (seen | mask), extra)
    kept = mask[workspace.inside & (seen | mask)]
    place = workspace.rows[:, -3:][mask[workspace.inside]]
    return torch.cat([_columns(rows[kept], same_contrast, len(moved)), place], 1), classes[mask]


def _self_similarity(image: Image) -> Image:
    return Image(_described(normalise(image)), image.grid)


def _described(volume: Tensor) -> Tensor:
    return mind_ssc(volume[:, None]).flatten(0, 1)


def _columns(rows: Tensor, same_contrast: bool, channels: int) -> Tensor:
    """The part of a description (N, F) that scans have in common: all, or self-similarity alone."""
    return rows if same_contrast else rows[:, -12 * channels :]


def _fused(workspace: Workspace, votes: Tensor, head: Head, same_contrast: bool) -> Scores:
    votes = votes.flatten(1).T
    chosen = (votes[workspace.where, 1:].sum(1) > POSSIBLE).nonzero().flatten()
    where = workspace.where[chosen]
    result = torch.empty(len(chosen), votes.shape[1], dtype=torch.float16)
    answer = head.answers()
    channels = len(workspace.volume)
    for part, out in zip(chosen.split(CHUNK), result.split(CHUNK), strict=True):
        rows = workspace.rows[part]
        own = torch.cat([_columns(rows[:, :-3], same_contrast, channels), rows[:, -3:]], 1)
        odds = votes[workspace.where[part]].clamp_min(LEAST_VOTE).log()
        out.copy_((answer(own) * TRUST + odds).softmax(1))
    return Scores(result, where, workspace.frame)
