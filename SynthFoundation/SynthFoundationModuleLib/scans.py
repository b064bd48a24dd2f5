"""Volumes, masks and landmarks of the scene as the worker takes them: arrays (k, j, i) on LPS grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from .errors import UserError
from .geometry import (
    GridDict,
    array_of_matrix,
    chain,
    flipped,
    grid_of,
    is_orthonormal,
    matrix_of,
    vtk_matrix,
)

PREVIOUS_PARENT = "SynthFoundation.PreviousParent"  # node reference of a result: what it replaced
RESULT = "SynthFoundation.Result"  # attribute of transform nodes made by a registration

_BOX_CELLS = 48  # cells along each edge of an ROI that is bent

# What a volume is taken for: as it is displayed; as it was before it was registered; or in its own space.
Role: TypeAlias = Literal["fixed", "moving", "stored"]


@dataclass(frozen=True)
class Scan:
    """An array (k, j, i) and its index matrix (i, j, k) → RAS mm."""

    array: np.ndarray
    matrix: np.ndarray

    @property
    def grid(self) -> GridDict:
        """The grid as the worker takes it."""
        return grid_of(self.matrix, self.array.shape[::-1])


def image_array(volume: Any) -> np.ndarray:
    """The voxels (k, j, i) of a scalar volume, shared with it.

    Raises:
        UserError: the volume is empty or has several components.
    """
    image = volume.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise UserError(_("The volume {name} holds no image; load it again.").format(name=volume.GetName()))
    if image.GetNumberOfScalarComponents() != 1:
        raise UserError(
            _("The volume {name} is in colour; choose a volume with one value per voxel.").format(
                name=volume.GetName()
            )
        )
    return slicer.util.arrayFromVolume(volume)


def parent_before(node: Any) -> Any:
    """The transform a node is under, leaving out those that a registration of ours put there."""
    parent = node.GetParentTransformNode()
    while parent is not None and parent.GetAttribute(RESULT):
        parent = parent.GetNodeReference(PREVIOUS_PARENT)
    return parent


def parent_of(node: Any, role: Role) -> Any:
    """The transform that counts for a node in this role."""
    if role == "stored":
        return None
    return parent_before(node) if role == "moving" else node.GetParentTransformNode()


def to_world(parent: Any) -> Any:
    """The VTK transform from what is under a transform node to the world; None is the identity.

    It is a vtkTransform where it is linear, else a vtkGeneralTransform.
    """
    return _between(parent, None)


def from_world(parent: Any) -> Any:
    """The VTK transform from the world to what is under a transform node, likewise."""
    return _between(None, parent)


def _between(source: Any, target: Any) -> Any:
    node = source or target
    if node is None or node.IsTransformToWorldLinear():
        linear = vtk.vtkTransform()
        matrix = vtk.vtkMatrix4x4()
        slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(source, target, matrix)
        linear.SetMatrix(matrix)
        return linear
    general = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, general)
    return general


def scan_of(volume: Any, role: Role) -> Scan:
    """The volume under the transforms that count for this role.

    Linear transforms go into the geometry; where they shear, or are not linear, a copy is resampled.
    """
    array, parent = image_array(volume), parent_of(volume, role)
    if parent is None:
        return Scan(array, matrix_of(volume))
    if parent.IsTransformToWorldLinear():
        matrix = vtk.vtkMatrix4x4()
        parent.GetMatrixTransformToWorld(matrix)
        seen = matrix_of(volume, array_of_matrix(matrix))
        if is_orthonormal(seen):
            return Scan(array, seen)
    copy = slicer.vtkMRMLScalarVolumeNode()
    image = vtk.vtkImageData()
    image.DeepCopy(volume.GetImageData())
    copy.SetAndObserveImageData(image)
    copy.SetIJKToRASMatrix(vtk_matrix(matrix_of(volume)))
    copy.ApplyNonLinearTransform(to_world(parent))
    return Scan(np.array(slicer.util.arrayFromVolume(copy)), matrix_of(copy))


def fingerprint(volume: Any, role: Role) -> tuple:
    """Changes whenever `scan_of` would give something else."""
    image, parent = volume.GetImageData(), parent_of(volume, role)
    marks = [image.GetMTime() if image else 0, matrix_of(volume).tobytes()]
    while parent is not None:
        marks += [parent.GetID(), parent.GetTransformToParent().GetMTime()]
        parent = parent.GetParentTransformNode()
    return tuple(marks)


def oriented_image(array: np.ndarray | None, matrix: np.ndarray, size: tuple[int, int, int]) -> Any:
    """A vtkOrientedImageData of `size` (i, j, k) voxels; without voxels it only says where they would be."""
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    direction = np.eye(4)
    direction[:3, :3] = matrix[:3, :3] / spacing
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*size)
    image.SetSpacing(*spacing)
    image.SetOrigin(*matrix[:3, 3])
    image.SetDirectionMatrix(vtk_matrix(direction))
    if array is not None:
        vtk_type = vtk.util.numpy_support.get_vtk_array_type(array.dtype)
        image.AllocateScalars(vtk_type, 1)
        voxels(image)[:] = array
    return image


def voxels(image: Any) -> np.ndarray:
    """The voxels (k, j, i) of a vtkImageData, shared with it."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def mask_on(node: Any, scan: Scan, volume: Any, role: Role) -> np.ndarray:
    """A segmentation, label map or ROI as a uint8 mask (k, j, i) on the voxels of a volume's scan.

    Raises:
        UserError: nothing of it lies in the scan.
    """
    if node.IsA("vtkMRMLMarkupsROINode"):
        mask = _inside_box(node, scan, _box_to_scan(node, volume, role))
    else:
        mask = (labels_on(node, scan, role) != 0).astype(np.uint8)
    if not mask.any():
        raise UserError(
            _("Nothing of {name} lies in the volume; draw it there or choose none.").format(
                name=node.GetName()
            )
        )
    return mask


