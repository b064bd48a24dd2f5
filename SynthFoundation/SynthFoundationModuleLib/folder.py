"""Segmenting every scan of a folder, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from .few_shot import FewShot
from .panel import after
from .process import Progress

_SCANS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


def scans_in(folder: Path) -> list[Path]:
    """The files of a folder that may hold a scan, in order."""
    return sorted(path for path in folder.iterdir() if _is_scan(path))


class FolderRun:
    """Carries a segmentation to scans; results are saved beside them, and the scene stays as it is.

    A scan that cannot be segmented is passed over and named at the end.
    """

    def __init__(
        self,
        session: FewShot,
        files: list[Path],
        say: Callable[[str], None],
        on_end: Callable[[str], None],
        on_progress: Progress,
    ) -> None:
        self._session, self._files = session, iter(files)
        self._say, self._on_end, self._on_progress = say, on_end, on_progress
        self._next_later = after(0, self._next)
        self._scan: Any = None
        self._saved = 0
        self._passed_over: list[str] = []
        self._stopped = self._over = False

    def start(self) -> None:
        """Begin; `on_end` gets what came of it."""
        self._next_later.start()

    def stop(self) -> None:
        """End without the scan under way."""
        self._stopped = True
        if self._session.busy:
            self._session.cancel()
        else:
            self._end(_("Stopped."))

    def abandon(self) -> None:
        """End without a word: the scene is about to go."""
        self._over = True
        self._next_later.stop()
        self._remove_scan()

    def _next(self) -> None:
        path = next(self._files, None)
        if path is None:
            self._end()
            return
        self._say(_("Segmenting {name}…").format(name=path.name))
        done, failed = partial(self._store, path), partial(self._pass_over, path)
        try:
            self._scan = slicer.util.loadVolume(str(path), {"show": False})
            self._scan.HideFromEditorsOn()  # it is there for this only
            self._session.transfer(self._scan, done, failed, self._on_progress)
        except RuntimeError as error:
            failed(error)

    def _store(self, path: Path, segmentation: Any) -> None:
        """Save a result beside its scan and take both out of the scene."""
        target = path.with_name(_stem(path) + ".seg.nrrd")
        saved = slicer.util.saveNode(segmentation, str(target))
        slicer.mrmlScene.RemoveNode(segmentation)
        self._remove_scan()
        if not saved:
            self._end(_("{name} could not be saved; is the folder writable?").format(name=target.name))
            return
        self._saved += 1
        self._go_on()

    def _pass_over(self, path: Path, error: RuntimeError) -> None:
        if self._over:
            return
        self._remove_scan()
        self._stopped = self._stopped or getattr(error, "kind", "") == "cancelled"
        if not self._stopped and not self._session.edits:  # there is nothing left to carry
            self._end(str(error))
            return
        if not self._stopped:
            self._passed_over.append(path.name)
        self._go_on()

    def _go_on(self) -> None:
        if self._stopped:
            self._end(_("Stopped."))
        else:
            self._next_later.start()

    def _remove_scan(self) -> None:
        if self._scan is not None and self._scan.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(self._scan)
        self._scan = None

    def _end(self, why: str = "") -> None:
        self.abandon()
        told = [why, _("Saved {count} segmentations in the folder.").format(count=self._saved)]
        if self._passed_over:
            told.append(_("Not segmented: {names}.").format(names=", ".join(self._passed_over)))
        self._on_end(" ".join(filter(None, told)))


def _is_scan(path: Path) -> bool:
    name = path.name.lower()
    return path.is_file() and name.endswith(_SCANS) and not name.endswith((".seg.nrrd", ".seg.nhdr"))


def _stem(path: Path) -> str:
    name = path.name
    for ending in sorted(_SCANS, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name
