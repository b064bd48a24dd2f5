"""All that speaks for a label: what a voxel looks like, where it is, and the shapes in labelled slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .filters import smoothed
from .head import Head
from .result import Scores
from .seeds import Seeds
from .workspace import POSITION, Workspace

TRUST = 0.6  # weight of appearance against shape: voxels are no independent witnesses
FEATURE_NOISE = 0.15  # of a feature's spread
ALONG, ACROSS = 0.3, 0.05  # how far positions are jittered, of the gap between labelled slices
HOPELESS = -8.0  # log-odds of every structure below which a voxel is background without being looked at
CHUNK = 16_384  # voxels at a time: they stay in the cache
FAR = 8.0  # log-odds of background above which it teaches nothing about borders
PULL, PULL_MM = 10.0, 4.0  # log-odds that a scribble adds to its surroundings, and how far


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known before a head is fitted, on the V = D·H·W work voxels.

    Attributes:
        classes: (V,) int16, −1 not labelled.
        prior: (V, n) float16, log-odds by shape and scribbles.
        candidates: (N,) bool, which of the voxels inside the body may belong to a structure.
        gap_mm: typical distance between labelled slices per axis, 0 where none is.
    """

    classes: Tensor
    prior: Tensor
    candidates: Tensor
    gap_mm: tuple[float, ...]


def collect(workspace: Workspace, seeds: Seeds) -> Evidence:
    """The evidence in seeds that are drawn on the image of a workspace."""
    frame = workspace.frame
    work = frame.shrunk(seeds.classes)
    planes: dict[int, list[int]] = {}
    for axis, index in seeds.complete:
        planes.setdefault(axis, []).append(frame.index(axis, index))
    prior = _shapes(workspace, work, planes, len(seeds.values))
    prior = _pulled(prior, work, planes, frame.spacing).flatten(0, 2)
    gaps = [_gap(sorted(planes.get(a, ())), frame.shape[a]) * frame.spacing[a] for a in range(3)]
    possible = torch.ones(len(workspace.where), dtype=torch.bool)
    if planes:
        for where, out in zip(workspace.where.split(CHUNK), possible.split(CHUNK), strict=True):
            out.copy_(prior[where, 1:].amax(1) > HOPELESS)
    return Evidence(torch.from_numpy(work.ravel()), prior, possible, tuple(gaps))


def _gap(indices: list[int], length: int) -> float:
    if not indices:
        return 0.0
    return float(np.diff(indices).mean()) if len(indices) > 1 else length / 4


def _shapes(workspace: Workspace, work: np.ndarray, planes: dict[int, list[int]], count: int) -> Tensor:
    """Log-odds (D, H, W, n) by shape; planes of several axes count by how sure they are."""
    total: Tensor | None = None
    weights = torch.zeros(*work.shape, 1)
    for axis, indices in planes.items():
        stack = np.moveaxis(work, axis, 0)
        odds, off = workspace.prior(axis).volume({z: stack[z] for z in indices}, count)
        if len(planes) == 1:
            return odds
        weight = off.pow(-2).reshape([-1 if a == axis else 1 for a in range(4)])
        total = odds * weight if total is None else total.add_(odds * weight)
        weights = weights + weight
    if total is None:
        return torch.zeros(*work.shape, count, dtype=torch.float16)
    return total.div_(weights).to(torch.float16)


def _pulled(prior: Tensor, work: np.ndarray, planes: dict[int, list[int]], spacing: tuple) -> Tensor:
    """Log-odds with the surroundings of scribbles made likelier to have their label."""
    loose = work >= 0
    for axis, indices in planes.items():
        np.moveaxis(loose, axis, 0)[indices] = False
    if not loose.any():
        return prior
    prior = prior.clone()
    sigma = tuple(PULL_MM / s for s in spacing)
    line = 1 / (2 * np.pi * max(sigma) ** 2)  # what smoothing leaves of a line one voxel wide
    for label in np.unique(work[loose]):
        near = smoothed(torch.from_numpy(((work == label) & loose).astype(np.float32)), sigma)
        prior[..., label] += PULL * near / (near + line)
    return prior


def training_set(workspace: Workspace, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Rows (M, F) and labels (M,) to learn from: all labelled voxels but background far from everything."""
    classes = evidence.classes[workspace.where]
    labelled = (classes >= 0).nonzero().flatten()
    near = evidence.prior[workspace.where[labelled], 0] < FAR
    useful = (classes[labelled] > 0) | near
    if not near.any():
        useful[:] = True
    chosen = labelled[useful]
    return workspace.rows[chosen], classes[chosen].long()


def prepare(head: Head, rows: Tensor) -> None:
    """Centre and scale the position for a new head by where the training voxels are."""
    spot = rows[:, -3:].float()
    head.shift[-3:] = spot.mean(0)
    head.scale[-3:] = POSITION / spot.std(0, correction=0).median().clamp_min(1e-2)


def noise(workspace: Workspace, evidence: Evidence, head: Head) -> Tensor:
    """How much each input may differ beyond the labelled slices → (F,)."""
    result = torch.full_like(head.scale, FEATURE_NOISE)
    across = ACROSS * max(evidence.gap_mm)
    jitter = torch.tensor([ALONG * gap if gap else across for gap in evidence.gap_mm])
    result[-3:] = jitter * workspace.position_scale * head.scale[-3:]
    return result


def fused(workspace: Workspace, evidence: Evidence, head: Head) -> Scores:
    """Probabilities of the candidates."""
    chosen = evidence.candidates.nonzero().flatten()
    where = workspace.where[chosen]
    answer = head.answers()
    result = torch.empty(len(chosen), len(head.prior), dtype=torch.float16)
    for rows, places, out in zip(chosen.split(CHUNK), where.split(CHUNK), result.split(CHUNK), strict=True):
        log_odds = answer(workspace.rows[rows]).mul_(TRUST).add_(evidence.prior[places])
        out.copy_(log_odds.softmax(1))
    return Scores(result, where, workspace.frame)
