"""The panel *Model*: what is installed, which weights, where to compute, and what the network sees."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from . import dependencies
from .errors import UserError
from .geometry import matrix_of_grid, vtk_matrix
from .machine_widgets import MachineWidgets
from .panel import Panel, enable, rich, show_text, telling
from .process import Worker


class ModelPanel(Panel):
    """Installs, tests and tells."""

    def __init__(self, layout: Any, worker: Worker) -> None:
        super().__init__("SynthFoundationModel", layout)
        self._worker = worker
        self._request: int | None = None
        ui = self.ui
        self._machine = MachineWidgets(ui.modelDeviceBox, ui.modelWeightsPath)
        ui.installButton.connect("clicked()", self.on_install)
        ui.testButton.connect("clicked()", self.on_test)
        ui.pictureButton.connect("clicked()", self.on_picture)
        ui.clearButton.connect("clicked()", self.on_clear)

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._request is not None

    def connect(self, parameters: Any) -> None:
        """Bind the widgets to a parameter node."""
        super().connect(parameters)
        self._machine.refresh()

    def refresh(self) -> None:
        """Bring buttons, tool tips and texts up to date."""
        ui = self.ui
        lacking = dependencies.missing()
        if lacking:
            ui.stateLabel.text = _("Not installed yet: {names}.").format(names=", ".join(lacking))
        else:
            clash = dependencies.numpy_clash()
            ui.stateLabel.text = clash or _("Everything that is needed is installed.")
        wait = _("Wait for the answer.") if self.busy else None
        ui.installButton.text = _("Install what is needed") if lacking else _("Repair the installation")
        tip = _("Download and install PyTorch and safetensors, after asking.")
        if not lacking:
            tip = _("Where the self-test fails: remove PyTorch and install it again, after asking.")
        enable(ui.installButton, wait, tip)
        needed = _("Install what is needed first.") if lacking else None
        if self.busy:
            ui.testButton.text = _("Cancel")
            enable(ui.testButton, None, _("Stop."))
        else:
            ui.testButton.text = _("Self-test")
            enable(ui.testButton, needed, _("Check the installation, the weights and the computation."))
        chosen = None
        if self.parameters is not None and not self.parameters.picturedVolume:
            chosen = _("Choose a volume.")
        tip = _(
            "Make a volume whose colours are the main directions of the features: alike tissue, alike colour."
        )
        enable(ui.pictureButton, needed or wait or chosen, tip)
        tip = _("Free the memory that features and networks take; they are computed again when needed.")
        enable(ui.clearButton, needed or wait, tip)

    def on_install(self) -> None:
        """Install what is missing, or all of it again, after asking."""
        in_use = "torch" in sys.modules  # another one cannot take its place before a restart
        with telling(self.ui.modelMessageLabel):
            show_text(self.ui.modelMessageLabel, "")
            if dependencies.missing():
                dependencies.ensure(self._tell_state)
            else:
                dependencies.repair(self._tell_state)
            self._worker.close()
            text = _("Installed. The self-test tells whether it works.")
            if in_use:
                text = _("Installed. Restart Slicer, then run the self-test.")
            show_text(self.ui.modelMessageLabel, text)
        self.refresh()

    def on_test(self) -> None:
        """Try everything out, or stop that."""
        if self._request is not None:
            self._worker.cancel(self._request)
            return
        self._ask("doctor", {"self_test": True}, self._show_report)

    def on_picture(self) -> None:
        """Show the features of the chosen volume as colours."""
        volume = self.parameters.picturedVolume

        def place(answer: dict[str, Any]) -> None:
            if volume.GetScene() is not None:
                show_colours(feature_volume(answer, volume))

        with telling(self.ui.modelMessageLabel):
            params = {"volume": self._worker.volume(volume, "stored"), **self._machine.settings.network()}
            self._ask("feature_picture", params, place)

    def on_clear(self) -> None:
        """Free memory."""
        self._ask("clear_cache", {}, self._show_freed)

    def _show_freed(self, answer: dict[str, Any]) -> None:
        megabytes = (answer.get("freed_bytes") or 0) / 1e6
        show_text(self.ui.modelMessageLabel, _("Freed {megabytes:.0f} MB.").format(megabytes=megabytes))

    def _ask(self, method: str, params: dict[str, Any], on_result: Callable[[dict[str, Any]], None]) -> None:
        def done(answer: dict[str, Any]) -> None:
            self._ended()
            on_result(answer)
            self.refresh()

        def failed(error: UserError) -> None:
            self._ended()
            show_text(self.ui.modelMessageLabel, str(error))
            self.refresh()

        with telling(self.ui.modelMessageLabel):
            show_text(self.ui.modelMessageLabel, "")
            self._request = self._worker.ask(method, params, done, failed, self._show_progress)
            self.ui.modelProgressBar.visible = True
            self.ui.modelProgressBar.value = 0
        self.refresh()

    def _ended(self) -> None:
        self._request = None
        self.ui.modelProgressBar.visible = False

    def _tell_state(self, text: str) -> None:
        show_text(self.ui.modelMessageLabel, text)
        slicer.app.processEvents()

    def _show_progress(self, stage: str, fraction: float, picture: str | None) -> None:
        self.ui.modelProgressBar.value = round(100 * fraction)

    def _show_report(self, answer: dict[str, Any]) -> None:
        show_text(self.ui.reportLabel, "<br>".join(report_lines(answer)))

    def on_scene_closing(self) -> None:
        """Stop what is under way."""
        if self._request is not None:
            self._worker.cancel(self._request)


def feature_volume(answer: dict[str, Any], volume: Any) -> Any:
    """The colours of an answer as a vector volume: a new node."""
    name = _("Features of {volume}").format(volume=volume.GetName())
    node = slicer.util.addVolumeFromArray(
        np.asarray(answer["array"]),
        vtk_matrix(matrix_of_grid(answer["grid"])),
        slicer.mrmlScene.GenerateUniqueName(name),
        "vtkMRMLVectorVolumeNode",
    )
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    return node


def show_colours(node: Any) -> None:
    """Show a vector volume in the slice views."""
    slicer.util.setSliceViewerLayers(background=node, foreground=None, fit=True)


def report_lines(answer: dict[str, Any]) -> Iterator[str]:
    """What the self-test found, as lines of rich text."""
    yield rich(_("SynthFoundation {version}").format(version=answer["version"]))
    packages = [
        "{} {}".format(name, version or _("(missing)")) for name, version in answer["packages"].items()
    ]
    yield rich(", ".join(packages))
    for device in answer["devices"]:
        yield rich(_("Device {name}: {about}").format(**device))
    if not answer["weights"]:
        yield rich(_("No network is installed: scans are compared by self-similarity (MIND)."))
    for weights in answer["weights"]:
        text = _("Weights {id}, licence {licence}, sha256:").format(**weights)
        digits = str(weights["sha256"])
        half = (len(digits) + 1) // 2  # a line that does not fit would widen the panel
        yield "<br>".join((rich(text), rich(digits[:half]), rich(digits[half:])))
        if weights.get("error"):
            yield rich(str(weights["error"]))
    names = {"files": _("files"), "features": _("features"), "registration": _("registration")}
    for test in answer["self_test"]:
        line = _("Test of {name}: {word} in {seconds:.1f} s").format(
            name=names.get(test["name"], test["name"]),
            word=_("passed") if test["passed"] else _("failed"),
            seconds=test["seconds"],
        )
        yield rich("{} ({})".format(line, test["message"]) if test.get("message") else line)
