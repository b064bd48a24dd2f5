"""What guides a registration, watched: landmarks, masks and the stiffness, which may change at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from .regions import mark_of

_NAMES = ("fixedLandmarks", "movingLandmarks", "fixedMask", "movingMask")


class Guides:
    """Follows what happens inside the landmarks and masks that are chosen."""

    def __init__(self, on_changed: Callable[[], None]) -> None:
        self._on_changed = on_changed
        self._watched: list[tuple[Any, int]] = []

    def watch(self, parameters: Any) -> None:
        """Follow those of a parameter node; None ends it."""
        chosen = [parameters.getValue(name) for name in _NAMES] if parameters is not None else []
        wanted = [node for node in chosen if node is not None]
        if [thing for thing, _tag in self._watched] == [part for node in wanted for part in _parts(node)]:
            return
        for thing, tag in self._watched:
            thing.RemoveObserver(tag)
        self._watched = [
            (part, part.AddObserver(event, lambda *_event: self._on_changed()))
            for node in wanted
            for part, event in _parts(node).items()
        ]


def guidance_mark(parameters: Any) -> tuple:
    """Changes whenever landmarks, masks or stiffness do."""
    marks: list[Any] = [parameters.stiffness]
    lists = [parameters.fixedLandmarks, parameters.movingLandmarks]
    count = min((node.GetNumberOfControlPoints() for node in lists if node), default=0) if all(lists) else 0
    for node in lists if count else []:
        marks += [tuple(node.GetNthControlPointPosition(n)) for n in range(count)]
    for node in (parameters.fixedMask, parameters.movingMask):
        marks += _mask_mark(node)
    return tuple(marks)


def _parts(node: Any) -> dict[Any, Any]:
    """The objects whose events tell that landmarks or masks have changed, with the event."""
    if node.IsA("vtkMRMLSegmentationNode"):
        return {node.GetSegmentation(): slicer.vtkSegmentation.SourceRepresentationModified}
    if node.IsA("vtkMRMLVolumeNode"):
        return {node: slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent}
    if node.IsA("vtkMRMLMarkupsROINode"):
        return {node: vtk.vtkCommand.ModifiedEvent}
    return {node: slicer.vtkMRMLMarkupsNode.PointModifiedEvent}


def _mask_mark(node: Any) -> list[Any]:
    """Changes whenever a mask does, not when it goes along with its volume."""
    if node is None:
        return [0]
    if node.IsA("vtkMRMLMarkupsROINode"):
        return [node.GetID(), *mark_of(node)]
    content = node.GetSegmentation() if node.IsA("vtkMRMLSegmentationNode") else node.GetImageData()
    return [node.GetID(), content.GetMTime() if content else 0]
