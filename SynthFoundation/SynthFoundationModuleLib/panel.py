"""What the panels have in common: a .ui file, bound to the parameter node while the module is shown."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
import vtk

from .errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

UI = Path(__file__).resolve().parent.parent / "Resources" / "UI"


def load_ui(name: str, layout: Any) -> tuple[Any, Any]:
    """The widget of a .ui file, put into a layout, and its named children as attributes."""
    widget = slicer.util.loadUI(str(UI / f"{name}.ui"))
    layout.addWidget(widget)
    widget.setMRMLScene(slicer.mrmlScene)
    return widget, slicer.util.childWidgetVariables(widget)


class Panel:
    """One tab of the module."""

    def __init__(self, ui_name: str, layout: Any) -> None:
        self.widget, self.ui = load_ui(ui_name, layout)
        self.parameters: Any = None
        self._tag: Any = None
        self._observed: list[tuple[Any, int]] = []

    def connect(self, parameters: Any) -> None:
        """Bind the widgets to a parameter node."""
        self.disconnect()
        self.parameters = parameters
        self._tag = parameters.connectGui(self.ui)
        self.observe(parameters, vtk.vtkCommand.ModifiedEvent, lambda *_: self.refresh())
        self.refresh()

    def disconnect(self) -> None:
        """Unbind the widgets; what is under way still ends in the same parameter node."""
        for thing, tag in self._observed:
            thing.RemoveObserver(tag)
        self._observed.clear()
        if self._tag is not None:
            self.parameters.disconnectGui(self._tag)
            self._tag = None

    def release(self) -> None:
        """Stop what is under way and let go of the parameter node: the scene is about to go."""
        self.on_scene_closing()
        self.disconnect()
        self.parameters = None

    def observe(self, thing: Any, event: Any, react: Callable[..., None]) -> None:
        """Call back on an event of a VTK object until the next `disconnect`."""
        self._observed.append((thing, thing.AddObserver(event, react)))

    def refresh(self) -> None:
        """Bring buttons, tool tips and texts up to date."""

    def on_node_removed(self, node: Any) -> None:
        """React to a node that has left the scene."""

    def on_scene_closing(self) -> None:
        """Stop what is under way."""


def loaded_volumes() -> list[Any]:
    """The scalar volumes that a user sees, in the order in which they came."""
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and not node.GetHideFromEditors()
        and node.GetImageData() is not None
    ]


def enable(button: Any, reason: str | None, tip: str) -> None:
    """Enable a button, or disable it with the reason as its tool tip."""
    button.enabled = reason is None
    button.toolTip = tip if reason is None else reason


def show_text(label: Any, text: str) -> None:
    """Show plain text, or hide the label where there is none."""
    label.text = text
    label.visible = bool(text)


def rich(text: str) -> str:
    """Text made safe to stand in rich text."""
    return escape(text, quote=False)


@contextmanager
def telling(label: Any) -> Iterator[None]:
    """Show what goes wrong in the block in a label, once and in plain words; details go to the log."""
    try:
        yield
    except UserError as error:
        show_text(label, str(error))
    except Exception as error:
        logging.exception("SynthFoundation")
        show_text(label, str(error) or type(error).__name__)


def after(milliseconds: int, react: Callable[[], None]) -> Any:
    """A timer which, each time it is started, calls back once after so long without another start."""
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.connect("timeout()", react)
    return timer
