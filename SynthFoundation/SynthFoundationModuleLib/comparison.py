"""The registered pair in the slice views: blended, or as a checkerboard."""

from __future__ import annotations

from typing import Any

from . import display
from .checkerboard import Checkerboard
from .panel import after

DEBOUNCE_MS = 300


class Comparison:
    """Shows a pair as the parameter node says; a checkerboard is made once the user pauses."""

    def __init__(self) -> None:
        self._board = Checkerboard()
        self._later = after(DEBOUNCE_MS, lambda: self.show(self._chosen))
        self._chosen: Any = None
        self._shown: tuple | None = None

    @property
    def shown(self) -> bool:
        """Whether there is a checkerboard."""
        return self._board.shown

    def follow(self, chosen: Any, fading: bool) -> None:
        """Bring the views up to date, if the choice has changed; the blend only where it may be faded."""
        self._chosen = chosen
        wanted = (chosen.blend, chosen.checkerboard)
        if wanted == self._shown:
            return
        changed = self._shown is None or self._shown[1] != chosen.checkerboard
        self._shown = wanted
        if changed:
            self._later.start()
        elif not chosen.checkerboard and fading:
            display.set_blend(chosen.blend)

    def show(self, chosen: Any) -> None:
        """Show the pair of a parameter node as it is now."""
        self._shown = (chosen.blend, chosen.checkerboard)
        if chosen.checkerboard:
            self._board.show(chosen.fixed, chosen.moving)
        elif self.shown:
            self._board.hide()
            display.show_blend(chosen.fixed, chosen.moving, chosen.blend)
        else:
            self._board.hide()
            display.set_blend(chosen.blend)

    def end(self) -> None:
        """Show nothing of the pair any more."""
        self._later.stop()
        self._board.hide()
        self._chosen = self._shown = None
