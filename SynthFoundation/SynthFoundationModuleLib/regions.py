"""Boxes that say where a registration shall look: made around the middle of a volume, then dragged."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .geometry import matrix_of, vtk_matrix

_SHARE = 0.6  # of each edge of the volume
_COLOURS = {"fixed": (1.0, 0.8, 0.1), "moving": (0.2, 0.7, 1.0)}


def make_box(volume: Any, role: str) -> Any:
    """A new ROI along the axes of a volume, under its transform, with handles to drag."""
    name = _("Box in {volume}").format(volume=volume.GetName())
    roi = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLMarkupsROINode", slicer.mrmlScene.GenerateUniqueName(name)
    )
    matrix = matrix_of(volume)
    size = np.array(volume.GetImageData().GetDimensions())
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    to_node = np.eye(4)
    to_node[:3, :3] = matrix[:3, :3] / spacing
    if np.linalg.det(to_node[:3, :3]) < 0:  # a box has no hand
        to_node[:3, 2] *= -1
    to_node[:3, 3] = (matrix @ [*((size - 1) / 2), 1.0])[:3]
    roi.SetSize(*(_SHARE * size * spacing))
    _put(roi, to_node)
    roi.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    roi.CreateDefaultDisplayNodes()
    display = roi.GetDisplayNode()
    display.SetSelectedColor(*_COLOURS[role])
    display.SetFillOpacity(0.1)
    display.SetHandlesInteractive(True)
    return roi


def _put(roi: Any, to_node: np.ndarray) -> None:
    """Set centre and axes."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(vtk_matrix(to_node))
    roi.SetAndObserveObjectToNodeMatrix(matrix)
    roi.SetCenter(*to_node[:3, 3])


def mark_of(roi: Any) -> tuple:
    """Changes whenever the box does in its own space, not when it goes along with a volume."""
    matrix = roi.GetObjectToNodeMatrix()
    return (*roi.GetSize(), *(matrix.GetElement(row, column) for row in range(3) for column in range(4)))