def _box_to_scan(roi: Any, volume: Any, role: Role) -> Any:
    """The VTK transform from an ROI's own space to where a volume lies in this role.

    A box drawn after a registration, around the moving volume where it is shown then, means that place of it.
    """
    shown, volume_shown = roi.GetParentTransformNode(), volume.GetParentTransformNode()
    before, volume_before = parent_of(roi, role), parent_of(volume, role)
    if volume_before is volume_shown or before is not shown:
        return to_world(before)
    return chain([to_world(shown), from_world(volume_shown), to_world(volume_before)])


def labels_on(node: Any, scan: Scan, role: Role, segments: list[str] | None = None) -> np.ndarray:
    """The labels (k, j, i) of a label map, or of a segmentation (1, 2, … in the order of `segments`)."""
    if node.IsA("vtkMRMLSegmentationNode"):
        source = merged_labels(node, segments)
    else:
        array = image_array(node)
        source = oriented_image(array, matrix_of(node), array.shape[::-1])
    reference = oriented_image(None, scan.matrix, scan.array.shape[::-1])
    target, transform = slicer.vtkOrientedImageData(), to_world(parent_of(node, role))
    resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
    if source is None or not resample(source, reference, target, False, False, transform):
        return np.zeros(scan.array.shape, np.uint8)
    return np.array(voxels(target))


def merged_labels(segmentation: Any, segments: list[str] | None = None, reference: Any = None) -> Any:
    """The segments as one vtkOrientedImageData with labels 1, 2, …; where they overlap, the later one wins.

    With a `reference` (vtkOrientedImageData) it has that geometry, else that of the segments together. None
    where there are no segments.
    """
    ids = vtk.vtkStringArray()
    for segment in segment_ids(segmentation) if segments is None else segments:
        ids.InsertNextValue(segment)
    if ids.GetNumberOfValues() == 0:
        return None
    merged = slicer.vtkOrientedImageData()
    kind = slicer.vtkSegmentation
    extent = kind.EXTENT_REFERENCE_GEOMETRY if reference else kind.EXTENT_UNION_OF_EFFECTIVE_SEGMENTS
    made = segmentation.GenerateMergedLabelmapForAllSegments(merged, extent, reference, ids)
    return merged if made and merged.GetPointData().GetScalars() else None


