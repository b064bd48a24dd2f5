"""What a head learns from: the labelled voxels, then also those that its first answer is sure of."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from .evidence import Evidence, fused
from .head import BATCH, Head
from .placement import PLACES
from .result import Scores
from .workspace import POSITION, Workspace

FEATURE_NOISE = 0.2  # of a feature's spread
EXTRA_NOISE = 1.0  # the same for channels from outside, which say too well in which slice a voxel is
PLACE_NOISE = 0.35  # the same for the place in the body
ALONG, ACROSS = 0.3, 0.05  # how far positions are jittered, of the gap between labelled slices
FAR = 8.0  # log-odds of background above which a voxel teaches nothing about borders
FIRST_STEPS, MOST_STEPS, NEXT_STEPS = 150, 300, 40
EPOCHS = 14  # times that a new head sees the labelled voxels
SURE = 0.9  # probability from which on an answer teaches
AGAINST = 2.0  # log-odds that shape may give another label more than the one that is learned
LEARNED = 0.15  # such voxels to one that is labelled
SPARE = 4  # times as many are asked whether shape agrees
TAUGHT = 10_000  # voxels that a draft teaches
FIRST, OFTEN = 4.0, 32  # how much more labelled voxels count than those, and how often one may be repeated
CALM = 0.5  # noise beside them, of that beside labelled voxels alone: they show what other slices are like


def new_head(workspace: Workspace, evidence: Evidence, count: int) -> Head:
    """A head for `count` labels, fitted to the evidence, then a second one also to what the first is sure of.

    Slices that nobody labelled look a little different; what is beyond doubt there shows how.
    """
    rows, classes = training_set(workspace, evidence)
    steps = min(max(FIRST_STEPS, EPOCHS * len(rows) // BATCH), MOST_STEPS)
    first = _unfitted(rows, count)
    disturbance = noise(workspace, evidence, first)
    first.fit(partial(rows.index_select, 0), classes, steps, disturbance)
    found, labels = beyond_doubt(workspace, evidence, fused(workspace, evidence, first), len(rows))
    if not len(found):
        return first
    rows = torch.cat([rows, workspace.rows[found]])
    second = _unfitted(rows[: len(classes)], count)
    second.fit(partial(rows.index_select, 0), torch.cat([classes, labels]), MOST_STEPS, CALM * disturbance)
    return second


def go_on(head: Head, workspace: Workspace, evidence: Evidence) -> None:
    """Fit a head further, to evidence that changed a little."""
    rows, classes = training_set(workspace, evidence)
    head.fit(partial(rows.index_select, 0), classes, NEXT_STEPS, noise(workspace, evidence, head))


def _unfitted(rows: Tensor, count: int) -> Head:
    """A new head that centres and scales the position by where the training voxels are."""
    head = Head(rows.shape[1], count)
    spot = rows[:, -3:].float()
    head.shift[-3:] = spot.mean(0)
    head.scale[-3:] = POSITION / spot.std(0, correction=0).median().clamp_min(1e-2)
    return head


def beyond_doubt(
    workspace: Workspace, evidence: Evidence, scores: Scores, labelled: int
) -> tuple[Tensor, Tensor]:
    """Voxels inside (M,) that an answer is sure of and shape is not against, and their labels (M,)."""
    most = int(LEARNED * labelled)
    probability, classes = scores.probabilities.max(1)
    useful = (probability > SURE) & (evidence.classes[workspace.where] < 0)
    useful &= (classes > 0) | (evidence.prior[:, 0][workspace.where] < FAR)
    chosen = useful.nonzero().flatten()
    mixed = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))
    chosen = chosen[mixed[: SPARE * most]]
    prior, classes = evidence.prior[workspace.where[chosen]].float(), classes[chosen]
    agreeing = prior.amax(1) - prior.gather(1, classes[:, None])[:, 0] <= AGAINST
    kept = agreeing.nonzero().flatten()[:most]
    return chosen[kept], classes[kept]


def training_set(workspace: Workspace, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Rows (M, F) and labels (M,) to learn from: all labelled voxels but background far from everything.

    A draft teaches as well, but less than what is labelled.
    """
    classes = evidence.classes[workspace.where]
    chosen = _useful(workspace, evidence, classes)
    if evidence.taught is None:
        return workspace.rows[chosen], classes[chosen].long()
    drafted = torch.where(classes < 0, evidence.taught[workspace.where], -1)
    taught = _useful(workspace, evidence, drafted)
    mixed = torch.randperm(len(taught), generator=torch.Generator().manual_seed(0))
    taught = taught[mixed[:TAUGHT]]
    times = min(max(1, round(FIRST * len(taught) / max(1, len(chosen)))), OFTEN)
    labels = torch.cat([classes[chosen].repeat(times), drafted[taught]])
    return workspace.rows[torch.cat([chosen.repeat(times), taught])], labels.long()


def _useful(workspace: Workspace, evidence: Evidence, classes: Tensor) -> Tensor:
    """Which of the voxels inside, of classes (N,), -1 for unknown, have one that teaches → rows (M,)."""
    known = (classes >= 0).nonzero().flatten()
    near = evidence.prior[workspace.where[known], 0] < FAR
    return known[(classes[known] > 0) | near] if near.any() else known


def noise(workspace: Workspace, evidence: Evidence, head: Head) -> Tensor:
    """How much each input may differ beyond the labelled slices → (F,)."""
    result = torch.full_like(head.scale, FEATURE_NOISE)
    outside, place = len(result) - 3 - PLACES - workspace.extra, len(result) - 3 - PLACES
    result[outside:place], result[place:-3] = EXTRA_NOISE, PLACE_NOISE
    across = ACROSS * max(evidence.gap_mm)
    jitter = torch.tensor([ALONG * gap if gap else across for gap in evidence.gap_mm])
    result[-3:] = jitter * workspace.position_scale * head.scale[-3:]
    return result
