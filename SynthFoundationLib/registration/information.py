"""Mutual information of grey values: how much one scan tells of the other, whatever their contrasts.

It knows nothing of edges, which features are made of: outlines that agree although one scan shows a brain
and the other a whole head tell little of each other (Viola and Wells, IJCV 1997).
"""

from __future__ import annotations

import torch

BINS = 32


def mutual_information(one: torch.Tensor, other: torch.Tensor, counts: torch.Tensor) -> float:
    """In nats, of values in [0, 1] (C, D, H, W), channel by channel, where `counts` (1, …) is above ½."""
    where = counts[0] > 0.5
    if not bool(where.any()):
        return 0.0
    each = [_of(a[where], b[where]) for a, b in zip(one, other, strict=True)]
    return sum(each) / len(each)


def _of(one: torch.Tensor, other: torch.Tensor) -> float:
    places = _bin(one) * BINS + _bin(other)
    joint = torch.bincount(places, minlength=BINS**2).cpu().double().view(BINS, BINS)
    joint /= joint.sum()
    return _entropy(joint.sum(0)) + _entropy(joint.sum(1)) - _entropy(joint.flatten())


def _bin(values: torch.Tensor) -> torch.Tensor:
    return (values * (BINS - 1)).round().long().clamp_(0, BINS - 1)


def _entropy(shares: torch.Tensor) -> float:
    shares = shares[shares > 0]
    return float(-(shares * shares.log()).sum())
