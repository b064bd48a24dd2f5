"""One side of a registration: a scan made ready to be compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from ..errors import InputError
from ..geometry import Affine, Grid, Transform, covered, resample
from ..images import Image, foreground, normalise
from ..images.field_of_view import is_field_of_view
from ..images.padding import padded

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where less than this share of the fixed scan is seen in the moving one, that part alone is compared.
SMALL_SHARE = 0.75
# Points along each edge of a box that tell where it is moved to.
EDGE_POINTS = 5
# Where a scan is padded beside as much of the other patient as this share of its own, all of it is cut away,
CUT_SHARE = 0.6
# else what lies deeper in it than this share of the patient's length, and twice as far around: people differ
# by less.
CUT_DEPTH = 0.04
# A voxel counts as picture, and not as padding, where at least this share of it is.
HELD_SHARE = 0.5
# The same where the field of view ends and padding may be as bright as anything.
WHOLE_SHARE = 0.99


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan in [0, 1] and where it counts.

    Where it counts is told by shares of voxels, 0…1; as long as none is shared, they are bool: large scans
    would fill the memory.

    Attributes:
        data: (C, D, H, W) intensities in [0, 1].
        grid: their grid.
        body: (1, D, H, W), 1 where the patient is.
        mask: (1, D, H, W), 1 where the user wants the images compared.
        held: (1, D, H, W), 1 where there is a picture and no padding.
        ends: whether the field of view ends where padding begins, which then is no air.
    """

    data: torch.Tensor
    grid: Grid
    body: torch.Tensor
    mask: torch.Tensor
    held: torch.Tensor
    ends: bool = False

    @property
    def finest(self) -> float:
        """The smallest voxel edge, mm; features are not taken on finer voxels than this."""
        return min(self.grid.spacing)

    @property
    def thickest(self) -> float:
        """The largest voxel edge, mm: the slice thickness of most scans."""
        return max(self.grid.spacing)

    @property
    def longest(self) -> float:
        """Its longest side, mm."""
        return float(self.grid.extent.max())

    def masked(self, mask: Image | None, what: str) -> Scan:
        """The scan compared inside the mask only, wherever the mask's grid lies; None compares everywhere.

        Raises:
            InputError: the mask is empty inside the scan.
        """
        if mask is None:
            return replace(self, mask=self._shown)
        wanted = (mask.data != 0).to(self.data.device)
        if not mask.grid.same_space(self.grid):
            wanted = resample(wanted, mask.grid, self.grid, Affine(), mode="nearest") > 0
        wanted = wanted & self._shown
        if not bool(wanted.any()):
            raise InputError(
                f"the mask of {what} is empty inside the image; draw it where the images are to be aligned"
            )
        return replace(self, mask=wanted)

    @property
    def _shown(self) -> torch.Tensor:
        """The field of view, bool (1, D, H, W)."""
        return self.held if self.ends else torch.ones_like(self.held)

    def at_spacing(self, spacing: float) -> Scan:
        """The scan in voxels no finer than `spacing` mm, to be read often at that resolution.

        Beyond the end of its field of view it goes on like a scan beyond its border: that draws nothing.
        """
        near = self._at_spacing(spacing)
        if not self.ends:
            return near
        whole = (near.held >= WHOLE_SHARE).float()
        return replace(replace(near, held=whole).continued(), held=torch.ones_like(whole))

    def _at_spacing(self, spacing: float) -> Scan:
        grid = self.grid.no_finer_than(spacing)
        parts = self.body, self.mask, self.held
        if grid is self.grid:
            body, mask, held = (part.float() for part in parts)
            return Scan(self.data, self.grid, body, mask, held)
        body, mask, held = (self._wider(part, grid) for part in parts)
        return Scan(resample(self.data, self.grid, grid, fill=None, antialias=True), grid, body, mask, held)

    def compared_like(self, finer: Scan) -> Scan:
        """The scan in its voxels, compared where a finer reading of it is."""
        if finer.grid.size == self.grid.size:
            return replace(self, mask=finer.mask.float())
        return replace(self, mask=finer._wider(finer.mask, self.grid))

    def _wider(self, part: torch.Tensor, grid: Grid) -> torch.Tensor:
        if _is_full(part):  # no mask, no padding: nothing to be averaged
            return self.data.new_ones(1, *grid.shape)
        return resample(part, self.grid, grid, fill=None, antialias=True)

    def continued(self, where: Image | None = None) -> Scan:
        """The scan with padding, or a part of it, replaced by the nearest picture and out of the mask.

        Scanners, anonymisers and skull strippers pad with one value. The edge of padding is often the end of
        the picture and no edge of the patient: continued by what lies nearest, it gives no features to be
        aligned.
        """
        missing = (self.held[0] < HELD_SHARE).cpu().numpy()
        if not missing.any() or missing.all():
            return self
        nearest = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
        k, j, i = torch.from_numpy(nearest).long().to(self.data.device)
        data, kept = self.data[:, k, j, i], self.held.float()
        if where is not None:
            part = resample(where.data, where.grid, self.grid, fill=0.0)
            data, kept = torch.where(part > HELD_SHARE, data, self.data), 1 - part * (1 - kept)
        return Scan(data, self.grid, self.body, self.mask * kept, self.held)

    def on(self, grid: Grid, transform: Transform | None = None) -> Image:
        """The scan at the voxels of `grid`, its border repeated beyond."""
        return Image(resample(self.data, self.grid, grid, transform, fill=None), grid)

    def body_on(self, grid: Grid, transform: Transform | None = None) -> torch.Tensor:
        """(1, D, H, W) in 0…1: patient, zero outside the field of view."""
        return resample(self.body, self.grid, grid, transform, fill=0.0)

    def held_on(self, grid: Grid, transform: Transform | None = None) -> torch.Tensor:
        """(1, D, H, W) in 0…1: a picture and no padding."""
        return resample(self.held, self.grid, grid, transform, fill=0.0)

    def weight_on(self, grid: Grid, transform: Transform | None = None) -> torch.Tensor:
        """(1, D, H, W) in 0…1: inside the field of view and the mask."""
        if self._everywhere:
            return covered(self.grid, grid, transform, self.data.device)
        return resample(self.mask, self.grid, grid, transform, fill=0.0)

    @cached_property
    def _everywhere(self) -> bool:
        """Whether all of the scan is compared."""
        return _is_full(self.mask)

    def cropped(self, margin_mm: float) -> Grid:
        """The part of the grid that holds the patient and a margin around."""
        return self.grid.cropped(*self._box(margin_mm))

    def around_patient(self, margin: float) -> Scan:
        """The part of the scan that holds the patient and a margin around, a share of his longest side."""
        return self.part(*self._box(margin * self.patient_mm))

    @property
    def patient_mm(self) -> float:
        """The patient's longest side."""
        return float(self.cropped(0.0).extent.max())

    def part(self, start: Sequence[int], stop: Sequence[int]) -> Scan:
        """The scan from voxel (i, j, k) to another, which no longer belongs to it."""
        part = (slice(None), *(slice(a, b) for a, b in zip(start[::-1], stop[::-1], strict=True)))
        body, mask, held = self.body[part], self.mask[part], self.held[part]
        return Scan(self.data[part], self.grid.cropped(start, stop), body, mask, held, self.ends)

    def _box(self, margin_mm: float) -> tuple[list[int], list[int]]:
        """First voxels (i, j, k) of the box around the patient, and the first behind it."""
        start, stop = [], []
        for (low, high), size, spacing in zip(self._patient, self.grid.size, self.grid.spacing, strict=True):
            margin = int(np.ceil(margin_mm / spacing))
            start.append(max(0, low - margin))
            stop.append(min(size, high + 1 + margin))
        return start, stop

    @cached_property
    def _patient(self) -> list[tuple[int, int]]:
        """First and last voxel of the patient along i, j and k; of the scan where nobody is."""
        held = (self.body[0] * self.mask[0] > HELD_SHARE).cpu().numpy()
        ends = []
        for axis, size in zip((2, 1, 0), self.grid.size, strict=True):
            places = np.flatnonzero(held.any(axis=tuple(a for a in range(3) if a != axis)))
            ends.append((int(places[0]), int(places[-1])) if len(places) else (0, size - 1))
        return ends


