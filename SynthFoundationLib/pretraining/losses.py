"""The two contrastive losses, as pure functions of unit vectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def label_contrast(z: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss with many positives ("L_out" of Khosla et al., NeurIPS 2020).

    Args:
        z: unit vectors, (N, C).
        labels: class of each row, (N,); every class must be met at least twice.
        temperature: divides the cosine similarities.
    """
    similarity = (z @ z.T).float() / temperature
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    log_probability = similarity - similarity.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    mean = (log_probability * positive).sum(1) / positive.sum(1).clamp(min=1)
    return -mean.mean()


def place_contrast(
    query: Tensor,
    key: Tensor,
    place: Tensor,
    near: Tensor,
    gap: Tensor,
    radius: float,
    temperature: float,
) -> Tensor:
    """Find the same voxel in the other view (InfoNCE): among all other anchors and among close neighbours.

    Args:
        query: unit vectors of the first view, (N, C).
        key: unit vectors of the second view at the same places, (N, C).
        place: voxel positions, (N, 4), with the number of the pair first.
        near: unit vectors of the second view close to each anchor, (N, K, C).
        gap: their distance from the right voxel, (N, K), in voxels.
        radius: candidates closer than this to the right voxel are neither right nor wrong.
        temperature: divides the cosine similarities.
    """
    far = (query @ key.T).float() / temperature
    close = torch.bmm(near, query[:, :, None])[:, :, 0].float() / temperature
    far_ignored = _far_within(place, radius).fill_diagonal_(False)
    close_ignored = gap < radius
    logits = torch.cat(
        (far.masked_fill(far_ignored, -torch.inf), close.masked_fill(close_ignored, -torch.inf)), 1
    )
    return cross_entropy(logits, torch.arange(len(query), device=query.device))


def _far_within(place: Tensor, radius: float) -> Tensor:
    """Whether two anchors of one pair are closer than the radius, (N, N)."""
    at, pair = place[:, 1:].float(), place[:, 0]
    far = torch.cdist(at, at, compute_mode="donot_use_mm_for_euclid_dist")  # exact near zero
    return (far < radius) & (pair[:, None] == pair)
