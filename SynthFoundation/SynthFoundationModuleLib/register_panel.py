"""The panel *Register*: one button, a verdict, and corrections that are answered within seconds."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from . import dependencies, display
from .comparison import DEBOUNCE_MS, Comparison
from .errors import UserError
from .guides import Guides, guidance_mark
from .landmarks import Placer, make_list
from .machine_widgets import MachineWidgets
from .outputs import make_outputs, needs_worker
from .panel import Panel, after, enable, loaded_volumes, show_text, telling
from .presence import deleted
from .process import Worker, WorkerError
from .progress import ProgressView
from .regions import make_box
from .registration import Inputs, Registered, RegistrationSession, known_result, put_in_scene
from .scans import image_array
from .transforms import earlier_result, remove_result
from .verdict import verdict_text


class RegisterPanel(Panel):
    """Asks for registrations and puts their results into the scene."""

    def __init__(self, layout: Any, worker: Worker) -> None:
        super().__init__("SynthFoundationRegister", layout)
        self._worker = worker
        self._session = RegistrationSession(worker)
        self._board = Comparison()
        self._progress = ProgressView(self.widget, self.ui)
        self._placer = Placer(self.refresh)
        self._update_later = after(DEBOUNCE_MS, self._update)
        self._guides = Guides(self._on_guide_changed)
        self._guided: Any = None  # what the last request was guided by
        self._outputs_next = False  # whether the request under way was made for outputs
        self._pair: tuple = (None, None)  # whose result is known
        self.result: Registered | None = None
        ui = self.ui
        self._machine = MachineWidgets(ui.deviceBox, ui.weightsPath)
        ui.registerButton.connect("clicked()", self.on_register)
        ui.restoreButton.connect("clicked()", self.on_restore)
        ui.landmarkButton.connect("clicked()", self.on_landmark)
        ui.outputsButton.connect("clicked()", self.on_outputs)
        ui.fixedBoxButton.connect("clicked()", lambda: self.on_box("fixed"))
        ui.movingBoxButton.connect("clicked()", lambda: self.on_box("moving"))

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._session.busy

    def connect(self, parameters: Any) -> None:
        """Bind the widgets to a parameter node; go on with the result that its scene holds."""
        super().connect(parameters)
        self.choose_volumes()
        self._machine.refresh()
        if self.result is None and not self.busy:
            self._turn_to_pair()
            self.refresh()

    def disconnect(self) -> None:
        """Unbind the widgets."""
        self._placer.stop()
        self._guides.watch(None)
        super().disconnect()

    def inputs(self) -> Inputs:
        """What is chosen in the panel."""
        chosen = self.parameters
        return Inputs(
            fixed=chosen.fixed,
            moving=chosen.moving,
            transform=chosen.transformType.value,
            preset=chosen.preset.value,
            initial=chosen.initialTransform,
            fixed_mask=chosen.fixedMask,
            moving_mask=chosen.movingMask,
            fixed_landmarks=chosen.fixedLandmarks,
            moving_landmarks=chosen.movingLandmarks,
            stiffness=2.0**chosen.stiffness,
            **self._machine.settings.network(),
        )

    # -- the button ---------------------------------------------------------------------------------------

    def on_register(self) -> None:
        """Start, or cancel what is under way."""
        if self.busy:
            self._session.cancel()
            return
        with telling(self.ui.messageLabel):
            show_text(self.ui.messageLabel, "")
            self.inputs().check()
            dependencies.ensure(self._tell)
            show_text(self.ui.verdictLabel, "")
            self._session.close()
            self._outputs_next = False
            self._start()
        if not self.busy:  # refused, or not installed
            self._progress.hide()
        self.refresh()

    def _start(self) -> None:
        inputs, session, self._guided = self.inputs(), self._session, guidance_mark(self.parameters)

        def done(result: dict[str, Any]) -> None:
            if session is self._session:  # else the scene has been closed meanwhile
                self._done(inputs, result)

        def failed(error: UserError) -> None:
            if session is self._session:
                self._failed(error)

        session.start(inputs, done, failed, self._show_progress)
        self._guided = guidance_mark(self.parameters)  # points may have been attached to their volume
        self._tell(_("Preparing"))

    def _update(self) -> None:
        """Answer a change of landmarks, masks or stiffness."""
        if self.parameters is None or self.result is None or self._placer.active:
            return
        if self.busy or not self.parameters.autoUpdate or guidance_mark(self.parameters) == self._guided:
            return  # while it is busy, the end of the request looks again
        with telling(self.ui.messageLabel):
            show_text(self.ui.messageLabel, "")
            self._start()
        self.refresh()

    def _done(self, inputs: Inputs, result: dict[str, Any]) -> None:
        self._progress.hide()
        if (gone := deleted(inputs.fixed, inputs.moving)) is not None:
            self._failed(gone)
            return
        with telling(self.ui.messageLabel):
            found = put_in_scene(inputs, result, *earlier_result(inputs.fixed, inputs.moving))
            if self._is_chosen(inputs.fixed, inputs.moving):  # else another pair is looked at meanwhile
                self._show_result(found)
        self._outputs_next = False
        self.refresh()

    def _show_result(self, found: Registered) -> None:
        chosen = self.parameters
        first = self.result is None or not display.is_shown(chosen.moving)
        self.result = found
        chosen.forward, chosen.inverse = found.forward, found.inverse
        self._show_verdict()
        if first and not chosen.checkerboard:
            display.show_blend(chosen.fixed, chosen.moving, chosen.blend)
        if first:
            self.ui.compareSection.collapsed = self.ui.correctSection.collapsed = False
        self._board.show(chosen)
        if self._outputs_next:
            self._make_outputs()

    def _failed(self, error: UserError) -> None:
        self._outputs_next = False
        self._progress.hide()
        self._show_verdict()
        show_text(self.ui.messageLabel, str(error))
        self.refresh()

    # -- what is shown ------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring buttons, tool tips and texts up to date."""
        if self.parameters is None:
            return
        ui, chosen = self.ui, self.parameters
        if not self._is_chosen(*self._pair):
            self._turn_to_pair()
        reason = self._why_not()
        if self.busy:
            ui.registerButton.text = _("Cancel")
            enable(ui.registerButton, None, _("Stop; the scene stays as it is."))
        else:
            if reason is None and not dependencies.missing():
                self._worker.warm_up()
            ui.registerButton.text = _("Register")
            enable(ui.registerButton, reason, _("Align the moving volume to the fixed one."))
        placed = self._placed()
        enable(
            ui.restoreButton,
            None if placed else _("There is no result yet."),
            _("Take the result away: the moving volume returns to where it was."),
        )
        enable(
            ui.landmarkButton,
            reason,
            _("Click the same place first in the fixed, then in the moving volume. Drag points at any time."),
        )
        for role, button in (("fixed", ui.fixedBoxButton), ("moving", ui.movingBoxButton)):
            tip = _("Make a box and drag its sides: only what lies inside counts.")
            enable(button, None if chosen.getValue(role) else _("Choose a volume first."), tip)
        ui.landmarkButton.checked = self._placer.active
        show_text(ui.landmarkLabel, self._placer.hint)
        missing = None if placed and self.result else _("Register first.")
        if missing is None and self.busy:
            missing = _("Wait for the result.")
        enable(ui.outputsButton, missing, _("Make what is chosen above, from the result as it is now."))
        if not (self.result and placed):
            show_text(ui.verdictLabel, "")
        for slider in (ui.blendSlider, ui.checkerboardBox):
            slider.enabled = bool(chosen.fixed and chosen.moving)
        ui.blendSlider.enabled = ui.blendSlider.enabled and not chosen.checkerboard
        self._guides.watch(chosen)
        if placed:
            self._board.follow(chosen, fading=not self._placer.active)
        if self.result is not None and guidance_mark(self.parameters) != self._guided:
            self._update_later.start()

    def _why_not(self) -> str | None:
        chosen = self.parameters
        if not chosen.fixed or not chosen.moving:
            return _("Choose a fixed and a moving volume.")
        if chosen.fixed is chosen.moving:
            return _("Fixed and moving are the same volume; choose two.")
        return None

    def _is_chosen(self, fixed: Any, moving: Any) -> bool:
        return self.parameters.fixed is fixed and self.parameters.moving is moving

    def _turn_to_pair(self) -> None:
        """Go on with the result that the scene holds for the chosen pair."""
        chosen = self.parameters
        self._pair = pair = (chosen.fixed, chosen.moving)
        in_place_of_blend = self._board.shown
        self._board.end()
        if in_place_of_blend and all(pair):
            display.show_blend(*pair, chosen.blend)
        self.result = None
        chosen.forward, chosen.inverse = earlier_result(*pair)
        self.result = known_result(chosen.forward, chosen.inverse) if self._placed() else None
        self._guided = guidance_mark(chosen)
        self._show_verdict()

    def _placed(self) -> bool:
        """Whether the moving volume is under a result of this panel."""
        chosen = self.parameters
        return bool(
            chosen.forward and chosen.moving and chosen.moving.GetTransformNodeID() == chosen.forward.GetID()
        )

    def _show_verdict(self) -> None:
        if (found := self.result) is not None:
            text = verdict_text(found.verdict, found.reasons, found.numbers, found.seconds)
            show_text(self.ui.verdictLabel, text)

    def _show_progress(self, stage: str, fraction: float, picture: str | None) -> None:
        self._progress.show(stage, fraction, picture)
        self.refresh()

    def _tell(self, text: str) -> None:
        self._progress.tell(text)
        self.refresh()

    # -- corrections --------------------------------------------------------------------------------------

    def on_landmark(self) -> None:
        """Ask for a pair of points, or stop asking."""
        if self._placer.active:
            self._placer.stop()
            self.refresh()
            return
        chosen = self.parameters
        if not chosen.fixedLandmarks:
            chosen.fixedLandmarks = make_list(chosen.fixed, "fixed")
        if not chosen.movingLandmarks:
            chosen.movingLandmarks = make_list(chosen.moving, "moving")
        if not self._placed():
            display.show_blend(chosen.fixed, chosen.moving, chosen.blend)
        self._placer.start(chosen.fixedLandmarks, chosen.movingLandmarks, chosen.blend)

    def on_restore(self) -> None:
        """Take the result away."""
        chosen = self.parameters
        self._session.close()
        self._board.end()
        remove_result(chosen.moving, [chosen.forward, chosen.inverse])
        chosen.checkerboard = False
        self.result = None
        self.refresh()

    def on_box(self, role: str) -> None:
        """Make a box to drag, and let only what lies inside count."""
        with telling(self.ui.messageLabel):
            volume = self.parameters.getValue(role)
            image_array(volume)  # says what is wrong where there is none
            setattr(self.parameters, f"{role}Mask", make_box(volume, role))

    def on_outputs(self) -> None:
        """Make the chosen volumes, labels and points; register again where the worker has forgotten how."""
        show_text(self.ui.messageLabel, "")
        with telling(self.ui.messageLabel):
            dependencies.ensure(self._tell)
            kept = self._session.kept and self._is_chosen(*self._session.nodes)
            if needs_worker(self.parameters) and not kept:
                self._outputs_next = True
                self._start()
            else:
                self._make_outputs()
        if not self.busy:
            self._progress.hide()
        self.refresh()

    def _make_outputs(self) -> None:
        made: list[str] = []

        def on_made(node: Any) -> None:
            made.append(node.GetName())
            show_text(self.ui.messageLabel, _("Made: {names}.").format(names=", ".join(made)))

        def failed(error: WorkerError) -> None:
            if error.missing and not self.busy:  # the worker forgot the session to save memory
                self._session.close()
                self.on_outputs()
            else:
                self._failed(error)

        make_outputs(self.parameters, self._session, on_made, failed)

    def _on_guide_changed(self) -> None:
        if self.result is not None and not self._placer.active:
            self._update_later.start()

    # -- the scene ----------------------------------------------------------------------------------------

    def choose_volumes(self) -> None:
        """Choose the first two volumes where nothing is chosen yet."""
        chosen = self.parameters
        volumes = loaded_volumes()
        if not chosen.fixed and volumes:
            chosen.fixed = volumes[0]
        others = [node for node in volumes if node is not chosen.fixed]
        if others and (not chosen.moving or chosen.moving is chosen.fixed):
            chosen.moving = others[0]

    def on_node_removed(self, node: Any) -> None:
        """Cancel when a volume at work is deleted; forget results that are gone."""
        self._worker.forget(node.GetID() or "")
        if self.busy and any(node is volume for volume in self._session.nodes):
            self._session.cancel()
        if self.result is not None and node in (self.result.forward, self.result.inverse):
            self.result = None
        self.refresh()

    def on_scene_closing(self) -> None:
        """Cancel, and forget the result: its nodes are about to go."""
        self._update_later.stop()
        self._board.end()
        self._placer.stop()
        self._session.close()
        self._session = RegistrationSession(self._worker)
        self._pair = (None, None)
        self.result = self._guided = None
        self._outputs_next = False
        self._progress.hide()
        for label in (self.ui.messageLabel, self.ui.verdictLabel):
            show_text(label, "")
