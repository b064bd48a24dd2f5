"""What the slice views show: blends, doubts, a slice to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .geometry import coarser, matrix_of, vtk_matrix

ALIGNED = np.cos(np.deg2rad(0.5))  # a view nearer to a scan's axis than this shows its slices


def show_blend(fixed: Any, moving: Any, percent: float) -> None:
    """Show the moving volume over the fixed one, fit the views to the fixed one, and go where both are."""
    slicer.util.setSliceViewerLayers(
        background=fixed, foreground=moving, foregroundOpacity=percent / 100, fit=True
    )
    _go_where_both_are(fixed, moving)


def _go_where_both_are(fixed: Any, moving: Any) -> None:
    """Move views that miss one of the volumes: a scan of one organ may lie far from the other's middle."""
    ends = np.zeros((2, 6))
    for volume, bounds in zip((fixed, moving), ends, strict=True):
        volume.GetRASBounds(bounds)
    low, high = ends[:, ::2].max(0), ends[:, 1::2].min(0)
    if (low >= high).any():
        return
    middle, half = (low + high) / 2, (high - low) / 2
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        if abs((_centre(node) - middle) @ _normal(node)) > half @ abs(_normal(node)):
            node.JumpSliceByOffsetting(*middle)


def set_blend(percent: float) -> None:
    """Fade between the layers that are shown."""
    slicer.util.setSliceViewerLayers(foregroundOpacity=percent / 100)


def is_shown(volume: Any) -> bool:
    """Whether a slice view has the volume as its foreground."""
    return any(node.GetForegroundVolumeID() == volume.GetID() for node in _composites())


def _composites() -> list[Any]:
    return list(slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"))


def jump_to(volume: Any, axis: int, index: int) -> None:
    """Bring a slice of a volume into the views that look along it (array axis 0, 1 or 2 of (k, j, i)).

    A view that lies across the slices of an oblique scan is turned to them: it could not show the slice.
    """
    matrix = matrix_of(volume)
    voxel = (np.array(volume.GetImageData().GetDimensions()) - 1) / 2
    ends = []
    for further in (0, 1):
        voxel[2 - axis] = index + further
        world = [0.0, 0.0, 0.0]
        volume.TransformPointToWorld(matrix[:3, :3] @ voxel + matrix[:3, 3], world)
        ends.append(np.array(world))
    point, along = ends[0], (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    nodes = list(slicer.util.getNodesByClass("vtkMRMLSliceNode"))
    facing = [node for node in nodes if abs(_normal(node) @ along) > 0.7]
    for node in facing or nodes:
        if facing and abs(_normal(node) @ along) < ALIGNED:
            node.RotateToVolumePlane(volume)
        node.JumpSliceByOffsetting(*point)


def visible_slices(volume: Any) -> list[tuple[int, int]]:
    """The slices (array axis of (k, j, i), index) of a volume that the slice views along its axes show."""
    to_voxels = np.linalg.inv(matrix_of(volume))
    depth = volume.GetImageData().GetDimensions()[::-1]
    found = set()
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        centre, ends = _centre(node), []
        for point in (centre, centre + _normal(node)):
            local = [0.0, 0.0, 0.0]
            volume.TransformPointFromWorld(point, local)
            ends.append((to_voxels @ (*local, 1.0))[2::-1])
        step = np.abs(ends[1] - ends[0])
        axis, index = int(step.argmax()), round(float(ends[0][step.argmax()]))
        if step.sum() < 1.05 * step[axis] and 0 <= index < depth[axis]:
            found.add((axis, index))
    return sorted(found)


def _centre(slice_node: Any) -> np.ndarray:
    matrix = slice_node.GetSliceToRAS()
    return np.array([matrix.GetElement(row, 3) for row in range(3)])


def _normal(slice_node: Any) -> np.ndarray:
    matrix = slice_node.GetSliceToRAS()
    return np.array([matrix.GetElement(row, 2) for row in range(3)])


def plane_name(volume: Any, axis: int) -> str:
    """What the slices of a volume along an array axis are called."""
    along = np.abs(matrix_of(volume)[:3, 2 - axis])
    return (_("sagittal"), _("coronal"), _("axial"))[int(np.argmax(along / np.linalg.norm(along)))]


class PassingVolume:
    """A volume that is made to be looked at for a while; it is never saved."""

    def __init__(self) -> None:
        self._node: Any = None

    @property
    def shown(self) -> bool:
        """Whether there is one."""
        return self._node is not None and self._node.GetScene() is not None

    def hide(self) -> None:
        """Take it out of the scene."""
        if self.shown:
            slicer.mrmlScene.RemoveNode(self._node)
        self._node = None

    def _put(self, name: str, array: np.ndarray, like: Any, white: float, step: int = 1) -> Any:
        """Make it or bring it up to date, `white` being white → its display node.

        It lies on every `step`-th voxel of a volume along each axis.
        """
        if not self.shown:
            self._node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
            self._node.SetSaveWithScene(False)
            self._node.HideFromEditorsOn()
        self._node.SetIJKToRASMatrix(vtk_matrix(coarser(matrix_of(like), step)))
        slicer.util.updateVolumeFromArray(self._node, array)
        self._node.SetAndObserveTransformNodeID(like.GetTransformNodeID())
        self._node.CreateDefaultDisplayNodes()
        display = self._node.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(0, white)
        return display


class DoubtOverlay(PassingVolume):
    """Colours over the slice views where a segmentation is unsure."""

    def show(self, volume: Any, confidence: np.ndarray) -> None:
        """Show 255 minus the confidence (k, j, i), 0…255, on the voxels of a volume."""
        display = self._put(_("Doubt"), 255 - confidence, volume, 160)
        display.SetApplyThreshold(True)
        display.SetAutoThreshold(False)
        display.SetThreshold(26, 255)
        if slicer.mrmlScene.GetNodeByID("vtkMRMLColorTableNodeIron"):
            display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeIron")
        slicer.util.setSliceViewerLayers(foreground=self._node, foregroundOpacity=0.6)