def segment_ids(segmentation: Any) -> list[str]:
    """The ids of all segments in order."""
    content = segmentation.GetSegmentation()
    return [content.GetNthSegmentID(n) for n in range(content.GetNumberOfSegments())]


def _inside_box(roi: Any, scan: Scan, transform: Any) -> np.ndarray:
    """The voxels in an ROI whose own space the transform takes to the scan."""
    if not transform.IsA("vtkLinearTransform"):
        return _inside_bent_box(roi, scan, transform)
    to_scan = array_of_matrix(transform.GetMatrix()) @ array_of_matrix(roi.GetObjectToNodeMatrix())
    to_box = (np.linalg.inv(to_scan) @ scan.matrix).astype(np.float32)
    half = np.array(roi.GetSize(), np.float32) / 2
    depth, height, width = scan.array.shape
    j, i = np.meshgrid(np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32), indexing="ij")
    mask = np.zeros(scan.array.shape, np.uint8)
    for k in range(depth):
        inside = [
            np.abs(row[0] * i + row[1] * j + (row[2] * k + row[3])) <= h
            for row, h in zip(to_box[:3], half, strict=True)
        ]
        mask[k] = inside[0] & inside[1] & inside[2]
    return mask


def _inside_bent_box(roi: Any, scan: Scan, transform: Any) -> np.ndarray:
    """The same behind a transform that is not linear, by way of an image of the box."""
    cells = np.full(3, _BOX_CELLS)
    matrix = array_of_matrix(roi.GetObjectToNodeMatrix())
    matrix = matrix @ np.diag([*(np.array(roi.GetSize()) / cells), 1.0])
    matrix[:3, 3] -= matrix[:3, :3] @ ((cells - 1) / 2)
    box = oriented_image(np.ones(cells, np.uint8), matrix, tuple(cells.tolist()))
    reference = oriented_image(None, scan.matrix, scan.array.shape[::-1])
    target = slicer.vtkOrientedImageData()
    resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
    if not resample(box, reference, target, False, False, transform):
        return np.zeros(scan.array.shape, np.uint8)
    return np.array(voxels(target))


def attach_points(points: Any, volume: Any) -> None:
    """Let points placed over a moving volume where it is shown now go along with it from here on."""
    parent = volume.GetParentTransformNode()
    if points is None or parent_before(volume) is parent or points.GetParentTransformNode() is parent:
        return
    back = from_world(parent)
    world = [points.GetNthControlPointPositionWorld(n) for n in range(points.GetNumberOfControlPoints())]
    with slicer.util.NodeModify(points):
        points.SetAndObserveTransformNodeID(parent.GetID())
        for n, place in enumerate(world):
            if points.GetNthControlPointPositionStatus(n) == points.PositionDefined:
                points.SetNthControlPointPosition(n, *back.TransformPoint(place))


def landmark_pairs(fixed: Any, moving: Any, moving_volume: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Points placed in both lists, paired by order, LPS mm (N, 3) each; None where there is no pair.

    The moving points follow their image, so they are taken to where it was before the registration.
    """
    if fixed is None or moving is None:
        return None
    count = min(fixed.GetNumberOfControlPoints(), moving.GetNumberOfControlPoints())
    placed = slicer.vtkMRMLMarkupsNode.PositionDefined
    pairs = [
        [markups.GetNthControlPointPositionWorld(n) for markups in (fixed, moving)]
        for n in range(count)
        if all(markups.GetNthControlPointPositionStatus(n) == placed for markups in (fixed, moving))
    ]
    if not pairs:
        return None
    back, there = from_world(moving_volume.GetParentTransformNode()), to_world(parent_before(moving_volume))
    seen = [there.TransformPoint(back.TransformPoint(moved)) for _point, moved in pairs]
    return flipped([point for point, _moved in pairs]), flipped(seen)
