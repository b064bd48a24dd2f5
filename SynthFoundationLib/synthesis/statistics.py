"""What an ensemble and its views are like in numbers, the same for synthetic pairs and for real scans."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 20


def label_statistics(labels: Tensor) -> dict[str, float]:
    """Number of labels, median and smallest fraction of the volume of a label, (D, H, W) integers."""
    count = torch.bincount(labels.flatten().long())[1:]
    count = count[count > 0].float()
    if len(count) == 0:
        return {"labels": 0.0}
    part = count / labels.numel()
    return {
        "labels": float(len(count)),
        "median_volume": float(part.median()),
        "smallest_volume": float(part.min()),
    }


def image_statistics(image: Tensor, labels: Tensor) -> dict[str, float]:
    """Contrast between touching labels and spread within labels of an image in [0, 1], (D, H, W).

    `contrast` is the median over touching pairs of the difference of means, `contrast_to_noise` that
    difference over the pair's root mean square standard deviation, `spread` the median standard deviation.
    """
    flat, index = image.flatten().double(), labels.flatten().long()
    size = int(index.max()) + 1
    count = torch.bincount(index, minlength=size).double()
    mean = torch.bincount(index, flat, minlength=size) / count.clamp(min=1)
    square = torch.bincount(index, flat.square(), minlength=size) / count.clamp(min=1)
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    enough = count >= SMALLEST
    pairs = touching(labels)
    pairs = pairs[enough[pairs[:, 0]] & enough[pairs[:, 1]]]
    found = {"spread": float(deviation[enough].median())}
    if len(pairs):
        first, second = pairs.T
        difference = (mean[first] - mean[second]).abs()
        noise = ((deviation[first].square() + deviation[second].square()) / 2).sqrt().clamp(min=1e-6)
        found["contrast"] = float(difference.median())
        found["contrast_to_noise"] = float((difference / noise).median())
    return found


def touching(labels: Tensor) -> Tensor:
    """Pairs of labels with a common face, each once, (N, 2)."""
    wide = labels.long()
    size = int(wide.max()) + 1
    codes = []
    for axis in range(3):
        n = wide.shape[axis] - 1
        a, b = wide.narrow(axis, 0, n), wide.narrow(axis, 1, n)
        differs = a != b
        codes.append(torch.minimum(a, b)[differs] * size + torch.maximum(a, b)[differs])
    code = torch.cat(codes).unique()
    return torch.stack((code // size, code % size), 1)
