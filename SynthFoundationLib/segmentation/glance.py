"""The answer in a few slices before the rest: whoever looks at them need not wait for the whole volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from .decide import decided
from .evidence import Evidence, fused
from .head import Head
from .result import Result
from .seeds import Seeds, Slice
from .workspace import Frame, Workspace

Show: TypeAlias = Callable[[Slice, Tensor], None]


def glance(
    workspace: Workspace,
    evidence: Evidence,
    head: Head,
    seeds: Seeds,
    slices: Sequence[Slice],
    last: Result | None = None,
) -> list[Tensor]:
    """Labels of image slices (the axes other than theirs, in order) as the whole answer will have them.

    Nearly so: labels are as large as the `last` answer made them, and work voxels larger than the image's are
    not refined.
    """
    frame = workspace.frame
    near = torch.zeros(frame.shape, dtype=torch.bool)
    for axis in range(3):
        for place in frame.among(axis, slices):
            near.movedim(axis, 0)[max(0, place - 1) : place + 2] = True  # neighbours have a say
    among = near.flatten()[workspace.where]
    scores = fused(workspace, replace(evidence, candidates=evidence.candidates & among), head)
    limits = last.limits if last is not None and last.values == seeds.values else None
    work = np.zeros(frame.shape, np.int16) if seeds.draft is None else frame.sampled(seeds.draft)
    volume = torch.from_numpy(work).int()
    volume.view(-1)[workspace.where[among]] = decided(scores.probabilities[among], limits).int()
    return [_on_image(volume, frame, seeds, *one) for one in slices]


def _on_image(volume: Tensor, frame: Frame, seeds: Seeds, axis: int, index: int) -> Tensor:
    """A slice of the image from classes (D, H, W) on the work voxels, with what the user drew."""
    across = [a for a in range(3) if a != axis]
    drawn = _plane(seeds.classes, axis, index)
    plane = torch.zeros_like(drawn) if seeds.draft is None else _plane(seeds.draft, axis, index)
    if frame.start[axis] <= index < frame.stop[axis]:
        work = volume.movedim(axis, 0)[frame.index(axis, index)]
        for dim, a in enumerate(across):
            work = work.repeat_interleave(frame.factors[a], dim).narrow(
                dim, 0, frame.stop[a] - frame.start[a]
            )
        plane[tuple(slice(frame.start[a], frame.stop[a]) for a in across)] = work
    plane = torch.where(drawn >= 0, drawn, plane)
    return torch.tensor(seeds.values, dtype=torch.int32)[plane.long()]


def _plane(volume: np.ndarray, axis: int, index: int) -> Tensor:
    return torch.from_numpy(np.moveaxis(volume, axis, 0)[index].astype(np.int32))
