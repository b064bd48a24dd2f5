"""The panel *Segment*: paint a few slices with the Segment Editor's tools, get the volume, correct, go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctk
import slicer
from slicer.i18n import tr as _

from . import dependencies
from .errors import UserError
from .few_shot_controls import FewShotControls
from .few_shot_sessions import forget_sessions
from .folder import FolderRun, scans_in
from .panel import Panel, enable, loaded_volumes, show_text, telling
from .process import Worker

_EDITOR_NODE = "SynthFoundation"  # singleton tag: the Segment Editor module keeps its own


class SegmentPanel(Panel):
    """Chooses what is segmented, holds the painting tools, and carries results to other scans."""

    def __init__(self, layout: Any, worker: Worker) -> None:
        super().__init__("SynthFoundationSegment", layout)
        self._worker = worker
        ui = self.ui
        self.controls = FewShotControls(ui.fewShotFrame.layout(), worker, ui.segmentEditor.saveStateForUndo)
        self._folder: FolderRun | None = None
        self._shown = False
        editor = ui.segmentEditor
        editor.segmentationNodeSelectorVisible = False
        editor.sourceVolumeNodeSelectorVisible = False
        editor.switchToSegmentationsButtonVisible = False
        ui.folderPath.filters = ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Readable
        ui.transferButton.connect("clicked()", self.on_transfer)
        ui.folderButton.connect("clicked()", self.on_folder)
        ui.folderPath.connect("currentPathChanged(QString)", lambda _path: self.refresh())

    def connect(self, parameters: Any) -> None:
        """Bind the widgets to a parameter node."""
        super().connect(parameters)
        self.controls.connect(parameters)

    def disconnect(self) -> None:
        """Unbind the widgets."""
        self.controls.disconnect()
        super().disconnect()

    def release(self) -> None:
        """Stop what is under way and let go of the parameter node."""
        super().release()
        self.controls.parameters = None

    def show(self) -> None:
        """The tab has become visible: get ready to paint."""
        if self.parameters is None or self._shown:
            return
        self._shown = True
        self.choose_nodes()
        if self.parameters.volume and not dependencies.missing():
            self._worker.warm_up()
        editor = self.ui.segmentEditor
        editor.setupViewObservations()
        editor.installKeyboardShortcuts()
        self.refresh()

    def hide(self) -> None:
        """The tab is no longer visible: give views and keys back."""
        if self._shown:
            self._shown = False
            editor = self.ui.segmentEditor
            editor.setActiveEffect(None)
            editor.removeViewObservations()
            editor.uninstallKeyboardShortcuts()

    # -- what is shown ------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring the editor, buttons and tool tips up to date."""
        chosen = self.parameters
        if chosen is None:
            return
        self._feed_editor(chosen.segmentation, chosen.volume)
        self.controls.choose(chosen.segmentation, chosen.volume)
        session, ui = self.controls.session, self.ui
        reason = None if session is not None and session.edits else _("Update the segmentation first.")
        if self._folder is not None:
            ui.folderButton.text = _("Cancel")
            enable(ui.folderButton, None, _("Stop after what is done so far."))
            enable(ui.transferButton, _("Wait for the folder."), "")
            return
        ui.folderButton.text = _("Apply to all scans in the folder")
        folder = reason or (
            None if Path(ui.folderPath.currentPath or "-").is_dir() else _("Choose a folder.")
        )
        tip = _("Segment every scan of the folder; results are saved beside the scans.")
        enable(ui.folderButton, folder or self._wait(), tip)
        target = None if chosen.target else _("Choose a scan.")
        if chosen.target and chosen.target is chosen.volume:
            target = _("This is the scan that is segmented already; choose another.")
        tip = _("Segment the same structures there, as a new segmentation.")
        enable(ui.transferButton, reason or target or self._wait(), tip)

    def _wait(self) -> str | None:
        return _("Wait for the answer.") if self.controls.busy else None

    def _feed_editor(self, segmentation: Any, volume: Any) -> None:
        """Give the editor its nodes in the order that it needs."""
        editor = self.ui.segmentEditor
        if not self._shown:
            return
        if editor.mrmlSegmentEditorNode() is None:
            editor.setMRMLSegmentEditorNode(_editor_node())
        if editor.segmentationNode() is not segmentation:
            editor.setSegmentationNode(segmentation)
        if segmentation is not None and editor.sourceVolumeNode() is not volume:
            editor.setSourceVolumeNode(volume)

    def choose_nodes(self) -> None:
        """Choose a volume where none is chosen, and make a segmentation with a segment to paint in."""
        chosen = self.parameters
        if not chosen.volume and (volumes := loaded_volumes()):
            chosen.volume = volumes[0]
        if chosen.volume and not chosen.segmentation:
            name = _("Segmentation of {volume}").format(volume=chosen.volume.GetName())
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
            node.CreateDefaultDisplayNodes()
            node.SetReferenceImageGeometryParameterFromVolumeNode(chosen.volume)
            node.SetAndObserveTransformNodeID(chosen.volume.GetTransformNodeID())
            node.GetSegmentation().AddEmptySegment()
            chosen.segmentation = node

    # -- other scans --------------------------------------------------------------------------------------

    def on_transfer(self) -> None:
        """Segment the chosen scan."""
        with telling(self.controls.ui.segmentMessageLabel):
            self._say("")
            if self.controls.session is None:
                raise UserError(_("Choose a volume and a segmentation first."))
            callbacks = (lambda segmentation: self._end(""), lambda error: self._end(str(error)))
            self.controls.session.transfer(
                self.parameters.target,
                *map(self.controls.while_chosen, (*callbacks, self.controls.show_progress)),
            )
        self.refresh()

    def _end(self, text: str) -> None:
        self.controls.ui.segmentProgressBar.visible = False
        self._say(text)
        self.refresh()

    def on_folder(self) -> None:
        """Segment every scan of the chosen folder, one after the other, or stop that."""
        if self._folder is not None:
            self._folder.stop()
            return
        with telling(self.controls.ui.segmentMessageLabel):
            files = scans_in(Path(self.ui.folderPath.currentPath))
            if not files:
                raise UserError(
                    _("There is no scan in this folder; NIfTI, NRRD and MetaImage files are taken.")
                )
            progress = self.controls.while_chosen(self.controls.show_progress)
            self._folder = FolderRun(self.controls.session, files, self._say, self._on_folder_end, progress)
            self._folder.start()
        self.refresh()

    def _on_folder_end(self, text: str) -> None:
        self._folder = None
        self._end(text)

    def _say(self, text: str) -> None:
        show_text(self.controls.ui.segmentMessageLabel, text)

    # -- the scene ----------------------------------------------------------------------------------------

    def on_node_removed(self, node: Any) -> None:
        """Stop when what is segmented is deleted."""
        self._worker.forget(node.GetID() or "")
        self.controls.on_node_removed(node)
        self.refresh()

    def on_scene_closing(self) -> None:
        """Stop what is under way; the nodes are about to go."""
        if self._folder is not None:
            self._folder.abandon()
            self._folder = None
        editor = self.ui.segmentEditor
        self.hide()
        if editor.mrmlSegmentEditorNode() is not None:
            editor.setSegmentationNode(None)
            editor.setMRMLSegmentEditorNode(None)
        self.controls.on_scene_closing()
        forget_sessions()


def _editor_node() -> Any:
    node = slicer.mrmlScene.GetSingletonNode(_EDITOR_NODE, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(_EDITOR_NODE)
        node = slicer.mrmlScene.AddNode(node)
    return node
