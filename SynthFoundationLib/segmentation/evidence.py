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

TRUST = 0.5  # weight of appearance against shape: voxels are no independent witnesses
FEATURE_NOISE = 0.3  # of a feature's spread
ALONG, ACROSS = 0.5, 0.15  # how far positions are jittered, of the gap between labelled slices
HOPELESS = -8.0  # log-odds of every structure below which a voxel is background without being looked at
FAR = 8.0  # log-odds of background above which it teaches nothing about borders
PULL, PULL_MM = 5.0, 4.0  # log-odds that a scribble adds to its surroundings, and how far


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known before a head is fitted, on the N voxels inside the body.

    Attributes:
        classes: (D, H, W) int64 on the work voxels, −1 not labelled.
        prior: (N, n) log-odds by shape and scribbles.
        candidates: (N,) bool, where some structure may be.
        gap_mm: typical distance between labelled slices per axis, 0 where none is.
    """

    classes: Tensor
    prior: Tensor
    candidates: Tensor
    gap_mm: tuple[float, float, float]


def collect(workspace: Workspace, seeds: Seeds) -> Evidence:
    """The evidence in seeds that are drawn on the image of a workspace."""
    frame = workspace.frame
    work = frame.shrunk(seeds.classes)
    planes: dict[int, list[int]] = {}
    for axis, index in seeds.complete:
        planes.setdefault(axis, []).append(frame.index(axis, index))
    count = len(seeds.values)
    prior = _shapes(workspace, work, planes, count)
    _pull(prior, work, planes, frame.spacing)
    rows = prior[:, workspace.inside].T.float()
    candidates = (rows[:, 1:] > HOPELESS).any(1) if planes else torch.ones(len(rows), dtype=torch.bool)
    gaps = tuple(
        _gap(sorted(planes.get(axis, ())), frame.shape[axis]) * frame.spacing[axis] for axis in range(3)
    )
    return Evidence(torch.from_numpy(work.astype(np.int64)), rows, candidates, gaps)


def _gap(indices: list[int], length: int) -> float:
    if not indices:
        return 0.0
    return float(np.diff(indices).mean()) if len(indices) > 1 else length / 4


def _shapes(workspace: Workspace, work: np.ndarray, planes: dict[int, list[int]], count: int) -> Tensor:
    """Log-odds (n, D, H, W) by shape; planes of several axes count by how sure they are."""
    total = weights = None
    for axis, indices in planes.items():
        stack = np.moveaxis(work, axis, 0)
        odds, off = workspace.prior(axis).volume({z: stack[z] for z in indices}, count)
        odds = odds.movedim(1, axis + 1)
        if len(planes) == 1:
            return odds
        shape = [1, 1, 1]
        shape[axis] = -1
        weight = off.pow(-2).reshape(shape)
        total = odds * weight if total is None else total + odds * weight
        weights = weight if weights is None else weights + weight
    return torch.zeros(count, *work.shape) if total is None else total / weights


def _pull(prior: Tensor, work: np.ndarray, planes: dict[int, list[int]], spacing: tuple[float, ...]) -> None:
    """Make the surroundings of scribbles likelier to have their label, in place."""
    loose = work >= 0
    for axis, indices in planes.items():
        np.moveaxis(loose, axis, 0)[indices] = False
    if not loose.any():
        return
    sigma = tuple(PULL_MM / s for s in spacing)
    line = 1 / (2 * np.pi * max(sigma) ** 2)  # what smoothing leaves of a line one voxel wide
    for label in np.unique(work[loose]):
        near = smoothed(torch.from_numpy(((work == label) & loose).astype(np.float32)), sigma)
        prior[label] += PULL * near / (near + line)


def training_set(workspace: Workspace, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Rows (M, F) and labels (M,) to learn from: all labelled voxels but background far from everything."""
    classes = evidence.classes[workspace.inside]
    useful = (classes > 0) | ((classes == 0) & (evidence.prior[:, 0] < FAR))
    if not (useful & (classes == 0)).any():
        useful |= classes == 0
    return workspace.rows[useful], classes[useful]


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
    appearance = head.log_likelihoods(workspace.rows[evidence.candidates])
    probabilities = appearance.mul_(TRUST).add_(evidence.prior[evidence.candidates]).softmax(1)
    return Scores(probabilities, workspace.where[evidence.candidates], workspace.frame)
