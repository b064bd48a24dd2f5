"""Segments ↔ label arrays (k, j, i) on the voxels of a volume."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .errors import UserError
from .geometry import array_of_matrix, matrix_of
from .scans import Role, Scan, labels_on, merged_labels, oriented_image, parent_before, segment_ids, voxels

LABEL = "SynthFoundation.Label"  # tag of a segment: its number in seeds and answers
MOST = 254  # segments; numbers above stand for background
FINISHED = "SynthFoundation.Finished"  # attribute of a segmentation whose segments are whole structures
_SAME = 1e-4  # mm

Box = tuple[slice, slice, slice]
Indices = tuple[np.ndarray, ...]


def prepare(segmentation: Any, volume: Any) -> None:
    """Let a segmentation have the voxels and the place of a volume, as DICOM export needs it.

    Raises:
        UserError: it is elsewhere than the volume.
    """
    empty = segmentation.GetSegmentation().GetNumberOfSegments() == 0
    if empty or segmentation.GetParentTransformNode() is parent_before(volume):  # registered since
        segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    if segmentation.GetParentTransformNode() is not volume.GetParentTransformNode():
        raise UserError(
            _(
                "{segmentation} and {volume} are under different transforms; put both under the same one, "
                "or harden them, in the module Data."
            ).format(segmentation=segmentation.GetName(), volume=volume.GetName())
        )
    segmentation.CreateDefaultDisplayNodes()
    role = segmentation.GetReferenceImageGeometryReferenceRole()
    if segmentation.GetNodeReference(role) is not volume:
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentation.SetNodeReferenceID(role, volume.GetID())
    _put_beside(segmentation, volume)


def _put_beside(node: Any, volume: Any) -> None:
    """Put a node into the same study as a volume in the subject hierarchy, unless it is somewhere already."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None:
        return
    item, beside = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(volume)
    root = hierarchy.GetSceneItemID()
    if item and beside and hierarchy.GetItemParent(item) == root != hierarchy.GetItemParent(beside):
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(beside))


def numbered(segmentation: Any) -> dict[int, str]:
    """The segments by number; those without a number of their own get the first free one.

    Raises:
        UserError: there are too many.
    """
    content, found, rest = segmentation.GetSegmentation(), {}, []
    for segment_id in segment_ids(segmentation):
        text = vtk.reference("")
        known = content.GetSegment(segment_id).GetTag(LABEL, text) and str(text).isdigit()
        number = int(str(text)) if known else 0
        if number and number not in found:
            found[number] = segment_id
        else:
            rest.append(segment_id)
    for segment_id in rest:
        number = next(n for n in range(1, len(found) + 2) if n not in found)
        content.GetSegment(segment_id).SetTag(LABEL, str(number))
        found[number] = segment_id
    if max(found, default=0) > MOST:
        raise UserError(_("There can be {most} segments at most; remove some.").format(most=MOST))
    return dict(sorted(found.items()))


def structures(segmentation: Any) -> dict[int, str]:
    """The segments by number without those of what is around structures.

    Raises:
        UserError: there are too many.
    """
    content, numbers = segmentation.GetSegmentation(), numbered(segmentation)
    return {n: one for n, one in numbers.items() if not _is_background(content.GetSegment(one))}


def surroundings(segmentation: Any) -> dict[int, str]:
    """The segments named *Background*, drawn around structures, by number."""
    content, numbers = segmentation.GetSegmentation(), numbered(segmentation)
    return {n: one for n, one in numbers.items() if _is_background(content.GetSegment(one))}


def background(segmentation: Any, volume: Any) -> np.ndarray:
    """Where the user drew what is around structures, bool on the voxels of the volume."""
    return read(segmentation, volume, surroundings(segmentation)) > 0


def _is_background(segment: Any) -> bool:
    return segment.GetName().strip().casefold() in {"background", _("Background").casefold()}


def read(segmentation: Any, volume: Any, numbers: Mapping[int, str]) -> np.ndarray:
    """The segments as one label array on the voxels of the volume; where they overlap, the later one wins."""
    size = volume.GetImageData().GetDimensions()
    reference = oriented_image(None, matrix_of(volume), size)
    merged = merged_labels(segmentation, list(numbers.values()), reference)
    if merged is None:
        return np.zeros(size[::-1], _kind(numbers))
    return _by_number(voxels(merged), numbers)


def _by_number(order: np.ndarray, numbers: Mapping[int, str]) -> np.ndarray:
    """Labels 1, 2, … in the order of the segments as their numbers, a new array: uint8 where these fit."""
    if list(numbers) == list(range(1, len(numbers) + 1)):
        return order.astype(_kind(numbers))
    return np.array([0, *numbers], _kind(numbers))[order]


