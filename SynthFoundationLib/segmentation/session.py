"""Label a few slices, get the volume, correct, and see it change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..features.weights import Weights
from ..geometry import Grid
from ..images import Image, ImageLike, LabelMap, LabelsLike, as_image, as_labels, warp_labels
from .channels import Features, more_channels
from .drawn import Drawn
from .evidence import collect, fused, noise, prepare, training_set
from .glance import Show, glance
from .head import BATCH, Head
from .result import Result, changed_box, make_result
from .seeds import CompleteSlices, Slice, check_slices, read_seeds
from .storage import load_session, save_session
from .workspace import Workspace

MAX_VOXELS = 8_000_000
MAX_VALUES = 300_000_000  # work voxels × labels
FIRST_STEPS, MOST_STEPS, NEXT_STEPS = 150, 300, 40
EPOCHS = 14  # times that a new head sees the labelled voxels


@dataclass(frozen=True, eq=False)
class Edit:
    """One call of `update`: what the user gave, and the head that answered."""

    drawn: Drawn
    complete: tuple[Slice, ...]
    background: int | None
    head: dict[str, Tensor] = field(repr=False)


class FewShotSession:
    """Segments one image from the slices, scribbles or points labelled so far.

    Features and tracks of the image are computed once; each `update` refits a small head from where it was
    and recomputes the slabs next to slices that changed.
    """

    def __init__(
        self,
        image: ImageLike | Sequence[ImageLike],
        features: Image | Features | None = "auto",
        max_voxels: int = MAX_VOXELS,
        weights: str | Path | Weights | None = None,
    ) -> None:
        """Take a scan, or several contrasts of it.

        Args:
            image: path, SimpleITK image, (array, Grid), `Image`, or a list of contrasts.
            features: more channels to tell labels apart by, on any grid; "learned": those of a pretrained
                network, computed when first needed; "auto": these if weights are given or installed;
                "none" or None.
            max_voxels: larger scans are worked on in voxels of twice, three times … the size.
            weights: id, file or loaded weights of the network; by default the installed ones.

        Raises:
            InputError: the image or the features cannot be used.
        """
        self.image = as_image(image)
        self._more = more_channels(self.image, features, weights)
        self._max_voxels = max_voxels
        self._workspace: Workspace | None = None
        self._edits: list[Edit] = []
        self._head: tuple[Head, tuple[int, ...]] | None = None
        self._last: Result | None = None

    @property
    def grid(self) -> Grid:
        """The grid of the image and of all results."""
        return self.image.grid

    @property
    def edits(self) -> int:
        """How many updates can be undone."""
        return len(self._edits)

    def update(
        self,
        seeds: LabelsLike,
        complete_slices: CompleteSlices = "auto",
        background: int | None = None,
        glances: Sequence[Slice] = (),
        show: Show | None = None,
    ) -> Result:
        """Segment the volume from all that is labelled now.

        Args:
            seeds: label map, 0 = not labelled; one on another grid is resampled.
            complete_slices: pairs (array axis of (D, H, W), index) of slices whose empty voxels are
                background; "none"; or "auto": found where no background is labelled, and reported.
            background: the label in the seeds that stands for background; it becomes 0 in the result.
            glances: slices as (array axis, index) that are answered first, for somebody who looks at them.
            show: called with each of these and its labels, before the rest is computed.

        Raises:
            InputError: nothing is labelled, or the arguments do not fit the image.
        """
        glances = check_slices(glances, self.grid.shape)
        labels = self._on_image(seeds)
        read = read_seeds(labels.data.numpy(), complete_slices, background)
        workspace = self._prepared(len(read.values))
        evidence = collect(workspace, read)
        rows, classes = training_set(workspace, evidence)
        head, steps = self._start(rows, read.values)
        head.fit(rows, classes, steps, noise(workspace, evidence, head))
        if show is not None and glances:
            seen = glance(workspace, evidence, head, read, glances, self._last)
            for one, plane in zip(glances, seen, strict=True):
                show(one, plane)
        scores = fused(workspace, evidence, head)
        self._edits.append(Edit(Drawn.of(labels), read.complete, background, head.state()))
        return self._answer(make_result(scores, labels, read))

    def undo(self) -> Result | None:
        """Take back the last `update`: the answer before it, exactly, or None when nothing is left."""
        if self._edits:
            self._edits.pop()
        return self._replay()

    def clear(self) -> None:
        """Forget all edits; what was computed about the image stays."""
        self._edits.clear()
        self._head = self._last = None

    def save(self, path: str | Path) -> None:
        """Write the edits and heads to an .npz file; the image itself is not in it.

        Raises:
            InputError: the file cannot be written.
        """
        save_session(path, self.grid, self._edits)

    def restore(self, path: str | Path) -> Result | None:
        """Take the edits of a saved session of the same image: its last answer.

        Raises:
            InputError: not a saved session, one of another image, or of other features; nothing changes then.
        """
        before, self._edits = self._edits, [Edit(**fields) for fields in load_session(path, self.grid)]
        try:
            return self._replay()
        except InputError:
            self._edits = before
            raise

    def _replay(self) -> Result | None:
        """The answer to the last edit, from the head that gave it."""
        if not self._edits:
            self._head = self._last = None
            return None
        edit = self._edits[-1]
        labels = edit.drawn.label_map(self.grid)
        read = read_seeds(labels.data.numpy(), edit.complete, edit.background)
        workspace = self._prepared(len(read.values))
        head = Head(workspace.rows.shape[1], len(read.values))
        head.load(edit.head)
        self._head = (head, read.values)
        return self._answer(make_result(fused(workspace, collect(workspace, read), head), labels, read))

    def _answer(self, result: Result) -> Result:
        """The result with where it differs from the last one."""
        result = replace(result, changed=changed_box(self._last, result))
        self._last = result
        return result

    def _on_image(self, seeds: LabelsLike) -> LabelMap:
        labels = as_labels(seeds, "the seeds")
        if labels.grid.same_space(self.grid):
            return labels
        moved = warp_labels(labels, None, self.grid, "nearest")
        if labels.values and not moved.values:
            raise InputError(
                "the seeds lie outside the image or are too small for its voxels; "
                "check that both come from the same scan"
            )
        return moved

    def _prepared(self, labels: int) -> Workspace:
        """The features, at voxels so large that `labels` fit in memory."""
        room = max(50_000, min(self._max_voxels, MAX_VALUES // labels))
        if self._workspace is None or self._workspace.frame.voxels > room:
            self._workspace = Workspace(self.image, room, self._more())
        return self._workspace

    def _start(self, rows: Tensor, values: tuple[int, ...]) -> tuple[Head, int]:
        """The head to go on from, and how far: the last one where the labels are the same, else a new one."""
        if self._head is not None and self._head[1] == values:
            return self._head[0], NEXT_STEPS
        head = Head(rows.shape[1], len(values))
        prepare(head, rows)
        self._head = (head, values)
        return head, min(max(FIRST_STEPS, EPOCHS * len(rows) // BATCH), MOST_STEPS)


def segment(
    image: ImageLike | Sequence[ImageLike],
    seeds: LabelsLike,
    complete_slices: CompleteSlices = "auto",
    background: int | None = None,
    features: Image | Features | None = "auto",
    weights: str | Path | Weights | None = None,
) -> Result:
    """Segment an image from labels on a few slices, scribbles or points: `FewShotSession` for one edit.

    Raises:
        InputError: the image cannot be used, nothing is labelled, or the arguments do not fit the image.
    """
    with torch.no_grad():
        return FewShotSession(image, features, weights=weights).update(seeds, complete_slices, background)
