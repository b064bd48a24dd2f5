"""All that speaks for a label: what a voxel looks like, where it is, and the shapes in labelled slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .agreement import UNSURE, agree
from .draft import Draft
from .head import Head
from .layout import mean_edge
from .pulls import Pull, pulls_of
from .result import Scores
from .seeds import Seeds
from .shape import IMPOSSIBLE
from .workspace import Workspace

TRUST = 0.6  # weight of appearance against shape: voxels are no independent witnesses
UNDONE = 0.5  # how far appearance counts how common labels are: shapes do as well
CHUNK = 8_192  # voxels at a time: they stay in the cache
WIDE = 16  # values in a row from which on its softmax is computed in vector registers
MANY = 0.9  # share of candidates from which on picking them costs more than looking at all voxels
ALONE = 2.0  # log-odds by shape at most, far from an only slice: how far structures go on is a guess
BESIDE_DRAFT = 4.0  # the same where a draft says more
CERTAIN = 3.0  # log-odds of background above which appearance is not asked


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known before a head is fitted, on the V = D·H·W work voxels.

    Attributes:
        classes: (V,) int16, −1 not labelled.
        prior: (V, n) float16, log-odds by shape and by nearness.
        pulls: what scribbles add to it around them.
        candidates: (N,) bool, which of the voxels inside the body may belong to a structure.
        gap_mm: typical distance between labelled slices per axis, 0 where none is.
        taught: (V,) int16, what a segmentation that is corrected teaches, -1 for nothing; None without one.
    """

    classes: Tensor
    prior: Tensor
    pulls: tuple[Pull, ...]
    candidates: Tensor
    gap_mm: tuple[float, ...]
    taught: Tensor | None = None


def collect(workspace: Workspace, seeds: Seeds, draft: Draft | None = None) -> Evidence:
    """The evidence in seeds that are drawn on the image of a workspace, and in what they correct."""
    frame = workspace.frame
    work = frame.shrunk(seeds.classes)
    along = {axis: frame.among(axis, seeds.complete) for axis in range(3)}
    planes = {axis: indices for axis, indices in along.items() if indices}
    if draft is None:
        taught, prior = None, _prior(workspace, work, planes, len(seeds.values))
    else:
        off = _off(draft, work, planes, bool(seeds.planes))
        taught, prior = draft.taught(work, off).flatten(), _corrected(workspace, work, planes, draft, off)
    prior = prior.flatten(0, 2)
    gaps = [_gap(sorted(planes.get(a, ())), frame.shape[a]) * frame.spacing[a] for a in range(3)]
    pulls = pulls_of(work, planes, frame.spacing)
    narrow = bool(planes) or draft is not None
    candidates = _possible(workspace, prior, pulls) if narrow else torch.ones_like(workspace.where) > 0
    return Evidence(torch.from_numpy(work.ravel()), prior, pulls, candidates, tuple(gaps), taught)


def _possible(workspace: Workspace, prior: Tensor, pulls: tuple[Pull, ...]) -> Tensor:
    """Which of the voxels inside may belong to a structure → (N,) bool; all where nearly all may."""
    possible = prior[:, 0][workspace.where] < CERTAIN
    for pull in pulls:
        possible[pull.among(workspace.where)[0]] = True
    return possible.fill_(True) if possible.float().mean() > MANY else possible


def _gap(indices: list[int], length: int) -> float:
    if not indices:
        return 0.0
    return float(np.diff(indices).mean()) if len(indices) > 1 else length / 4


def _prior(workspace: Workspace, work: np.ndarray, planes: dict[int, list[int]], count: int) -> Tensor:
    """Log-odds (D, H, W, n) by the shapes in complete slices, and by nearness where no axis has two."""
    most = max(map(len, planes.values()), default=0)
    if most == 0:
        return workspace.nearness.odds(work, count)
    shapes = _shapes(workspace, work, planes, count)
    if most > 1:
        return shapes
    if len(planes) == 1:
        shapes = shapes.clamp(-ALONE, ALONE)
    return workspace.nearness.odds(work, count).add_(shapes)


def _off(draft: Draft, work: np.ndarray, planes: dict[int, list[int]], across: bool) -> Tensor:
    """How far off the borders of a draft are (D, H, W), judged by planes: strokes are where it is wrong."""
    known = np.full_like(work, -1)
    for axis, indices in planes.items():
        np.moveaxis(known, axis, 0)[indices] = np.moveaxis(work, axis, 0)[indices]
    return draft.off_around(work, draft.off_by(work if across else known))


