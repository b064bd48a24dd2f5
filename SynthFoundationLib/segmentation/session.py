"""Label a few slices, get the volume, correct, and see it change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..features.weights import Weights
from ..geometry import Grid
from ..images import Image, ImageLike, LabelMap, LabelsLike, as_image, as_labels, warp_labels
from ..images.warp import LabelInterpolation
from .channels import Features, more_channels
from .draft import Draft
from .drawn import Drawn
from .evidence import Evidence, collect, fused
from .glance import Show, glance
from .head import Head
from .layout import Layout, boxes_beyond, focused
from .learning import go_on, new_head
from .result import Result, Scores, changed_box, make_result
from .seeds import CompleteSlices, Seeds, Slice, check_slices, read_seeds
from .storage import load_session, save_session
from .tilted import Plane
from .workspace import Body, Frame, Workspace

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
    detected: bool = False


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
        draft: LabelsLike | None = None,
    ) -> None:
        """Take a scan, or several contrasts of it, and a segmentation of it if there is one to correct.

        Args:
            image: path, SimpleITK image, (array, Grid), `Image`, or a list of contrasts.
            features: more channels to tell labels apart by, on any grid; "learned": those of a pretrained
                network, computed when first needed; "auto": these if weights are given or installed;
                "none" or None.
            max_voxels: larger scans are worked on in voxels of twice, three times … the size.
            weights: id, file or loaded weights of the network; by default the installed ones.
            draft: labels of all structures that are right in most places, on any grid. What nothing speaks
                against stays; seeds are then corrections.

        Raises:
            InputError: the image, the features or the draft cannot be used.
        """
        self.image = as_image(image)
        self._draft = None if draft is None else self._on_image(draft, "the labels of the draft", "linear")
        if self._draft is not None and not self._draft.values:
            raise InputError("the draft is empty: give a segmentation with at least one labelled voxel")
        self._measured: tuple[tuple[LabelMap | None, Frame, tuple[int, ...]], Draft] | None = None
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
            seeds: label map, 0 = not labelled; one on another grid is resampled. Where there is a draft, a
                corrected copy of it will do.
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
        labels = self._on_image(seeds, "the seeds")
        if self._draft is not None:
            names, colors = self._draft.names | labels.names, self._draft.colors | labels.colors
            labels = replace(labels, names=names, colors=colors)
        read = self._understood(labels, complete_slices, background)
        now, drawn = self._now, Drawn.of(labels)
        seen = background if read.draft is None else None  # corrections count where nothing is left, too
        workspace = self._prepared(self._focus(drawn, read), len(read.values), seen)
        evidence = self._evidence(workspace, read)
        head = self._goes_on(read.values, workspace.layout)
        if head is None:
            head = new_head(workspace, evidence, len(read.values))
        else:
            go_on(head, workspace, evidence)
        if show is not None and glances:
            planes = glance(workspace, evidence, head, read, glances, now.last)
            for one, plane in zip(glances, planes, strict=True):
                show(one, plane)
        result = self._compared(make_result(fused(workspace, evidence, head), labels, read))
        layout, state = workspace.layout, head.state()
        edit = Edit(drawn, read.complete, background, layout, state, read.planes, read.detected)
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
        before = self._now, self._draft
        try:
            yield
        except BaseException:
            self._now, self._draft = before
            raise

    def save(self, path: str | Path) -> None:
        """Write the edits, heads and draft to an .npz file; the image itself is not in it.

        Raises:
            InputError: the file cannot be written.
        """
        draft = None if self._draft is None else Drawn.of(self._draft)
        save_session(path, self.grid, self._now.edits, draft)

    def restore(self, path: str | Path) -> Result | None:
        """Take the edits and draft of a saved session of the same image: its last answer.

        Raises:
            InputError: not a saved session, one of another image, or of other features; nothing changes then.
        """
        edits, draft = load_session(path, self.grid)
        with self.transaction():
            self._draft = None if draft is None else draft.label_map(self.grid)
            return self._back_to(tuple(Edit(**fields) for fields in edits))

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
        if self._draft is not None and edit.detected:
            return labels, self._understood(labels, "auto", edit.background)
        return labels, self._understood(labels, edit.complete, edit.background, edit.planes)

    def _understood(
        self,
        labels: LabelMap,
        complete: CompleteSlices,
        background: int | None,
        planes: tuple[Plane, ...] = (),
    ) -> Seeds:
        draft = None if self._draft is None else self._draft.data.numpy()
        return read_seeds(labels.data.numpy(), complete, background, self.grid, planes, draft)

    def _evidence(self, workspace: Workspace, read: Seeds) -> Evidence:
        """What speaks for labels; a draft is measured anew where it, its labels or work voxels are others."""
        if read.draft is None:
            return collect(workspace, read)
        key = self._draft, workspace.frame, read.values
        if self._measured is None or self._measured[0] != key:
            self._measured = key, Draft.of(read.draft, workspace.frame, len(read.values))
        return collect(workspace, read, self._measured[1])

    def _scores(self, edit: Edit) -> Scores:
        """Those of an edit, from the head that gave its answer."""
        read = self._read(edit)[1]
        workspace = self._laid_out(edit.layout, len(read.values))
        head = Head(workspace.rows.shape[1], len(read.values))
        head.load(edit.head)
        return fused(workspace, self._evidence(workspace, read), head)

    def _compared(self, result: Result) -> Result:
        """The result with where it differs from the last one."""
        return replace(result, changed=changed_box(self._now.last, result))

    def _on_image(
        self, given: LabelsLike, what: str, interpolation: LabelInterpolation = "nearest"
    ) -> LabelMap:
        labels = as_labels(given, what)
        if labels.grid.same_space(self.grid):
            return labels
        moved = warp_labels(labels, None, self.grid, interpolation)
        if labels.values and not moved.values:
            raise InputError(
                f"{what} lie outside the image or are too small for its voxels; "
                "check that both come from the same scan"
            )
        return moved

    def _focus(self, drawn: Drawn, read: Seeds) -> Drawn:
        """What is looked at from near if not all is: what is drawn, or what of a draft was corrected."""
        if read.draft is None:
            return drawn
        where = np.flatnonzero((read.classes > 0) | (read.classes == 0) & (read.draft > 0))
        return Drawn(where, read.classes.ravel()[where].astype(np.uint16))

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
    draft: LabelsLike | None = None,
) -> Result:
    """Segment an image from labels on a few slices, scribbles or points: `FewShotSession` for one edit.

    Raises:
        InputError: the image cannot be used, nothing is labelled, or the arguments do not fit the image.
    """
    with torch.no_grad():
        session = FewShotSession(image, features, weights=weights, draft=draft)
        return session.update(seeds, complete_slices, background)
