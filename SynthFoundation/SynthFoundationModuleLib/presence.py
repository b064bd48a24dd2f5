"""Nodes that leave the scene while the worker is busy with them."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from .errors import UserError


def deleted(*nodes: Any) -> UserError | None:
    """What to tell when one of these nodes is no longer in the scene; None where all of them are."""
    gone = next((node for node in nodes if node.GetScene() is None), None)
    if gone is None:
        return None
    return UserError(_("{name} was deleted meanwhile; nothing was changed.").format(name=gone.GetName()))
