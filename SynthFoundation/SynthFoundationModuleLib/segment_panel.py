"""The panel *Segment*: paint a few slices with the Segment Editor's tools, get the volume, correct, go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ctk
import slicer
from slicer.i18n import tr as _

from . import dependencies
from .errors import UserError
from .few_shot_controls import FewShotControls
from .few_shot_sessions import forget_sessions
from .panel import Panel, enable, loaded_volumes, show_text, telling
from .process import Worker, WorkerError

_SCANS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_EDITOR_NODE = "SynthFoundation"  # singleton tag: the Segment Editor module keeps its own


class SegmentPanel(Panel):
    """Chooses what is segmented, holds the painting tools, and carries results to other scans."""

    def __init__(self, layout: Any, worker: Worker) -> None:
        super().__init__("SynthFoundationSegment", layout)
        self._worker = worker
        ui = self.ui
        self.controls = FewShotControls(ui.fewShotFrame.layout(), worker, ui.segmentEditor.saveStateForUndo)
        self._files: Iterator[Path] | None = None
        self._stored: list[str] = []
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
        if self._files is not None:
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
            self._transfer(self.parameters.target, lambda segmentation: self._say(""))
        self.refresh()

    def on_folder(self) -> None:
        """Segment every scan of the chosen folder, one after the other, or stop that."""
        if self._files is not None:
            self._files = None
            self.controls.session.cancel()
            self.refresh()
            return
        folder = Path(self.ui.folderPath.currentPath)
        files = sorted(path for path in folder.iterdir() if _is_scan(path))
        if not files:
            self._say(_("There is no scan in this folder; NIfTI, NRRD and MetaImage files are taken."))
            return
        self._files, self._stored = iter(files), []
        self._next_file()

    def _next_file(self) -> None:
        path = next(self._files, None) if self._files is not None else None
        if path is None:
            self._files = None
            self._say(_("Saved {count} segmentations in the folder.").format(count=len(self._stored)))
            self.refresh()
            return
        self._say(_("Segmenting {name}…").format(name=path.name))
        try:
            scan = slicer.util.loadVolume(str(path), {"show": False})
            self._transfer(scan, lambda segmentation: self._store(path, scan, segmentation))
        except (UserError, RuntimeError) as error:
            self._files = None
            self._say(str(error))
        self.refresh()

    def _store(self, path: Path, scan: Any, segmentation: Any) -> None:
        """Save a result beside its scan and take both out of the scene."""
        target = path.with_name(_stem(path) + ".seg.nrrd")
        saved = slicer.util.saveNode(segmentation, str(target))
        for node in (segmentation, scan):
            slicer.mrmlScene.RemoveNode(node)
        if not saved:
            self._files = None
            self._say(_("{name} could not be saved; is the folder writable?").format(name=target.name))
            self.refresh()
            return
        self._stored.append(target.name)
        self._next_file()

    def _transfer(self, target: Any, on_done: Any) -> None:
        session = self.controls.session
        if session is None:
            raise UserError(_("Choose a volume and a segmentation first."))

        def done(segmentation: Any) -> None:
            self.controls.ui.segmentProgressBar.visible = False
            on_done(segmentation)
            self.refresh()

        def failed(error: WorkerError) -> None:
            self._files = None
            self.controls.ui.segmentProgressBar.visible = False
            self._say(str(error))
            self.refresh()

        session.transfer(target, done, failed, self.controls.show_progress)

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
        self._files = None
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


def _is_scan(path: Path) -> bool:
    name = path.name.lower()
    return path.is_file() and name.endswith(_SCANS) and not name.endswith((".seg.nrrd", ".seg.nhdr"))


def _stem(path: Path) -> str:
    name = path.name
    for ending in sorted(_SCANS, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name