def _kind(numbers: Mapping[int, str]) -> np.dtype:
    return np.min_scalar_type(max(numbers, default=0))


def stamp(segmentation: Any) -> tuple:
    """Changes whenever voxels of the segments do."""
    content = segmentation.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    images = [(one, content.GetSegment(one).GetRepresentation(name)) for one in segment_ids(segmentation)]
    return tuple((segment_id, image.GetMTime() if image else 0) for segment_id, image in images)


def read_in(node: Any, scan: Scan, role: Role) -> np.ndarray:
    """A segmentation (by number) or label map (by value) on the voxels of a scan in the same role."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        return labels_on(node, scan, role)
    numbers = numbered(node)
    return _by_number(labels_on(node, scan, role, list(numbers.values())), numbers)


def write(segmentation: Any, volume: Any, numbers: Mapping[int, str], labels: np.ndarray, box: Box) -> None:
    """Write labels into a box of the volume; every other voxel of every segment stays as it is.

    So do voxels that read as these labels already: where segments lie over each other, they go on doing so.

    Args:
        segmentation: the node.
        volume: whose voxels the labels are on.
        numbers: segments by number.
        labels: of the box only.
        box: slices of the axes (k, j, i).
    """
    if labels.size == 0 or not numbers:
        return
    content = segmentation.GetSegmentation()
    surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    had_surface = content.ContainsRepresentation(surface)  # Slicer drops it when voxels change
    with slicer.util.NodeModify(segmentation):
        layers = [
            _layer(segmentation, volume, members, box) for members in _layers(content, numbers).values()
        ]
        wrong = np.nonzero(reduce(np.maximum, [layer.found for layer in layers]) != labels)
        wanted = labels[wrong]
        for layer in layers:
            layer.write(wanted, wrong)
        if had_surface:
            content.RemoveRepresentation(surface)
            content.CreateRepresentation(surface)


def _layers(content: Any, numbers: Mapping[int, str]) -> dict[int, dict[int, str]]:
    """Segments that share a label map are written together."""
    layers: dict[int, dict[int, str]] = {}
    for number, segment_id in numbers.items():
        layers.setdefault(content.GetLayerIndex(segment_id), {})[number] = segment_id
    return layers


def _layer(segmentation: Any, volume: Any, members: Mapping[int, str], box: Box) -> _Layer | _OtherLayer:
    segments = {number: segmentation.GetSegmentation().GetSegment(name) for number, name in members.items()}
    representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image = next(iter(segments.values())).GetRepresentation(representation)
    if image is None or not _same_voxels(image, volume):
        return _OtherLayer(segmentation, volume, members, box)
    return _Layer(image, segments, box)


class _Layer:
    """Segments in a label map that has the voxels of the volume: written in place."""

    def __init__(self, image: Any, segments: Mapping[int, Any], box: Box) -> None:
        offset = _reach(image, box)
        self._image, self._segments = image, segments
        self._part = voxels(image)[
            tuple(slice(s.start - o, s.stop - o) for s, o in zip(box, offset, strict=True))
        ]
        self.found = self._numbers()  # labels in the box

    def _numbers(self) -> np.ndarray:
        kind, values = _kind(self._segments), [one.GetLabelValue() for one in self._segments.values()]
        if len(values) == 1:  # many times as fast as by a table
            return (self._part == values[0]) * kind.type(next(iter(self._segments)))
        lookup = np.zeros(max(int(self._part.max(initial=0)), *values) + 1, kind)
        lookup[values] = list(self._segments)
        return lookup[self._part]

    def write(self, labels: np.ndarray, where: Indices) -> None:
        """Write labels to these places; nothing of other segments in this layer is erased for air."""
        lookup = np.zeros(max(int(labels.max(initial=0)), *self._segments) + 1, self._part.dtype)
        lookup[list(self._segments)] = [segment.GetLabelValue() for segment in self._segments.values()]
        written, found = lookup[labels], self.found[where]
        ours = np.flatnonzero((written != 0) | (found != 0))
        self._part[tuple(axis[ours] for axis in where)] = written[ours]
        self._image.Modified()
        changed = set(np.unique(labels[ours])) | set(np.unique(found[ours]))
        for number, segment in self._segments.items():
            if number in changed:
                segment.Modified()


class _OtherLayer:
    """Segments whose label maps have other voxels, or none yet: brought to those of the volume."""

    def __init__(self, segmentation: Any, volume: Any, members: Mapping[int, str], box: Box) -> None:
        self._segmentation, self._volume, self._members = segmentation, volume, members
        self._whole = read(segmentation, volume, members)
        self.found = self._whole[box]

    def write(self, labels: np.ndarray, where: Indices) -> None:
        """Write labels to these places."""
        self.found[where] = np.where(np.isin(labels, list(self._members)), labels, 0)
        for number, segment_id in self._members.items():
            mask = (self._whole == number).astype(np.uint8)
            image = oriented_image(mask, matrix_of(self._volume), mask.shape[::-1])
            logic = slicer.vtkSlicerSegmentationsModuleLogic
            logic.SetBinaryLabelmapToSegment(image, self._segmentation, segment_id)


def _same_voxels(image: Any, volume: Any) -> bool:
    """Whether a label map lies on the lattice of a volume, whatever part of it."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return bool(np.abs(array_of_matrix(matrix) - matrix_of(volume)).max() < _SAME)


