"""3D Slicer module: align any two volumes, segment from a few painted slices."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

_LIBRARIES = ("SynthFoundationModuleLib", "SynthFoundationLib")
_SCRIPT_METHODS = ("register", "segment", "transfer")


class SynthFoundation(ScriptedLoadableModule):
    """What Slicer knows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SynthFoundation")
        parent.categories = [
            translate("qSlicerAbstractCoreModule", "Registration"),
            translate("qSlicerAbstractCoreModule", "Segmentation"),
        ]
        parent.dependencies = ["Segmentations", "SegmentEditor", "Volumes", "Markups", "Transforms"]
        parent.contributors = ["SynthFoundation contributors"]
        parent.helpText = _(
            "<p><b>Register</b> aligns two volumes of any modality: choose a fixed and a moving one and "
            "press Register. <b>Segment</b> makes a whole segmentation from a few painted slices. "
            "<b>Model</b> installs what is needed and tells what is used.</p>"
            "<p>Not a medical device. No image ever leaves this computer.</p>"
        )
        parent.acknowledgementText = _(
            "The features follow N. Dey et al., Learning General-Purpose Biomedical Volume Representations "
            "using Randomized Synthesis, ICLR 2025. Licence: Apache-2.0."
        )
        slicer.app.connect("startupCompleted()", on_startup_completed)

    def setup(self) -> None:
        """Called by Slicer once the module is made: give `slicer.modules.synthfoundation.logic()` methods.

        That is a VTK object without methods of ours, but one that keeps Python attributes.
        """
        logic = self.parent.logic()
        for name in _SCRIPT_METHODS:
            setattr(logic, name, _called_on_logic(name))


def _called_on_logic(name: str) -> Any:
    """A function that calls the method of the current `SynthFoundationLogic`, also after a reload."""

    def call(*args: Any, **options: Any) -> Any:
        logic = importlib.import_module("SynthFoundation").SynthFoundationLogic()
        return getattr(logic, name)(*args, **options)

    call.__name__ = name
    return call


def on_startup_completed() -> None:
    """Look after results that are loaded, offer sample data, go on with an interrupted installation."""
    for step in (_watch_loading, _offer_samples, _resume_installation):
        try:
            step()
        except Exception:  # what fails does not take the others with it
            logging.exception("SynthFoundation: %s", step.__name__)


def _watch_loading() -> None:
    from SynthFoundationModuleLib import transforms

    transforms.watch_loading(slicer.mrmlScene)


def _offer_samples() -> None:
    from SynthFoundationModuleLib import sample_data

    sample_data.register()


def _resume_installation() -> None:
    from SynthFoundationModuleLib import dependencies

    if slicer.util.mainWindow() is not None and dependencies.resume():
        slicer.util.selectModule("SynthFoundation")
        widget = slicer.util.getModuleWidget("SynthFoundation")
        widget.show_model_panel()
        widget.model_panel.on_install()


class SynthFoundationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The three panels, and what happens when the scene or the module comes and goes."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: SynthFoundationLogic | None = None
        self.panels: list[Any] = []

    def setup(self) -> None:
        """Called by Slicer when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        from SynthFoundationModuleLib.model_panel import ModelPanel
        from SynthFoundationModuleLib.panel import after, load_ui
        from SynthFoundationModuleLib.process import shared_worker
        from SynthFoundationModuleLib.register_panel import RegisterPanel
        from SynthFoundationModuleLib.segment_panel import SegmentPanel

        self.logic = SynthFoundationLogic()
        self.widget, self.ui = load_ui("SynthFoundation", self.layout)
        worker = shared_worker()
        self.register_panel = RegisterPanel(self.ui.registerTab.layout(), worker)
        self.segment_panel = SegmentPanel(self.ui.segmentTab.layout(), worker)
        self.model_panel = ModelPanel(self.ui.modelTab.layout(), worker)
        self.panels = [self.register_panel, self.segment_panel, self.model_panel]
        for index, title in enumerate((_("Register"), _("Segment"), _("Model"))):
            self.ui.tabs.setTabText(index, title)
        self.ui.tabs.setCurrentIndex(0)
        self.ui.tabs.connect("currentChanged(int)", lambda _index: self._show_current())
        self._choose_later = after(0, self._choose_volumes)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.on_scene_closing)
        self.addObserver(scene, scene.EndCloseEvent, self.on_scene_changed)
        self.addObserver(scene, scene.EndImportEvent, self.on_scene_changed)
        self.addObserver(scene, scene.EndRestoreEvent, self.on_scene_changed)
        self.addObserver(scene, scene.NodeAddedEvent, self.on_node_added)
        self.addObserver(scene, scene.NodeRemovedEvent, self.on_node_removed)
        self.connect_panels()

    def cleanup(self) -> None:
        """Called when Slicer closes, and before a reload."""
        from SynthFoundationModuleLib.process import close_shared_worker

        self.removeObservers()
        self._choose_later.stop()
        for panel in self.panels:
            panel.release()
        close_shared_worker()

    def enter(self) -> None:
        """Called each time the module is shown."""
        self.connect_panels()
        self._show_current()

    def exit(self) -> None:
        """Called each time another module is shown; what is under way goes on."""
        self.segment_panel.hide()
        for panel in self.panels:
            panel.disconnect()

    def onReload(self) -> None:
        """Called by the developer's Reload button: let go of every part, so that each is imported anew."""
        self.cleanup()
        for name in list(sys.modules):
            if name.split(".")[0] in _LIBRARIES:
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def connect_panels(self) -> None:
        """Bind the panels to the parameter node of the scene."""
        parameters = self.logic.getParameterNode()
        for panel in self.panels:
            panel.connect(parameters)

    def show_model_panel(self) -> None:
        """Bring the panel Model to the front."""
        self.ui.tabs.setCurrentIndex(2)

    def _show_current(self) -> None:
        if self.ui.tabs.currentIndex == 1:
            self.segment_panel.show()
        else:
            self.segment_panel.hide()

    def on_scene_closing(self, caller: Any, event: Any) -> None:
        """The scene is about to be emptied."""
        for panel in self.panels:
            panel.release()

    def on_scene_changed(self, caller: Any, event: Any) -> None:
        """The scene was emptied, loaded or restored."""
        if self.parent.isEntered:
            self.connect_panels()
            self._show_current()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_node_added(self, caller: Any, event: Any, node: Any) -> None:
        """A node was made; volumes are chosen once they are loaded."""
        if self.parent.isEntered and node.IsA("vtkMRMLScalarVolumeNode"):
            self._choose_later.start()

    def _choose_volumes(self) -> None:
        if self.parent.isEntered and self.register_panel.parameters is not None:
            self.register_panel.choose_volumes()
            if self.ui.tabs.currentIndex == 1:
                self.segment_panel.choose_nodes()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_node_removed(self, caller: Any, event: Any, node: Any) -> None:
        """A node was deleted."""
        for panel in self.panels:
            if panel.parameters is not None:
                panel.on_node_removed(node)


class SynthFoundationLogic(ScriptedLoadableModuleLogic):
    """The same without panels, for scripts: every method waits for its result, with the interface alive."""

    def getParameterNode(self) -> Any:
        """The choices that are saved with the scene."""
        from SynthFoundationModuleLib.parameters import SynthFoundationParameterNode

        return SynthFoundationParameterNode(super().getParameterNode())

    def register(self, fixed: Any, moving: Any, **options: Any) -> Any:
        """Align the moving volume to the fixed one and put it under the resulting transform.

        Args:
            fixed: volume node.
            moving: volume node.
            **options: `transform` ("deformable", "affine", "rigid"), `preset` ("fast", "default",
                "accurate"), `initial` (linear transform node), `fixed_mask`, `moving_mask` (segmentation,
                label map or ROI nodes), `fixed_landmarks`, `moving_landmarks` (point lists, paired by order),
                `stiffness` (1 = default), `features`, `weights`, `device`, `seed`, and `progress`, a function
                of stage, fraction and the path of a picture.

        Returns:
            `Registered`: nodes `forward` and `inverse`, `verdict`, `reasons`, `numbers`, `seconds`.

        Raises:
            UserError: it cannot be done; the scene is untouched.
        """
        from SynthFoundationModuleLib.scripting import register

        return register(fixed, moving, **options)

    def segment(self, volume: Any, segmentation: Any) -> Any:
        """Complete the segments that are painted on a few slices.

        Returns:
            `Segmented`: `confidence`, an array (k, j, i) of 0…255, and `next_slice`, the array axis and index
            of the slice to correct next, or None.

        Raises:
            UserError: it cannot be done; the segmentation is untouched.
        """
        from SynthFoundationModuleLib.scripting import segment

        return segment(volume, segmentation)

    def transfer(self, volume: Any, segmentation: Any, target: Any) -> Any:
        """Segment in another volume what `segment` has segmented in this one: a new segmentation node.

        Raises:
            UserError: it cannot be done; the scene is untouched.
        """
        from SynthFoundationModuleLib.scripting import transfer

        return transfer(volume, segmentation, target)


class SynthFoundationTest(ScriptedLoadableModuleTest):
    """What Slicer's *Reload and Test* runs: the sample pair and a made-up structure, with the real worker."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Run everything; where PyTorch is not installed, only what needs no worker."""
        from SynthFoundationModuleLib import dependencies, self_test

        steps = [self_test.check_geometry]
        if dependencies.missing():
            logging.warning("SynthFoundation: PyTorch is not installed, the worker is not tested")
        else:
            steps += [self_test.check_registration, self_test.check_segmentation]
        for step in steps:
            self.setUp()
            step()
        self.setUp()