def _is_full(part: torch.Tensor) -> bool:
    return bool((part if part.dtype == torch.bool else part == 1).all())


def is_bare(scan: Scan, other: torch.Tensor) -> bool:
    """Whether padding lies all around the patient in a scan where the other (1, D, H, W) goes on."""
    return float((other * (1 - scan.held.float())).sum()) > CUT_SHARE * float(scan.body.sum())


def cut_away(scan: Scan, other: torch.Tensor) -> Image | None:
    """Where skull or face were removed, 0…1 on the grid, or None: padding where the other has a patient.

    `other` (1, D, H, W) is the latter on this grid. Around a bare brain all padding is meant, else what is
    thick.
    """
    lost = other * (1 - scan.held.float())
    if is_bare(scan, other):
        return Image(torch.ones_like(lost), scan.grid)
    depth, spacing = CUT_DEPTH * scan.patient_mm, scan.grid.spacing[::-1]
    inside = (lost[0] > HELD_SHARE).cpu().numpy()
    core = ndimage.distance_transform_edt(inside, spacing) > depth
    if not core.any():  # a rim where outlines differ
        return None
    thick = inside & (ndimage.distance_transform_edt(~core, spacing) <= 2 * depth)
    return Image(torch.from_numpy(thick[None]).float().to(lost.device), scan.grid)


