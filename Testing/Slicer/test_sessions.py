"""Few-shot sessions go with their nodes, follow changes of their volume, and answer whoever waits."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import slicer
from SynthFoundationModuleLib.segments import numbered, read

ROOT = Path(__file__).parents[2]
K, J, I_ = np.indices((20, 28, 28))
BALL = ((K - 10) / 7) ** 2 + ((J - 14) / 9) ** 2 + ((I_ - 14) / 9) ** 2 < 1
PAINTED = (6, 14)


def volume_of(mask, name="scan"):
    noise = np.random.default_rng(0).normal(0, 10, mask.shape)
    return slicer.util.addVolumeFromArray(np.rint(100 * mask + noise).astype(np.int16), name=name)


@pytest.fixture
def nodes(host, light):
    """A segmentation with a ball painted on two slices, and its volume."""
    volume = volume_of(BALL)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation.GetSegmentation().AddEmptySegment("ball", "Ball")
    paint(segmentation, volume, BALL, PAINTED)
    return segmentation, volume


def paint(segmentation, volume, mask, slices):
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "ball", volume)
    array = np.zeros(mask.shape, np.uint8) if array is None else array.copy()
    array[list(slices)] = mask[list(slices)]
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, "ball", volume)


def found(segmentation, volume):
    return read(segmentation, volume, numbered(segmentation))


def dice(labels, mask):
    return 2 * ((labels > 0) & mask).sum() / ((labels > 0).sum() + mask.sum())


def session_of(nodes):
    from SynthFoundationModuleLib.few_shot_sessions import few_shot
    from SynthFoundationModuleLib.process import shared_worker

    return few_shot(shared_worker(), *nodes)


def sessions():
    from SynthFoundationModuleLib import few_shot_sessions

    return few_shot_sessions._sessions


class Asked:
    """An update under way, and how it ended."""

    def __init__(self, host, session):
        self.host, self.session, self.ends = host, session, []
        session.update(lambda: self.ends.append(None), self.ends.append)

    def end(self):
        self.host.wait(lambda: self.ends, 60, "the end")
        return self.ends[0]


@pytest.fixture
def session(host, nodes):
    """A session with one answer."""
    session = session_of(nodes)
    assert Asked(host, session).end() is None
    assert dice(found(*nodes), BALL) > 0.9
    return session


@pytest.mark.parametrize("which", [0, 1], ids=["segmentation", "volume"])
def test_whoever_waits_is_told_that_a_node_was_deleted(host, nodes, which):
    asked = Asked(host, session_of(nodes))
    slicer.mrmlScene.RemoveNode(nodes[which])
    error = asked.end()
    assert str(error) == f"{('organs', 'scan')[which]} was deleted meanwhile; nothing was changed."


def test_whoever_waits_is_told_that_the_scene_was_closed(host, nodes):
    asked = Asked(host, session_of(nodes))
    slicer.mrmlScene.Clear(0)
    assert "was deleted meanwhile" in str(asked.end())
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def test_a_transfer_to_a_deleted_scan_is_told(host, session):
    target, ends = volume_of(BALL, "target"), []
    session.transfer(target, ends.append, ends.append)
    slicer.mrmlScene.RemoveNode(target)
    host.wait(lambda: ends, 60, "the end")
    assert str(ends[0]) == "target was deleted meanwhile; nothing was changed."
    assert not session.busy


@pytest.mark.parametrize("which", [0, 1], ids=["segmentation", "volume"])
def test_a_session_goes_with_its_nodes(session, nodes, which):
    seeds = "vtkMRMLLabelMapVolumeNode"
    assert slicer.mrmlScene.GetNumberOfNodesByClass(seeds) == 1
    slicer.mrmlScene.RemoveNode(nodes[which])
    assert not sessions()
    assert slicer.mrmlScene.GetNumberOfNodesByClass(seeds) == which  # what was drawn goes with the segments


@pytest.mark.usefixtures("_lasting_worker")
def test_sessions_go_with_the_scene_where_the_panel_was_never_opened(host):
    host.load(ROOT / "SynthFoundation" / "SynthFoundation.py")
    session = session_of((slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"), volume_of(BALL)))
    assert list(sessions().values()) == [session]
    slicer.mrmlScene.Clear(0)
    assert not sessions()


def test_undo_goes_back_at_once_also_without_the_worker(host, session, nodes):
    first = found(*nodes)
    paint(*nodes, np.ones_like(BALL), [2])
    assert Asked(host, session).end() is None
    assert (found(*nodes)[2] == 1).all()
    os.kill(session._worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    host.wait(lambda: not session._worker.generation, 5, "the death")
    session.undo()
    np.testing.assert_array_equal(found(*nodes), first)
    paint(*nodes, BALL, [3])
    assert Asked(host, session).end() is None  # a new worker gets all that was drawn
    assert dice(found(*nodes), BALL) > 0.9
    assert (found(*nodes)[2] == 0).all()
    session.undo()
    np.testing.assert_array_equal(found(*nodes), first)
    session.undo()
    np.testing.assert_array_equal(np.unique(found(*nodes).nonzero()[0]), PAINTED)
    assert not session.undoable


def test_segments_that_are_removed_meanwhile_are_left_out(host, nodes):
    asked = Asked(host, session_of(nodes))
    nodes[0].GetSegmentation().RemoveSegment("ball")
    assert asked.end() is None
    assert nodes[0].GetSegmentation().GetNumberOfSegments() == 0
    assert not host.errors


def test_what_is_painted_in_two_segments_stays_in_both(host, nodes):
    segmentation, volume = nodes
    core = np.zeros(BALL.shape, np.uint8)
    core[list(PAINTED), 12:17, 12:17] = 1
    segmentation.GetSegmentation().AddEmptySegment("core", "Core")
    slicer.util.updateSegmentBinaryLabelmapFromArray(core, segmentation, "core", volume)
    session = session_of(nodes)
    assert Asked(host, session).end() is None
    for _round in range(2):
        ball = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "ball", volume) != 0
        np.testing.assert_array_equal(ball[list(PAINTED)], BALL[list(PAINTED)])
        if session.undoable:
            session.undo()


def test_the_worker_goes_back_as_well(host, session, nodes):
    paint(*nodes, np.ones_like(BALL), [2])
    assert Asked(host, session).end() is None
    session.undo()
    assert session.edits == 1
    paint(*nodes, BALL, [10])
    assert Asked(host, session).end() is None
    assert session.edits == 2
    assert (found(*nodes)[2] == 0).all()
    np.testing.assert_array_equal(found(*nodes), session._answers.labels)


def test_what_was_painted_since_is_taken_back_too(host, session, nodes):
    first = found(*nodes)
    paint(*nodes, BALL, [10])
    assert Asked(host, session).end() is None
    paint(*nodes, np.ones_like(BALL), [1])
    session.undo()
    np.testing.assert_array_equal(found(*nodes), first)


def test_a_saved_answer_can_be_gone_back_to(host, session, nodes):
    before = found(*nodes)
    session.close()
    again = type(session)(session._worker, *nodes)  # as after loading the scene
    paint(*nodes, np.ones_like(BALL), [1])
    assert Asked(host, again).end() is None
    again.undo()
    np.testing.assert_array_equal(found(*nodes), before)


def test_changed_voxels_are_sent_and_other_voxels_are_a_new_beginning(host, session, nodes):
    from SynthFoundationModuleLib.errors import UserError

    asked, worker = [], session._worker
    ask = worker.ask
    worker.ask = lambda method, *rest: (asked.append(method), ask(method, *rest))[1]
    try:
        slicer.util.arrayFromVolume(nodes[1])[:] += 1
        slicer.util.arrayFromVolumeModified(nodes[1])
        assert session.edits == 0  # the worker knows another volume
        assert Asked(host, session).end() is None
        assert asked == ["segment_close", "drop_volume", "put_volume", "segment_open", "segment_update"]
        assert session.undoable
    finally:
        worker.ask = ask
    smaller = BALL[:, 2:, 3:]
    slicer.util.updateVolumeFromArray(nodes[1], np.ascontiguousarray(100 * smaller, np.int16))
    assert not session.undoable
    with pytest.raises(UserError, match="look finished"):
        session.update(lambda: None, lambda error: None)
    paint(*nodes, np.zeros_like(smaller), (10,))
    assert Asked(host, session).end() is None
    assert session.confidence.shape == smaller.shape
    session.undo()


def test_a_volume_that_was_emptied_is_told_in_plain_words(session, nodes):
    from SynthFoundationModuleLib.errors import UserError

    nodes[1].SetAndObserveImageData(None)
    with pytest.raises(UserError, match="holds no image"):
        session.update(lambda: None, lambda error: None)
    assert not session.undoable


def test_what_can_be_gone_back_to_is_bounded(monkeypatch):
    from SynthFoundationModuleLib import answers
    from SynthFoundationModuleLib.seeds import Snapshot

    monkeypatch.setattr(answers, "MOST_BYTES", 100)
    kept, seeds = answers.Answers(), Snapshot(np.zeros(0, int), np.zeros(0, np.uint8), frozenset(), False)
    box = (slice(0, 3), slice(0, 3), slice(0, 3))
    for value in range(4):
        full = np.full((3, 3, 3), value, np.uint8)
        kept.take(box, full, full, None, np.zeros_like(full), np.zeros_like(full), seeds)
    kept.go_back()
    assert (kept.labels == 2).all()
    assert not kept.can_go_back


def test_a_worker_that_cannot_go_back_gets_a_new_session(session, monkeypatch):
    from SynthFoundationModuleLib.process import WorkerError

    monkeypatch.setattr(
        session._worker,
        "ask",
        lambda method, params, done, failed: failed(WorkerError({"kind": "internal", "message": "no"})),
    )
    session.undo()
    assert session.edits == 0
    assert not session._is_open()