def _corrected(
    workspace: Workspace, work: np.ndarray, planes: dict[int, list[int]], draft: Draft, off: Tensor
) -> Tensor:
    """Log-odds (D, H, W, n) of a draft, and by the shapes in complete slices, each by how sure it is."""
    parts = _parts(workspace, work, planes, len(draft.has), alone=True)
    weight = sum((weight for _, weight, _ in parts), torch.zeros(len(work), 1, 1, 1))
    weight = weight * mean_edge(workspace.frame.spacing) ** 2
    return draft.joined(_averaged(parts) if parts else None, weight, off)


def _shapes(workspace: Workspace, work: np.ndarray, planes: dict[int, list[int]], count: int) -> Tensor:
    """Log-odds (D, H, W, n) by shape; planes of several axes count by how sure they are."""
    parts = _parts(workspace, work, planes, count)
    return _averaged(parts) if len(parts) > 1 else parts[0][0]


def _parts(
    workspace: Workspace, work: np.ndarray, planes: dict[int, list[int]], count: int, alone: bool = False
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Log-odds (D, H, W, n) by the planes of each axis, with weights and bounds as `_averaged` takes them.

    Where structures end the only plane of an axis knows the less, the farther away.
    """
    parts = []
    for axis, indices in planes.items():
        stack = np.moveaxis(work, axis, 0)
        odds, off = workspace.prior(axis).volume({z: stack[z] for z in indices}, count, alone)
        weight = off.pow(-2)
        known = weight / weight.max() if alone or len(indices) == 1 else torch.ones_like(weight)
        bound = (-IMPOSSIBLE * known).clamp_min(BESIDE_DRAFT if alone else ALONE)
        along = [-1 if a == axis else 1 for a in range(4)]
        weight, bound = (values.reshape(along).expand(len(work), -1, -1, -1) for values in (weight, bound))
        parts.append((odds, weight, bound))
    return parts


def _averaged(parts: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The mean (D, H, W, n) of log-odds with weights and bounds, these (D, 1 or H, 1 or W, 1) each."""
    result = torch.empty_like(parts[0][0])
    for z in range(len(result)):  # sums of one slice stay in the cache
        total, weights = torch.zeros(result.shape[1:]), torch.zeros(*result.shape[1:-1], 1)
        for odds, weight, bound in parts:
            total.addcmul_(odds[z].float().maximum(-bound[z]).minimum(bound[z]), weight[z])
            weights += weight[z]
        result[z] = total.div_(weights)
    return result


def fused(workspace: Workspace, evidence: Evidence, head: Head) -> Scores:
    """Probabilities of the voxels inside the body."""
    every = bool(evidence.candidates.all())
    chosen = torch.arange(len(workspace.where)) if every else evidence.candidates.nonzero().flatten()
    places = workspace.where if every else workspace.where[chosen]
    pulls = [(pull.label, pull.parts(places, CHUNK)) for pull in evidence.pulls]
    answer = head.odds(TRUST, UNDONE)
    result = torch.zeros(len(workspace.where), len(head.prior), dtype=torch.float16)
    result[:, 0] = 1
    unsure = torch.empty(len(chosen), dtype=torch.bool)
    for number, start in enumerate(range(0, len(chosen), CHUNK)):
        part = slice(start, start + CHUNK)
        rows = workspace.rows[part] if every else workspace.rows.index_select(0, chosen[part])
        log_odds = answer(rows).add_(evidence.prior.index_select(0, places[part]))
        for label, parts in pulls:
            spots, strength = parts[number]
            log_odds[spots, label] += strength
        probabilities = _softmax(log_odds)
        result[part if every else chosen[part]] = probabilities.half()
        unsure[part] = probabilities.amax(1) < UNSURE
    known = evidence.classes[workspace.where]
    labelled = (known >= 0).nonzero().flatten()
    result[labelled] = 0
    result[labelled, known[labelled].long()] = 1
    agree(result, chosen[unsure & (known[chosen] < 0)], workspace.neighbours)
    return Scores(result, workspace.where, workspace.frame)


def _softmax(rows: Tensor) -> Tensor:
    """Softmax of short rows (N, n): along columns, which is several times as fast as along so few values."""
    return rows.softmax(1) if rows.shape[1] >= WIDE else rows.T.contiguous().softmax(0).T
