"""The buttons of few-shot segmentation, used by the panel *Segment* and by the Segment Editor effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from . import dependencies, display
from .errors import UserError
from .few_shot import FewShot
from .few_shot_sessions import few_shot
from .panel import Panel, after, enable, show_text, telling
from .process import Worker
from .segments import surroundings

LIVE_MS = 50


class FewShotControls(Panel):
    """Update, live update, next slice, doubt, undo, accept."""

    def __init__(self, layout: Any, worker: Worker, save_undo_state: Callable[[], None]) -> None:
        super().__init__("SynthFoundationFewShot", layout)
        self._worker, self._save_undo_state = worker, save_undo_state
        self._session: FewShot | None = None
        self._doubt = display.DoubtOverlay()
        self._live_later = after(LIVE_MS, self._live_update)
        self._observed_content: tuple[Any, int] | None = None
        self._again = False
        ui = self.ui
        ui.updateButton.connect("clicked()", self.on_update)
        ui.nextSliceButton.connect("clicked()", self.on_next_slice)
        ui.undoButton.connect("clicked()", self.on_undo)
        ui.acceptButton.connect("clicked()", self.on_accept)

    @property
    def session(self) -> FewShot | None:
        """What is being segmented."""
        return self._session if self._session is not None and self._session.alive else None

    @property
    def _choices(self) -> Any:
        """The parameter node, unless its scene has been closed: the effect outlives scenes."""
        known = self.parameters
        return known if known is not None and known.parameterNode.GetScene() is not None else None

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self.session is not None and self.session.busy

    def choose(self, segmentation: Any, volume: Any) -> None:
        """Work on this segmentation of this volume; None for either is nothing."""
        session = None
        if segmentation is not None and volume is not None and volume.GetImageData() is not None:
            session = few_shot(self._worker, segmentation, volume)
        if session is not self._session:
            self._let_go()
            self._session = session
            self._follow(segmentation.GetSegmentation() if session else None)
        self.refresh()

    def connect(self, parameters: Any) -> None:
        """Bind the widgets to a parameter node, until its scene closes."""
        super().connect(parameters)
        self.observe(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, lambda *_: self.release())

    def release(self) -> None:
        """Let go of the session and the parameter node."""
        super().release()
        self.refresh()

    def disconnect(self) -> None:
        """Unbind the widgets."""
        self._live_later.stop()
        super().disconnect()

    # -- buttons ------------------------------------------------------------------------------------------

    def on_update(self) -> None:
        """Segment from what is drawn, or cancel that."""
        if self.session is None:
            return
        if self.busy:
            self._again = False
            self.session.cancel()
            return
        with telling(self.ui.segmentMessageLabel):
            show_text(self.ui.segmentMessageLabel, "")
            dependencies.ensure(lambda text: show_text(self.ui.segmentMessageLabel, text))
            show_text(self.ui.segmentMessageLabel, "")
            self._ask()
        self.refresh()

    def on_next_slice(self) -> None:
        """Go to the slice whose labels would tell most."""
        if self.session is not None and self.session.next_slice is not None:
            display.jump_to(self.session.volume, *self.session.next_slice)

    def on_undo(self) -> None:
        """Take back the last update."""
        session = self.session
        if session is None or session.busy or not session.undoable:
            self.refresh()  # the other one of panel and effect was faster
            return
        with telling(self.ui.segmentMessageLabel):
            show_text(self.ui.segmentMessageLabel, "")
            session.undo()
        self._done()

    def on_accept(self) -> None:
        """Keep the segments as they are and end the session."""
        if self.session is not None:
            self._doubt.hide()
            self.session.accept()
            text = _("The segment for the background is still there; remove it before you export.")
            show_text(self.ui.segmentMessageLabel, text if surroundings(self.session.segmentation) else "")
            self.refresh()

    # -- what is shown ------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring buttons, tool tips and texts up to date; let go of what was deleted."""
        if self._session is not None and not self._session.alive:
            self._let_go()
        ui, session = self.ui, self.session
        nothing = _("Choose a volume and a segmentation first.") if session is None else None
        if self.busy:
            ui.updateButton.text = _("Cancel")
            enable(ui.updateButton, None, _("Stop; the segments stay as they are."))
        else:
            ui.updateButton.text = _("Update")
            enable(ui.updateButton, nothing, _("Segment the whole volume from what is painted now."))
        wait = _("Wait for the answer.") if self.busy else None
        undone = nothing or wait or (None if session.undoable else _("There is nothing to take back."))
        enable(ui.undoButton, undone, _("Take back the last update, and what was painted for it."))
        early = nothing or wait or (None if session.started else _("Update first."))
        enable(ui.acceptButton, early, _("Finish: the segments stay as they are now."))
        self._refresh_next(session)
        self._refresh_doubt(session)

    def _refresh_next(self, session: FewShot | None) -> None:
        button = self.ui.nextSliceButton
        if session is None or session.next_slice is None:
            button.text = _("Next slice")
            sure = session is not None and session.started
            reason = _("It is sure everywhere; look it over and accept.") if sure else _("Update first.")
            enable(button, reason, "")
            return
        axis, index = session.next_slice
        plane = display.plane_name(session.volume, axis)
        button.text = _("Next slice to correct: {index} ({plane})").format(index=index, plane=plane)
        enable(button, None, _("Go to the slice where corrections help most."))

    def _refresh_doubt(self, session: FewShot | None) -> None:
        wanted = self._choices is not None and self._choices.showConfidence
        if wanted and session is not None and session.confidence is not None:
            if not self._doubt.shown:
                self._doubt.show(session.volume, session.confidence)
        else:
            self._doubt.hide()

    def _ask(self) -> None:
        callbacks = (self._done, self._failed, self.show_progress, self._save_undo_state)
        self.session.update(*map(self.while_chosen, callbacks))

    def _done(self) -> None:
        self.ui.segmentProgressBar.visible = False
        if self.session is not None and self.session.near:
            text = _("This volume is large: only the surroundings of what is painted were looked at.")
            show_text(self.ui.segmentMessageLabel, text)
        if self._doubt.shown and self.session is not None and self.session.confidence is not None:
            self._doubt.show(self.session.volume, self.session.confidence)
        self.refresh()
        if self._again:
            self._again = False
            self._live_later.start()

    def while_chosen(self, react: Callable[..., None]) -> Callable[..., None]:
        """The same callback, which does nothing once another session is worked on or the widgets are gone."""
        session = self._session

        def call(*told: Any) -> None:
            if session is self._session:
                react(*told)

        return call

    def _failed(self, error: UserError) -> None:
        self._again = False
        self.ui.segmentProgressBar.visible = False
        show_text(self.ui.segmentMessageLabel, str(error))
        self.refresh()

    def show_progress(self, stage: str, fraction: float, picture: str | None) -> None:
        """Show how far the work is."""
        self.ui.segmentProgressBar.visible = True
        self.ui.segmentProgressBar.value = round(100 * fraction)

    # -- live update --------------------------------------------------------------------------------------

    def _follow(self, content: Any) -> None:
        """React to strokes in these segments."""
        if self._observed_content is not None:
            thing, tag = self._observed_content
            thing.RemoveObserver(tag)
            self._observed_content = None
        if content is not None:
            event = slicer.vtkSegmentation.SourceRepresentationModified
            self._observed_content = content, content.AddObserver(event, self._on_stroke)

    def _on_stroke(self, *_event: Any) -> None:
        live = self._choices is not None and self._choices.liveUpdate
        if live and self.session is not None and not self.session.writing:
            self._live_later.start()

    def _live_update(self) -> None:
        if self._choices is None or self.session is None or not self._choices.liveUpdate:
            return
        if self.busy:
            self._again = True
        elif not dependencies.missing() and self.session.changed():
            with telling(self.ui.segmentMessageLabel):
                show_text(self.ui.segmentMessageLabel, "")
                self._ask()
            self.refresh()

    def on_node_removed(self, node: Any) -> None:
        """Stop when what is segmented is deleted."""
        session = self._session
        if session is None or (node is not session.volume and node is not session.segmentation):
            return
        stopped = session.busy
        session.close()
        self._let_go()
        if stopped:
            text = _("{name} was deleted; stopped.").format(name=node.GetName())
            show_text(self.ui.segmentMessageLabel, text)

    def on_scene_closing(self) -> None:
        """Let go of the session, which goes with its nodes."""
        self._let_go()

    def _let_go(self) -> None:
        self._live_later.stop()
        self._again = False
        self._doubt.hide()
        self._follow(None)
        self._session = None
        show_text(self.ui.segmentMessageLabel, "")
        self.ui.segmentProgressBar.visible = False
