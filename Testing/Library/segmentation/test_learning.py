import numpy as np
import torch

from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image
from SynthFoundationLib.segmentation.evidence import collect, fused
from SynthFoundationLib.segmentation.learning import AGAINST, LEARNED, SURE, beyond_doubt, new_head
from SynthFoundationLib.segmentation.seeds import read_seeds
from SynthFoundationLib.segmentation.workspace import Body, Workspace

LABELLED = [6, 15]


def ball(shape=(22, 24, 26)):
    """A noisy bright ball in a body, and its label."""
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    inside = (z - 11) ** 2 + (y - 12) ** 2 + (x - 12) ** 2 < 49
    noise = np.random.default_rng(0).normal(0, 0.1, shape)
    values = torch.from_numpy(1 + inside + noise).float()
    return Image(values[None], Grid(shape[::-1])), inside.astype(np.int32)


def known():
    image, truth = ball()
    seeds = np.zeros_like(truth)
    seeds[LABELLED] = truth[LABELLED]
    workspace = Workspace(image, Body(image), 100_000)
    return workspace, collect(workspace, read_seeds(seeds, [(0, z) for z in LABELLED])), truth


def test_only_voxels_beyond_doubt_that_nobody_labelled_teach():
    workspace, evidence, _ = known()
    scores = fused(workspace, evidence, new_head(workspace, evidence, 2))
    labelled = 500
    found, labels = beyond_doubt(workspace, evidence, scores, labelled)
    assert 0 < len(found) <= LEARNED * labelled
    assert len(found.unique()) == len(found)
    assert (evidence.classes[workspace.where[found]] < 0).all()
    assert (scores.probabilities[found, labels] > SURE).all()
    prior = evidence.prior[workspace.where[found]].float()
    assert (prior.amax(1) - prior.gather(1, labels[:, None])[:, 0] <= AGAINST).all()


def test_what_a_new_head_learns_it_learns_again_the_same():
    workspace, evidence, truth = known()
    first, second = (new_head(workspace, evidence, 2) for _ in range(2))
    assert all(
        torch.equal(a, b) for a, b in zip(first.state().values(), second.state().values(), strict=True)
    )
    answer = fused(workspace, evidence, first)
    labels = answer.dense(answer.probabilities.argmax(1), 0).numpy()
    overlap = 2 * (labels * truth).sum() / (labels.sum() + truth.sum())
    assert overlap > 0.9


def test_without_anything_beyond_doubt_the_labelled_voxels_alone_count(monkeypatch):
    workspace, evidence, _ = known()
    both = new_head(workspace, evidence, 2).state()
    monkeypatch.setattr("SynthFoundationLib.segmentation.learning.SURE", 1.0)
    unsure = new_head(workspace, evidence, 2).state()
    monkeypatch.undo()
    monkeypatch.setattr("SynthFoundationLib.segmentation.learning.LEARNED", 0.0)
    alone = new_head(workspace, evidence, 2).state()
    assert all(torch.equal(unsure[name], alone[name]) for name in alone)
    assert not torch.equal(both["0.weight"], alone["0.weight"])