def shared_part(fixed: Scan, moving: Scan, transform: Transform, margin: float) -> Scan | None:
    """What the moving scan shows of the patient in the fixed one and a margin, if that is far smaller.

    The margin is a share of the longest side of the patient, or of as much of him as both scans show.
    """
    margin_mm = margin * min(fixed.patient_mm, moving.patient_mm)
    start, stop = (np.array(end) for end in fixed._box(margin_mm))
    first, last = _reached(moving.cropped(margin_mm), transform, fixed.grid, margin_mm)
    first, last = np.maximum(start, first), np.minimum(stop, last)
    if (first >= last).any() or (last - first).prod() >= SMALL_SHARE * (stop - start).prod():
        return None
    return fixed.part(first.tolist(), last.tolist())


def shared_domain(fixed: Scan, moving: Scan, transform: Transform, margin: float) -> Grid:
    """Where the scans are to be compared: around the patient, or what both show of it if that is far smaller.

    A scan of one organ is placed in one of the whole body on voxels that suit the organ.
    """
    part = shared_part(fixed, moving, transform, margin)
    return fixed.around_patient(margin).grid if part is None else part.grid


def _reached(box: Grid, transform: Transform, grid: Grid, margin_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """First voxels (i, j, k) of `grid` in a box of the moving scan and a margin, and the first behind it."""
    places = np.meshgrid(*[np.linspace(-0.5, n - 0.5, EDGE_POINTS) for n in box.size])
    points = transform.inverse().apply(box.to_physical(np.reshape(places, (3, -1)).T))
    index = grid.to_index(points)
    margin = margin_mm / np.array(grid.spacing)
    return np.floor(index.min(0) - margin).astype(int), np.ceil(index.max(0) + margin).astype(int) + 1


def prepare(image: Image, device: torch.device) -> Scan:
    """Scale intensities, find the patient and what is padding; everything is to be compared."""
    padding = padded(image)
    body = foreground(image, padding)
    data = normalise(image, body, padding).to(device)
    held = ~padding.all(0, keepdim=True).to(device)
    ends = is_field_of_view(held[0], image.grid.spacing)
    scan = Scan(data, image.grid, body[None].to(device), held, held, ends)
    return scan.masked(None, "the image")
