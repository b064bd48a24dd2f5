"""Pairs of landmarks: placed one after the other in both volumes, watched while they are dragged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from .display import set_blend

_COLOURS = {"fixed": (1.0, 0.8, 0.1), "moving": (0.2, 0.7, 1.0)}


def make_list(volume: Any, role: str) -> Any:
    """A new list of points in a volume; those of the moving one move along with it."""
    name = _("Landmarks in {volume}").format(volume=volume.GetName())
    node = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLMarkupsFiducialNode", slicer.mrmlScene.GenerateUniqueName(name)
    )
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSelectedColor(*_COLOURS[role])
    node.SetControlPointLabelFormat("%d")
    if role == "moving":
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    return node


class Placer:
    """Asks for one point in the fixed and then one in the moving volume, showing only that volume."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._steps: list[tuple[Any, float]] = []
        self._observed: tuple[Any, int] | None = None
        self._blend = 50.0

    @property
    def active(self) -> bool:
        """Whether a point is awaited."""
        return bool(self._steps)

    @property
    def hint(self) -> str:
        """What the user shall do now."""
        if not self._steps:
            return ""
        if len(self._steps) == 2:
            return _("Click a place in the fixed volume.")
        return _("Click the same place in the moving volume.")

    def start(self, fixed_list: Any, moving_list: Any, blend: float) -> None:
        """Ask for a pair; points without a partner are completed first."""
        self.stop()
        self._blend = blend
        surplus = fixed_list.GetNumberOfControlPoints() - moving_list.GetNumberOfControlPoints()
        self._steps = [(fixed_list, 0.0)] if surplus <= 0 else []
        self._steps += [(moving_list, 100.0)] if surplus >= 0 else []
        self._next()

    def stop(self) -> None:
        """Ask for no more."""
        self._forget()
        if self._steps:
            self._steps.clear()
            _place_mode(None)
            set_blend(self._blend)

    def _next(self) -> None:
        self._forget()
        if not self._steps:
            _place_mode(None)
            set_blend(self._blend)
        else:
            node, blend = self._steps[0]
            set_blend(blend)
            self._observed = node, node.AddObserver(node.PointPositionDefinedEvent, self._placed)
            _place_mode(node)
        self._on_change()

    def _placed(self, *_event: Any) -> None:
        self._steps.pop(0)
        self._next()

    def _forget(self) -> None:
        if self._observed is not None:
            node, tag = self._observed
            node.RemoveObserver(tag)
            self._observed = None


def _place_mode(node: Any) -> None:
    """Let the next click in a view place a point in a list; None goes back to looking around."""
    logic = slicer.app.applicationLogic()
    selection, interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
    if selection is None or interaction is None:
        return
    interaction.SetPlaceModePersistence(0)
    if node is None:
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        return
    selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
    selection.SetActivePlaceNodeID(node.GetID())
    interaction.SetCurrentInteractionMode(interaction.Place)
