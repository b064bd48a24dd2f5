"""How far a registration is: a stage, a bar and a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from .panel import show_text


class ProgressView:
    """The widgets of a panel that tell of the work under way; hidden in between."""

    def __init__(self, widget: Any, ui: Any) -> None:
        self._widget, self._ui = widget, ui

    def show(self, stage: str, fraction: float, picture: str | None) -> None:
        """Show what the worker tells of its work."""
        self.tell(_stage_name(stage), fraction)
        if picture:
            image = qt.QPixmap(picture)
            width = max(200, min(self._widget.width - 40, 480))
            self._ui.pictureLabel.setPixmap(image.scaledToWidth(width, qt.Qt.SmoothTransformation))
            self._ui.pictureLabel.visible = True

    def tell(self, text: str, fraction: float = 0.0) -> None:
        """Show a text and how much is done."""
        show_text(self._ui.stageLabel, text)
        self._ui.progressBar.visible = True
        self._ui.progressBar.value = round(100 * fraction)

    def hide(self) -> None:
        """Nothing is under way."""
        show_text(self._ui.stageLabel, "")
        self._ui.progressBar.visible = False
        self._ui.pictureLabel.visible = False


def _stage_name(stage: str) -> str:
    """A stage of the work, for the user."""
    names: dict[str, Callable[[], str]] = {
        "start": lambda: _("Finding the start"),
        "linear": lambda: _("Turning and shifting"),
        "features": lambda: _("Computing features"),
        "discrete": lambda: _("Searching for the deformation"),
        "deformable": lambda: _("Refining the deformation"),
        "quality": lambda: _("Judging the result"),
        "done": lambda: _("Judging the result"),
    }
    name = names.get(stage.split()[0] if stage else "")
    return name() if name else stage
