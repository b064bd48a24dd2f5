"""What a finished registration can make besides the transforms: volumes, labels, points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .errors import UserError
from .geometry import grid_of
from .process import OnError
from .registration import RegistrationSession, map_volume, moved_volume
from .scans import PREVIOUS_PARENT, from_world, scan_of, to_world
from .segments import new_segmentation, read_in

OnMade = Callable[[Any], None]


def _maps(chosen: Any) -> list[str]:
    return [
        name for name, on in (("jacobian", chosen.makeJacobian), ("confidence", chosen.makeConfidence)) if on
    ]


def needs_worker(chosen: Any) -> bool:
    """Whether anything is chosen that the worker makes, from a registration that it still has."""
    return bool(_maps(chosen) or chosen.labelsToCarry)


def make_outputs(chosen: Any, session: RegistrationSession, on_made: OnMade, on_error: OnError) -> None:
    """Make what is chosen in the parameter node; what the worker computes arrives later.

    Args:
        chosen: the parameter node.
        session: of the registration.
        on_made: told of each new node.
        on_error: told when the worker cannot.

    Raises:
        UserError: nothing is chosen.
    """
    maps = _maps(chosen)
    if not (maps or chosen.makeMoved or chosen.labelsToCarry or chosen.pointsToCarry):
        raise UserError(_("Choose above what to make."))
    fixed, moving = chosen.fixed, chosen.moving
    if chosen.makeMoved:
        on_made(moved_volume(fixed, moving))
    if chosen.pointsToCarry:
        on_made(carried_points(chosen.pointsToCarry, chosen.forward, fixed))
    if maps:
        session.ask(
            "registration_maps",
            {"what": maps},
            lambda answer: _place_maps(answer, fixed, moving, on_made),
            on_error,
        )
    if chosen.labelsToCarry:
        carry_labels(chosen.labelsToCarry, fixed, moving, session, on_made, on_error)


def _place_maps(answer: dict[str, Any], fixed: Any, moving: Any, on_made: OnMade) -> None:
    if fixed.GetScene() is None or moving.GetScene() is None:
        return
    names = {
        "jacobian": _("Volume change, {moving} to {fixed}"),
        "confidence": _("Confidence, {moving} to {fixed}"),
    }
    for what, one in answer.items():
        on_made(map_volume(one, names[what].format(moving=moving.GetName(), fixed=fixed.GetName())))


def carried_points(points: Any, forward: Any, fixed: Any) -> Any:
    """A copy of points of the moving volume where they lie in the fixed one.

    Points that already move along with the volume are where they belong; others lie where it was before.
    """
    copy = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    copy.CopyContent(points)
    name = _("{points} in {fixed}").format(points=points.GetName(), fixed=fixed.GetName())
    copy.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    copy.SetAndObserveTransformNodeID(None)
    there, back = to_world(forward), from_world(forward.GetNodeReference(PREVIOUS_PARENT))
    along = points.GetParentTransformNode() is forward
    for n in range(points.GetNumberOfControlPoints()):
        place = points.GetNthControlPointPositionWorld(n)
        copy.SetNthControlPointPosition(
            n, place if along else there.TransformPoint(back.TransformPoint(place))
        )
    return copy


def carry_labels(
    labels: Any, fixed: Any, moving: Any, session: RegistrationSession, on_made: OnMade, on_error: OnError
) -> None:
    """Bring a segmentation or label map of the moving volume to the fixed one, as a new segmentation."""
    scan = scan_of(moving, "moving")
    array = read_in(labels, scan, "moving")
    if not array.any():
        raise UserError(_("Nothing of {name} lies in the moving volume.").format(name=labels.GetName()))
    name = _("{labels} in {fixed}").format(labels=labels.GetName(), fixed=fixed.GetName())

    def place(answer: dict[str, Any]) -> None:
        if fixed.GetScene() is not None:
            on_made(new_segmentation(np.asarray(answer["array"]), fixed, name, labels))

    grid = grid_of(scan.matrix, array.shape[::-1])
    session.ask("carry_labels", {"array": array, "grid": grid}, place, on_error)
