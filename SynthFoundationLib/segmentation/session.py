"""Label a few slices, get the volume, correct, and see it change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..features.weights import Weights
from ..geometry import Grid
from ..images import Image, ImageLike, LabelMap, LabelsLike, as_image, as_labels, warp_labels
from .channels import Features, more_channels
from .drawn import Drawn
from .evidence import collect, fused
from .glance import Show, glance
from .head import Head
from .layout import Layout, boxes_beyond, focused
from .learning import go_on, new_head
from .result import Result, Scores, changed_box, make_result
from .seeds import CompleteSlices, Seeds, Slice, check_slices, read_seeds
from .storage import load_session, save_session
from .tilted import Plane
from .workspace import Body, Workspace

MAX_VOXELS = 8_000_000
MAX_VALUES = 300_000_000  # work voxels × labels


@dataclass(frozen=True, eq=False)
class Edit:
    """One call of `update`: what the user gave, and all that its answer can be made from again."""

    drawn: Drawn
    complete: tuple[Slice, ...]
    background: int | None
    layout: Layout
    head: dict[str, Tensor] = field(repr=False)
    planes: tuple[Plane, ...] = ()


@dataclass(frozen=True, eq=False)
class _Standing:
    """Where a session stands: its edits, the head that goes on, the last answer, and the one before it."""

    edits: tuple[Edit, ...] = ()
    head: Head | None = None
    last: Result | None = None
    before: Result | None = None


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
        self._now = _Standing()

    @property
    def grid(self) -> Grid:
        """The grid of the image and of all results."""
        return self.image.grid

    @property
    def edits(self) -> int:
        """How many updates can be undone."""
        return len(self._now.edits)

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
                background; "none"; or "auto": found where no background is labelled, and reported, or planes
                across the voxels, such as those along the patient of a scan that lies obliquely.
            background: the label in the seeds that stands for background; it becomes 0 in the result.
            glances: slices as (array axis, index) that are answered first, for somebody who looks at them.
            show: called with each of these and its labels, before the rest is computed.

        Raises:
            InputError: nothing is labelled, or the arguments do not fit the image.
        """
        glances = check_slices(glances, self.grid.shape)
        labels = self._on_image(seeds)
        read = read_seeds(labels.data.numpy(), complete_slices, background, self.grid)
        now, drawn = self._now, Drawn.of(labels)
        workspace = self._prepared(drawn, len(read.values), background)
        evidence = collect(workspace, read)
        head = self._goes_on(read.values, workspace.layout)
        if head is None:
            head = new_head(workspace, evidence, len(read.values))
        else:
            go_on(head, workspace, evidence)
        if show is not None and glances:
            seen = glance(workspace, evidence, head, read, glances, now.last)
            for one, plane in zip(glances, seen, strict=True):
                show(one, plane)
        result = self._compared(make_result(fused(workspace, evidence, head), labels, read))
        edit = Edit(drawn, read.complete, background, workspace.layout, head.state(), read.planes)
        before = now.last and replace(now.last, scored=partial(self._scores, now.edits[-1]))
        self._now = _Standing((*now.edits, edit), head, result, before)
        return result

    def undo(self) -> Result | None:
        """Take back the last `update`: the answer before it, exactly, or None when nothing is left."""
        return self._back_to(self._now.edits[:-1], self._now.before)

    def clear(self) -> None:
        """Forget all edits; what was computed about the image stays."""
        self._now = _Standing()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Take back what happens to the session in this block if the block ends in an error."""
        before = self._now
        try:
            yield
        except BaseException:
            self._now = before
            raise

    def save(self, path: str | Path) -> None:
        """Write the edits and heads to an .npz file; the image itself is not in it.

        Raises:
            InputError: the file cannot be written.
        """
        save_session(path, self.grid, self._now.edits)

    def restore(self, path: str | Path) -> Result | None:
        """Take the edits of a saved session of the same image: its last answer.

        Raises:
            InputError: not a saved session, one of another image, or of other features; nothing changes then.
        """
        return self._back_to(tuple(Edit(**fields) for fields in load_session(path, self.grid)))

    def _back_to(self, edits: tuple[Edit, ...], answer: Result | None = None) -> Result | None:
        """Stand where these edits led; their last answer is made again unless it is known."""
        if not edits:
            self._now = _Standing()
            return None
        edit = edits[-1]
        if answer is None:
            labels, read = self._read(edit)
            answer = make_result(self._scores(edit), labels, read)
        result = self._compared(answer)
        self._now = _Standing(edits, Head.of(edit.head), result)
        return result

    def _read(self, edit: Edit) -> tuple[LabelMap, Seeds]:
        labels = edit.drawn.label_map(self.grid)
        return labels, read_seeds(labels.data.numpy(), edit.complete, edit.background, planes=edit.planes)

    def _scores(self, edit: Edit) -> Scores:
        """Those of an edit, from the head that gave its answer."""
        read = self._read(edit)[1]
        workspace = self._laid_out(edit.layout, len(read.values))
        head = Head(workspace.rows.shape[1], len(read.values))
        head.load(edit.head)
        return fused(workspace, collect(workspace, read), head)

    def _compared(self, result: Result) -> Result:
        """The result with where it differs from the last one."""
        return replace(result, changed=changed_box(self._now.last, result))

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

    def _prepared(self, drawn: Drawn, labels: int, background: int | None) -> Workspace:
        """The features, at voxels so large that `labels` fit in memory, wherever structures are drawn."""
        layout = self._workspace.layout if self._workspace else Layout()
        layout = focused(layout, drawn, self.grid, self._body.box, self._room(labels), background)
        workspace = self._laid_out(layout, labels)
        beyond = boxes_beyond(drawn, workspace.holds(drawn.where), self.grid.shape, background)
        layout = workspace.layout
        return self._laid_out(replace(layout, beyond=(*layout.beyond, *beyond)), labels)

    @cached_property
    def _body(self) -> Body:
        return Body(self.image)

    def _laid_out(self, layout: Layout, labels: int) -> Workspace:
        """The features on a layout, at larger voxels where `labels` would not fit in memory."""
        room, kept = self._room(labels), self._workspace
        if kept is None or kept.layout != layout or kept.frame.voxels > room:
            self._workspace = kept = Workspace(self.image, self._body, room, self._more(), layout)
        return kept

    def _room(self, labels: int) -> int:
        """How many work voxels there may be."""
        return max(50_000, min(self._max_voxels, MAX_VALUES // labels))

    def _goes_on(self, values: tuple[int, ...], layout: Layout) -> Head | None:
        """A copy of the last head, if the labels are still the same and are looked at from as near."""
        now = self._now
        if now.head is None or now.last is None or now.last.values != values:
            return None
        if now.edits[-1].layout.within != layout.within:
            return None
        return now.head.copy()


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
