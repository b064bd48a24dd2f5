"""Results of a registration as transform nodes: forward on the moving volume, and its inverse."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .geometry import affine_transform, array_of_matrix, chain, displacement_transform, ras_to_lps
from .scans import PREVIOUS_PARENT, RESULT, from_world, parent_before, to_world

_watched: list[int] = []  # the tag of the one observer of the scene


def fixed_to_moving(result: dict[str, Any]) -> list[Any]:
    """VTK transforms (RAS mm) which applied in order take fixed points to moving points in the world."""
    affine = affine_transform(np.asarray(result["affine"], float))
    field = result.get("displacement")
    return [displacement_transform(field["array"], field["grid"]), affine] if field else [affine]


def moving_to_fixed(result: dict[str, Any]) -> list[Any]:
    """The same from moving points in the world to fixed points."""
    affine = affine_transform(np.linalg.inv(np.asarray(result["affine"], float)))
    field = result.get("inverse_displacement")
    return [affine, displacement_transform(field["array"], field["grid"])] if field else [affine]


def place_result(result: dict[str, Any], fixed: Any, moving: Any, forward: Any, inverse: Any) -> tuple:
    """Make or refill both nodes and put the moving volume under the forward one.

    A transform that the volume was under is part of the result and remembered, so that a next run starts
    from the volume as it was.
    """
    before = parent_before(moving)
    there, back = fixed_to_moving(result), moving_to_fixed(result)
    if before is not None:
        there, back = _joined([*there, from_world(before)]), _joined([to_world(before), *back])
    linear = len(there) == 1 and there[0].IsA("vtkTransform")
    kind = "vtkMRMLLinearTransformNode" if linear else "vtkMRMLTransformNode"
    names = {"fixed": fixed.GetName(), "moving": moving.GetName()}
    forward = _node(forward, kind, _("{moving} to {fixed}").format(**names))
    inverse = _node(inverse, kind, _("{fixed} to {moving}").format(**names))
    _fill(forward, there, "forward", fixed, moving)
    _fill(inverse, back, "inverse", moving, fixed)
    for node in (forward, inverse):
        node.SetNodeReferenceID(PREVIOUS_PARENT, before.GetID() if before is not None else None)
    moving.SetAndObserveTransformNodeID(forward.GetID())
    return forward, inverse


def _joined(parts: list[Any]) -> list[Any]:
    """The same transforms with linear neighbours multiplied into one."""
    joined: list[Any] = []
    for part in parts:
        if joined and part.IsA("vtkTransform") and joined[-1].IsA("vtkTransform"):
            product = vtk.vtkTransform()
            product.PostMultiply()
            product.SetMatrix(joined.pop().GetMatrix())
            product.Concatenate(part.GetMatrix())
            part = product
        joined.append(part)
    return joined


def _node(node: Any, kind: str, name: str) -> Any:
    """The node of an earlier result where it can hold this one, else a new one."""
    old = node if node is not None and slicer.mrmlScene.IsNodePresent(node) else None
    if old is not None and old.GetClassName() == kind:
        return old
    children = _children(old)
    if old is not None:
        slicer.mrmlScene.RemoveNode(old)
    node = slicer.mrmlScene.AddNewNodeByClass(kind, slicer.mrmlScene.GenerateUniqueName(name))
    for child in children:
        child.SetAndObserveTransformNodeID(node.GetID())
    return node


def _children(transform: Any) -> list[Any]:
    """What is under a transform node."""
    nodes = slicer.util.getNodesByClass("vtkMRMLTransformableNode")
    return [] if transform is None else [node for node in nodes if node.GetParentTransformNode() is transform]


def _fill(node: Any, parts: list[Any], role: str, fixed: Any, moving: Any) -> None:
    with slicer.util.NodeModify(node):
        if node.GetClassName() == "vtkMRMLLinearTransformNode":
            node.SetMatrixTransformFromParent(parts[0].GetMatrix())
        else:
            frozen = vtk.vtkGeneralTransform()
            slicer.vtkMRMLTransformNode.DeepCopyTransform(frozen, chain(parts))
            node.SetAndObserveTransformFromParent(frozen)
        node.SetAttribute(RESULT, role)
        roles = slicer.vtkMRMLTransformNode
        node.SetNodeReferenceID(roles.GetFixedNodeReferenceRole(), fixed.GetID())
        node.SetNodeReferenceID(roles.GetMovingNodeReferenceRole(), moving.GetID())


def watch_loading(scene: Any) -> None:
    """From now on let results that are loaded be what they were when they were saved.

    Files do not say how to interpolate between the voxels of a displacement field, and Slicer then does it by
    cubic splines: that is some hundredths of a millimetre beside the linear field of the library.
    """
    if not _watched:
        _watched.append(scene.AddObserver(scene.EndImportEvent, lambda *_: interpolate_linearly()))


def interpolate_linearly() -> None:
    """Set all results in the scene to interpolate linearly between the voxels of their fields."""
    for node in slicer.util.getNodesByClass("vtkMRMLTransformNode"):
        if node.GetAttribute(RESULT):
            parts = vtk.vtkCollection()
            slicer.vtkMRMLTransformNode.FlattenGeneralTransform(parts, node.GetTransformFromParent())
            for n in range(parts.GetNumberOfItems()):
                if parts.GetItemAsObject(n).IsA("vtkGridTransform"):
                    parts.GetItemAsObject(n).SetInterpolationModeToLinear()


def earlier_result(fixed: Any, moving: Any) -> tuple[Any, Any]:
    """The nodes (forward, inverse) of an earlier registration of these volumes; None where there are none."""
    if fixed is None or moving is None:
        return None, None
    found: dict[str, Any] = {}
    roles = slicer.vtkMRMLTransformNode
    for node in slicer.util.getNodesByClass("vtkMRMLTransformNode"):
        pair = [
            node.GetNodeReference(r())
            for r in (roles.GetFixedNodeReferenceRole, roles.GetMovingNodeReferenceRole)
        ]
        role = node.GetAttribute(RESULT)
        if role and pair == ([fixed, moving] if role == "forward" else [moving, fixed]):
            found[role] = node
    return found.get("forward"), found.get("inverse")


def remove_result(moving: Any, nodes: list[Any]) -> None:
    """Put the moving volume and what goes along with it back; take a result's nodes out of the scene."""
    before = parent_before(moving)
    for node in _children(moving.GetParentTransformNode()):
        node.SetAndObserveTransformNodeID(before.GetID() if before is not None else None)
    for node in nodes:
        if node is not None:
            slicer.mrmlScene.RemoveNode(node)


def initial_matrix(node: Any) -> list[list[float]]:
    """A linear transform node, meant to move the moving volume, as the 4×4 fixed → moving map in LPS mm."""
    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformFromWorld(matrix)
    return ras_to_lps(array_of_matrix(matrix)).tolist()