def _reach(image: Any, box: Box) -> tuple[int, int, int]:
    """Grow a label map, if it must, to hold the box; the index (k, j, i) of its first voxel."""
    old = np.reshape(image.GetExtent(), (3, 2))[::-1]
    held = image.GetPointData().GetScalars() is not None and (old[:, 1] >= old[:, 0]).all()
    wanted = np.array([(s.start, s.stop - 1) for s in box])
    new = np.stack([np.minimum(old, wanted)[:, 0], np.maximum(old, wanted)[:, 1]], 1) if held else wanted
    if not held or (new != old).any():
        before = voxels(image).copy() if held else None
        kind = image.GetScalarType() if held else 3  # VTK_UNSIGNED_CHAR
        image.SetExtent(*[int(n) for n in new[::-1].ravel()])
        image.AllocateScalars(kind, 1)
        view = voxels(image)
        view[:] = 0
        if before is not None:
            place = [
                slice(a - b, a - b + n) for a, b, n in zip(old[:, 0], new[:, 0], before.shape, strict=True)
            ]
            view[tuple(place)] = before
    return tuple(int(n) for n in new[:, 0])


def new_segmentation(labels: np.ndarray, volume: Any, name: str, like: Any) -> Any:
    """A new segmentation of a volume, with the names, colours and terms of another one or of a label map.

    Args:
        labels: on the voxels of the volume; numbers as `numbered` gives them, or 1, 2, … in order.
        volume: what was segmented.
        name: of the new node.
        like: segmentation or label map whose labels they are.
    """
    segmentation = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLSegmentationNode", slicer.mrmlScene.GenerateUniqueName(name)
    )
    prepare(segmentation, volume)
    if like.IsA("vtkMRMLSegmentationNode"):
        numbers = _copied_segments(like, segmentation, labels)
    else:
        numbers = _segments_of_values(like, segmentation, labels)
    write(segmentation, volume, numbers, labels, tuple(slice(0, n) for n in labels.shape))
    return segmentation


def _copied_segments(source: Any, target: Any, labels: np.ndarray) -> dict[int, str]:
    """Those of a segmentation, but none for scribbles around structures where there are none."""
    numbers = {}
    for number, segment_id in numbered(source).items():
        original = source.GetSegmentation().GetSegment(segment_id)
        if _is_background(original) and not (labels == number).any():
            continue
        segment = slicer.vtkSegment()
        segment.DeepCopyMetadata(original)
        target.GetSegmentation().AddSegment(segment, segment_id)
        numbers[number] = segment_id
    return numbers


def _segments_of_values(label_map: Any, target: Any, labels: np.ndarray) -> dict[int, str]:
    display = label_map.GetDisplayNode()
    table = display.GetColorNode() if display else None
    numbers = {}
    for value in np.unique(labels[labels > 0]).tolist():
        name = (table.GetColorName(value) if table else "") or _("Label {value}").format(value=value)
        colour = [0.0, 0.0, 0.0, 1.0]
        known = table.GetColor(value, colour) if table else False
        numbers[value] = target.GetSegmentation().AddEmptySegment("", name, colour[:3] if known else None)
    return numbers


def set_status(segmentation: Any, numbers: Mapping[int, str], done: bool) -> None:
    """Mark segments as being worked on, or as completed."""
    segmentation.SetAttribute(FINISHED, "1" if done else None)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    status = logic.Completed if done else logic.InProgress
    for segment_id in numbers.values():
        logic.SetSegmentStatus(segmentation.GetSegmentation().GetSegment(segment_id), status)
