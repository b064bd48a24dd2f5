"""Label maps that belong to a segmentation and are kept in the scene, where nobody sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from .geometry import matrix_of, vtk_matrix


def hidden_labels(segmentation: Any, role: str) -> Any:
    """The label map node of a segmentation in that role; None where there is none with voxels."""
    node = segmentation.GetNodeReference(role)
    return node if node is not None and node.GetImageData() is not None else None


def keep_hidden(segmentation: Any, volume: Any, role: str, name: str, labels: np.ndarray) -> Any:
    """Write labels (k, j, i) on the voxels of a volume into the scene; the node that holds them."""
    node = segmentation.GetNodeReference(role)
    if node is None or _shared(node, segmentation, role):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name)
        node.HideFromEditorsOn()
        segmentation.SetNodeReferenceID(role, node.GetID())
    node.SetIJKToRASMatrix(vtk_matrix(matrix_of(volume)))
    slicer.util.updateVolumeFromArray(node, labels)
    return node


def remove_hidden(segmentation: Any, role: str) -> None:
    """Take the label map of a segmentation out of the scene."""
    node = segmentation.GetNodeReference(role)
    if node is not None and not _shared(node, segmentation, role):
        slicer.mrmlScene.RemoveNode(node)
    segmentation.RemoveNodeReferenceIDs(role)


def _shared(node: Any, segmentation: Any, role: str) -> bool:
    """Whether another segmentation names this node as well, as a clone does."""
    others = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return any(other is not segmentation and other.GetNodeReference(role) is node for other in others)
