"""What the slice views show: blends, a checkerboard, a slice to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .geometry import matrix_of, vtk_matrix
from .registration import resampled

CELLS = 8  # cubes of the checkerboard along the longest edge


def show_blend(fixed: Any, moving: Any, percent: float) -> None:
    """Show the moving volume over the fixed one, and fit the views to the fixed one."""
    slicer.util.setSliceViewerLayers(
        background=fixed, foreground=moving, foregroundOpacity=percent / 100, fit=True
    )


def set_blend(percent: float) -> None:
    """Fade between the layers that are shown."""
    slicer.util.setSliceViewerLayers(foregroundOpacity=percent / 100)


def is_shown(volume: Any) -> bool:
    """Whether a slice view has the volume as its foreground."""
    return any(node.GetForegroundVolumeID() == volume.GetID() for node in _composites())


def _composites() -> list[Any]:
    return list(slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"))


class Checkerboard:
    """A volume of cubes taken in turn from the fixed and the moved volume; it is never saved."""

    def __init__(self) -> None:
        self._node: Any = None

    @property
    def shown(self) -> bool:
        """Whether there is one."""
        return self._node is not None and self._node.GetScene() is not None

    def show(self, fixed: Any, moving: Any) -> None:
        """Make it or bring it up to date, and show it in place of the blend."""
        board = mixed(fixed, moving)
        if not self.shown:
            self._node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", _("Checkerboard"))
            self._node.SetSaveWithScene(False)
            self._node.HideFromEditorsOn()
        self._node.SetIJKToRASMatrix(vtk_matrix(matrix_of(fixed)))
        slicer.util.updateVolumeFromArray(self._node, board)
        self._node.SetAndObserveTransformNodeID(fixed.GetTransformNodeID())
        self._node.CreateDefaultDisplayNodes()
        display = self._node.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(0, 255)
        slicer.util.setSliceViewerLayers(background=self._node, foreground=None)

    def hide(self) -> None:
        """Take it out of the scene."""
        if self.shown:
            slicer.mrmlScene.RemoveNode(self._node)
        self._node = None


def mixed(fixed: Any, moving: Any) -> np.ndarray:
    """Cubes (k, j, i) uint8, in turn from both volumes as they are displayed."""
    first = _bright(fixed, slicer.util.arrayFromVolume(fixed))
    second = _bright(moving, resampled(moving, fixed))
    spacing = fixed.GetSpacing()[::-1]
    edge = max(n * s for n, s in zip(first.shape, spacing, strict=True)) / CELLS
    cubes = [(np.arange(n) * s // edge).astype(int) for n, s in zip(first.shape, spacing, strict=True)]
    odd = (cubes[0][:, None, None] + cubes[1][:, None] + cubes[2]) % 2 == 1
    return np.where(odd, second, first)


def _bright(volume: Any, values: np.ndarray) -> np.ndarray:
    """Values as brightness 0…255, with the window and level of the volume's display."""
    display = volume.GetDisplayNode()
    low, high = (display.GetWindowLevelMin(), display.GetWindowLevelMax()) if display else (0.0, 0.0)
    if not high > low:
        low, high = np.percentile(values[::4, ::4, ::4], (1, 99))
    scale = np.float32(255 / max(high - low, 1e-6))
    return np.clip((values.astype(np.float32) - np.float32(low)) * scale, 0, 255).astype(np.uint8)


def jump_to(volume: Any, axis: int, index: int) -> None:
    """Bring a slice of a volume into the views that look along it (array axis 0, 1 or 2 of (k, j, i))."""
    matrix = matrix_of(volume)
    voxel = (np.array(volume.GetImageData().GetDimensions()) - 1) / 2
    voxel[2 - axis] = index
    point = np.array([*(matrix[:3, :3] @ voxel + matrix[:3, 3])])
    along = matrix[:3, 2 - axis] / np.linalg.norm(matrix[:3, 2 - axis])
    parent = volume.GetParentTransformNode()
    if parent is not None:
        world = [0.0, 0.0, 0.0]
        volume.TransformPointToWorld(point, world)
        point = np.array(world)
    nodes = list(slicer.util.getNodesByClass("vtkMRMLSliceNode"))
    facing = [node for node in nodes if abs(_normal(node) @ along) > 0.7]
    for node in facing or nodes:
        node.JumpSliceByOffsetting(*point)


def _normal(slice_node: Any) -> np.ndarray:
    matrix = slice_node.GetSliceToRAS()
    return np.array([matrix.GetElement(row, 2) for row in range(3)])


def plane_name(volume: Any, axis: int) -> str:
    """What the slices of a volume along an array axis are called."""
    along = np.abs(matrix_of(volume)[:3, 2 - axis])
    return (_("sagittal"), _("coronal"), _("axial"))[int(np.argmax(along / np.linalg.norm(along)))]


class DoubtOverlay:
    """Colours over the slice views where a segmentation is unsure; never saved."""

    def __init__(self) -> None:
        self._node: Any = None

    @property
    def shown(self) -> bool:
        """Whether there is one."""
        return self._node is not None and self._node.GetScene() is not None

    def show(self, volume: Any, confidence: np.ndarray) -> None:
        """Show 255 minus the confidence (k, j, i), 0…255, on the voxels of a volume."""
        if not self.shown:
            self._node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", _("Doubt"))
            self._node.SetSaveWithScene(False)
            self._node.HideFromEditorsOn()
        self._node.SetIJKToRASMatrix(vtk_matrix(matrix_of(volume)))
        slicer.util.updateVolumeFromArray(self._node, 255 - confidence)
        self._node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        self._node.CreateDefaultDisplayNodes()
        display = self._node.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(0, 160)
        display.SetApplyThreshold(True)
        display.SetAutoThreshold(False)
        display.SetThreshold(26, 255)
        if slicer.mrmlScene.GetNodeByID("vtkMRMLColorTableNodeIron"):
            display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeIron")
        slicer.util.setSliceViewerLayers(foreground=self._node, foregroundOpacity=0.6)

    def hide(self) -> None:
        """Take it out of the scene."""
        if self.shown:
            slicer.mrmlScene.RemoveNode(self._node)
        self._node = None
