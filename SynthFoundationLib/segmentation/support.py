"""Segment a scan from a few other labelled scans, without training a network.

Every support scan is brought onto the image by registration. Its labels vote where they land, patches around
that place say how much each vote counts, and a small head learns from all scans, on the voxels of the image,
what each label looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Literal, TypeAlias, TypeVar

import numpy as np
import torch
from scipy.ndimage import maximum_filter
from torch import Tensor

from ..errors import InputError
from ..geometry import Affine, Grid, Transform, resample
from ..images import Image, ImageLike, LabelMap, LabelsLike, as_image, as_labels, foreground, normalise
from .appearance import describe
from .each import Each
from .filters import smoothed
from .head import Head
from .learning import FIRST_STEPS
from .matching import comparable, matched_votes, noise_of
from .result import Result, Scores, make_result
from .seeds import Seeds
from .session import MAX_VALUES, MAX_VOXELS
from .workspace import Frame, frame_of, position_scale

Contrast: TypeAlias = Literal["auto", "same", "other"]
CONTRASTS = ("auto", "same", "other")
Progress: TypeAlias = Callable[[str, float], None]
Moved: TypeAlias = "tuple[Tensor, Tensor | None]"
T = TypeVar("T")

FEWEST_VOXELS = 20_000  # however many labels there are
LOOK_MM = 3.0  # voxels on which it is seen where labels land
NEAR_MM = 12.0  # background further from all labels teaches nothing
REACH_MM = 6.0  # how far from where labels land they may be
ALIKE = 0.3  # correlation of intensities near the labels from which on contrasts are the same
BLUR_MM = 0.6  # by which votes are rounded off
LEAST_VOTE = 1e-3
TRUST = 0.25  # weight of the head against votes, where contrasts are the same; elsewhere it only harms
LEAST_ODDS = -4.6  # logarithm of how unlikely it may call a label: seen elsewhere, it is surer than right
AGREEMENT = (0.2, 0.8)  # Dice of where it and the votes put a label, from which on it is heard, and fully
JITTER_MM = 3.0  # how little the position is trusted
FEATURE_NOISE = 0.15
COMPARED = 12  # channels of self-similarity that patches of a contrast are compared by
CHUNK = 16_384


@dataclass(frozen=True, eq=False)
class Support:
    """A labelled scan that was brought onto the image.

    Attributes:
        volume: (C, D, H, W) in 0…1, on its own grid.
        to: points of the image → points of the scan.
        features: more channels (F, …) on their own grid, or None.
    """

    volume: Image
    labels: LabelMap
    to: Transform
    features: Image | None = field(default=None)

    def moved(self, grid: Grid) -> Moved:
        """Volume and features on the voxels of the image."""
        parts = [
            None if one is None else resample(one.data, one.grid, grid, self.to, fill=None, antialias=True)
            for one in (self.volume, self.features)
        ]
        return parts[0], parts[1]  # type: ignore[return-value]

    def landed(self, grid: Grid, values: Sequence[int]) -> Tensor:
        """Probabilities of the labels (n, D, H, W) on the voxels of the image; the first is background."""
        votes = torch.zeros(len(values), *grid.shape)
        for channel, value in enumerate(values[1:], 1):
            mask = (self.labels.data == value)[None].float()
            if mask.any():
                votes[channel] = resample(mask, self.labels.grid, grid, self.to, antialias=True)[0]
        votes[0] = (1 - votes[1:].sum(0)).clamp_min_(0)
        return votes


def segment_from_support(
    image: ImageLike | Sequence[ImageLike],
    support_images: Sequence[ImageLike | Sequence[ImageLike]],
    support_labels: Sequence[LabelsLike],
    transforms: Sequence[Transform] | None = None,
    contrast: Contrast = "auto",
    features: Callable[[Image], Image] | None = None,
    max_voxels: int = MAX_VOXELS,
    progress: Progress | None = None,
    device: str | torch.device = "auto",
) -> Result:
    """Segment an image from labelled scans of other people or other contrasts.

    Args:
        image: the scan to segment, or several contrasts of it.
        support_images: k ≥ 1 labelled scans, each with the same contrasts as the image.
        support_labels: their label maps, 0 = background.
        transforms: image points → points of each support scan; by default they are registered here.
        contrast: whether intensities mean the same in all scans ("same"), or self-similarity is compared
            ("other"); "auto" looks whether they rise and fall together near the labels.
        features: gives more features of a scan, such as learned ones, to compare.
        max_voxels: larger regions are worked on in merged voxels.
        progress: called with what is being done and the fraction of all work that is done.
        device: where to register: "auto", "cpu", "cuda", "mps"; all else is computed on the CPU.

    Raises:
        DeviceError: the device is not there.
        InputError: no support, unequal numbers, labels that are empty or land nowhere in the image, or scans
            that cannot be used.
    """
    target = as_image(image)
    scans = [as_image(one, f"support image {n}") for n, one in enumerate(support_images, 1)]
    maps = [as_labels(one, f"the labels of support image {n}") for n, one in enumerate(support_labels, 1)]
    values = _check(target, scans, maps, transforms, contrast)
    report = progress or (lambda stage, fraction: None)
    found = transforms or [
        _registered(target, scan, partial(_within, report, n, len(scans)), device)
        for n, scan in enumerate(scans)
    ]
    report("matching", 0.9)
    with torch.no_grad():
        support = [
            Support(_scaled(scan), labels, to, features(scan) if features else None)
            for scan, labels, to in zip(scans, maps, found, strict=True)
        ]
        room = max(FEWEST_VOXELS, min(max_voxels, MAX_VALUES // (len(values) * 2)))
        frame = frame_of(target, _region(target.grid, support, values), room)
        own = Support(_scaled(target), maps[0], Affine(), features(target) if features else None)
        scores = _scores(frame, own, support, values, contrast)
    nothing = np.full(target.grid.shape, -1, np.int16)
    names = {k: v for m in reversed(maps) for k, v in m.names.items()}
    colors = {k: v for m in reversed(maps) for k, v in m.colors.items()}
    blank = LabelMap(torch.zeros(target.grid.shape, dtype=torch.int32), target.grid, names, colors)
    return make_result(scores, blank, Seeds(nothing, values, (), (), False))


def _check(
    target: Image,
    scans: list[Image],
    maps: list[LabelMap],
    transforms: Sequence[Transform] | None,
    contrast: str,
) -> tuple[int, ...]:
    numbers = {len(scans), len(maps)} | ({len(transforms)} if transforms is not None else set())
    if not scans or len(numbers) > 1:
        raise InputError(
            f"{len(scans)} support images, {len(maps)} label maps"
            + (f" and {len(transforms)} transforms" if transforms is not None else "")
            + " are given; give at least one image and as many of each"
        )
    if contrast not in CONTRASTS:
        raise InputError(f"contrast is {contrast!r}; allowed are {', '.join(CONTRASTS)}")
    if {scan.channels for scan in scans} != {target.channels}:
        raise InputError(
            f"the image has {target.channels} contrasts, the support images have "
            f"{', '.join(str(s.channels) for s in scans)}; give the same contrasts for each"
        )
    values = sorted(set().union(*(m.values for m in maps)))
    if not values:
        raise InputError("the support labels are empty; at least one voxel of one label is needed")
    return (0, *values)


def _within(report: Progress, number: int, count: int, stage: str, fraction: float) -> None:
    report(f"registering {number + 1} of {count}: {stage}", 0.9 * (number + fraction) / count)


def _registered(image: Image, scan: Image, progress: Progress, device: str | torch.device) -> Transform:
    from ..registration import register

    return register(image, scan, progress=progress, device=device).transform


def _scaled(scan: Image) -> Image:
    return Image(normalise(scan, foreground(scan)), scan.grid)


def _region(grid: Grid, support: Sequence[Support], values: Sequence[int]) -> np.ndarray:
    """The box (D, H, W) in which labels land, with their surroundings.

    Raises:
        InputError: all of them land outside the image.
    """
    unit = grid.millimetre
    coarse = grid.with_spacing([max(s, LOOK_MM * unit) for s in grid.spacing])
    hit = np.zeros(coarse.shape, bool)
    for one in support:
        anything = (one.labels.data > 0)[None].float()
        hit |= resample(anything, one.labels.grid, coarse, one.to, antialias=True)[0].numpy() > 0.05
    if not hit.any():
        raise InputError(
            "the labels of the support land outside the image: the scans show no common anatomy, "
            "or their registration failed; check it with 'register'"
        )
    where = np.argwhere(hit)
    ends = [grid.to_index(coarse.to_physical(w[::-1]))[::-1] for w in (where.min(0), where.max(0))]
    margin = (NEAR_MM + LOOK_MM) * unit / np.array(grid.spacing[::-1])
    low, high = np.floor(ends[0] - margin), np.ceil(ends[1] + margin) + 1
    mask = np.zeros(grid.shape, bool)
    mask[tuple(slice(max(0, int(a)), max(1, int(b))) for a, b in zip(low, high, strict=True))] = True
    return mask


def _scores(
    frame: Frame, own: Support, support: Sequence[Support], values: tuple[int, ...], contrast: Contrast
) -> Scores:
    grid = frame.work_grid
    mine = own.moved(grid)
    channels = 2 * sum(len(part) for part in mine if part is not None) + COMPARED * len(mine[0])
    hold = _holding(len(support) * frame.voxels * (len(values) + channels))
    moved = hold(Each(lambda one: one.moved(grid), support))
    landed = hold(Each(lambda one: one.landed(grid, values), support))
    anything = reduce(torch.maximum, Each(lambda votes: 1 - votes[0], landed)).numpy()
    spacing = tuple(s / own.volume.grid.millimetre for s in frame.spacing)
    near, possible = (_around(anything > 0.05, mm, spacing) for mm in (NEAR_MM, REACH_MM))
    same = contrast == "same" or (contrast == "auto" and _alike(mine[0], moved, near))
    compared = partial(_compared, spacing=spacing, same=same)
    seen = compared(mine)
    votes = matched_votes(seen, hold(Each(compared, moved)), landed, noise_of(seen) if same else 0.0)
    votes = smoothed(votes, tuple(BLUR_MM / s for s in spacing))
    where = possible.flatten().nonzero().flatten()
    odds = votes.flatten(1).T[where].clamp_min_(LEAST_VOTE).log_()
    if same:
        described = partial(_described, spacing=spacing, near=near)
        jitter = JITTER_MM * position_scale(near.nonzero() * torch.tensor(spacing))
        rows, classes = described(mine), torch.cat([one.argmax(0)[near] for one in landed])
        head = _learned(Head(rows.shape[1], len(values)), Each(described, moved), classes, jitter)
        _add(odds, head, rows[possible[near]])
    return Scores(odds.softmax(1).to(torch.float16), where, frame)


def _holding(values: int) -> Callable[[Each[T]], Iterable[T]]:
    """What keeps results that are needed several times if so many values are not too many."""
    return list if values <= MAX_VALUES else lambda each: each


def _around(mask: np.ndarray, mm: float, spacing: Sequence[float]) -> Tensor:
    return torch.from_numpy(maximum_filter(mask, [2 * max(1, round(mm / s)) + 1 for s in spacing]))


def _alike(volume: Tensor, moved: Iterable[Moved], near: Tensor) -> bool:
    """Whether the intensities of registered scans rise and fall together."""
    correlations = [
        torch.corrcoef(torch.stack([mine[near], theirs[near]]))[0, 1]
        for scan, _ in moved
        for mine, theirs in zip(volume, scan, strict=True)
    ]
    return bool(torch.stack(correlations).nan_to_num().mean() > ALIKE)


def _compared(one: Moved, spacing: Sequence[float], same: bool) -> Tensor:
    volume, extra = one
    own = comparable(volume, spacing, same)
    return own if extra is None else torch.cat([own, extra])


def _described(one: Moved, spacing: tuple[float, ...], near: Tensor) -> Tensor:
    """Rows (M, F) of the voxels near labels: appearance, and position."""
    volume, extra = one
    rows = describe(volume, spacing, near, extra)  # type: ignore[arg-type]
    place = near.nonzero() * torch.tensor(spacing)
    return torch.cat([rows, ((place - place.mean(0)) * position_scale(place)).to(rows.dtype)], 1)


def _learned(head: Head, scans: Iterable[Tensor], classes: Tensor, jitter: float) -> Head:
    """A head that knows the labels of the support scans, seen one after the other as rows (M, F)."""
    noise = torch.full_like(head.scale, FEATURE_NOISE)
    noise[-3:] = jitter
    head.fit(partial(_rows_of, scans), classes, FIRST_STEPS, noise)
    return head


def _rows_of(scans: Iterable[Tensor], index: Tensor) -> Tensor:
    """Rows `index` (K,) of scans of as many rows each."""
    parts = []
    for number, rows in enumerate(scans):
        mine = (index // len(rows) == number).nonzero().flatten()
        parts.append((mine, rows[index[mine] % len(rows)]))
    result = torch.empty(len(index), parts[0][1].shape[1], dtype=parts[0][1].dtype)
    for mine, rows in parts:
        result[mine] = rows
    return result


def _add(odds: Tensor, head: Head, rows: Tensor) -> None:
    """Let a head speak for or against each label of the voxels described by `rows`."""
    answer = head.answers()
    said = torch.cat([answer(seen) for seen in rows.split(CHUNK)])
    heard = _agreement(said.argmax(1), odds.argmax(1), odds.shape[1]).mul_(TRUST)
    odds.addcmul_(said.clamp_min_(LEAST_ODDS), heard[:, None])


def _agreement(said: Tensor, voted: Tensor, labels: int) -> Tensor:
    """How far a head is to be heard, 0…1, at each voxel (N,), which it and the votes put in a label each.

    A structure that looks otherwise in this scan is one that the head finds elsewhere or not at all.
    """
    both = torch.bincount(said[said == voted], minlength=labels)
    sizes = torch.bincount(said, minlength=labels) + torch.bincount(voted, minlength=labels)
    low, high = AGREEMENT
    heard = ((2 * both / sizes.clamp_min(1) - low) / (high - low)).clamp_(0, 1)
    return torch.minimum(heard[said], heard[voted])
