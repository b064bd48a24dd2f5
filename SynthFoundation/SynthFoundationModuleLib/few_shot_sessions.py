"""Which few-shot sessions there are; they go with their nodes."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .few_shot import FewShot
from .process import Worker
from .seeds import remove_seeds

_sessions: dict[tuple[Any, Any], FewShot] = {}
_observers: list[int] = []  # tags; the scene is observed from the first session until it closes


def few_shot(worker: Worker, segmentation: Any, volume: Any) -> FewShot:
    """The session of this segmentation and volume, shared by the panel and the Segment Editor effect."""
    pair = segmentation, volume
    if pair not in _sessions:
        _sessions[pair] = FewShot(worker, segmentation, volume)
        _observe()
    return _sessions[pair]


def forget_sessions() -> None:
    """Forget all sessions: the scene or the module is about to go."""
    for session in _sessions.values():
        session.close()
    _sessions.clear()
    while _observers:
        slicer.mrmlScene.RemoveObserver(_observers.pop())


def _observe() -> None:
    if not _observers:
        scene = slicer.mrmlScene
        _observers.append(scene.AddObserver(scene.NodeAboutToBeRemovedEvent, _on_node_going))
        _observers.append(scene.AddObserver(scene.NodeRemovedEvent, _on_node_gone))
        _observers.append(scene.AddObserver(scene.StartCloseEvent, lambda *_event: forget_sessions()))


@vtk.calldata_type(vtk.VTK_OBJECT)
def _on_node_going(scene: Any, event: str, node: Any) -> None:
    """What was drawn goes with its segmentation, which can still name it."""
    if node.IsA("vtkMRMLSegmentationNode"):
        remove_seeds(node)


def _on_node_gone(*_event: Any) -> None:
    for pair, session in list(_sessions.items()):
        if not session.alive:
            session.close()
            del _sessions[pair]
        elif session.in_vain:
            session.cancel()
