"""Segmentation through the real process, against the library in this one."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from SynthFoundationLib.errors import Cancelled
from SynthFoundationLib.segmentation import FewShotSession
from SynthFoundationLib.worker import segmenting
from SynthFoundationLib.worker.client import WorkerError
from SynthFoundationLib.worker.desk import Desk
from SynthFoundationLib.worker.exchange import Exchange
from SynthFoundationLib.worker.job import Job
from SynthFoundationLib.worker.protocol import Request

from .conftest import left

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def truth(pair):
    """Bright and dark inside of the ball."""
    scan = pair[0].data[0].numpy()
    return np.where(scan < 100, 0, np.where(scan > 450, 2, 1)).astype(np.uint8)


def drawn(truth, *slices):
    seeds = np.zeros_like(truth)
    for k in slices:
        seeds[k] = truth[k]
    return seeds


@pytest.fixture
def opened(sent):
    sent.call("segment_open", {"session": "s", "volume": "fixed"})
    yield sent
    assert sent.call("segment_close", {"session": "s"}) == {"closed": True}
    assert left(sent) == []


class Canvas:
    """What a client has of a segmentation: it pastes the boxes that it is sent."""

    def __init__(self, shape):
        self.labels, self.confidence = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)

    def paste(self, answer):
        box = tuple(slice(*ends) for ends in answer["box"])
        assert answer["labels"].shape == self.labels[box].shape
        self.labels[box], self.confidence[box] = answer["labels"], answer["confidence"]


def test_pasted_boxes_are_the_librarys_labels(opened, pair, truth):
    session, canvas = FewShotSession(pair[0]), Canvas(truth.shape)
    states = []
    for slices in ((20, 30), (14, 20, 30)):
        seeds = drawn(truth, *slices)
        answer = opened.call("segment_update", {"session": "s", "seeds": seeds, "complete_slices": "auto"})
        canvas.paste(answer)
        wanted = session.update((seeds, pair[0].grid))
        np.testing.assert_array_equal(canvas.labels, wanted.labels.data.numpy())
        np.testing.assert_allclose(canvas.confidence / 255, wanted.confidence.data[0].numpy(), atol=0.005)
        assert (answer["next_slice"]["axis"], answer["next_slice"]["index"]) == wanted.next_slice
        assert answer["complete_slices"] == [{"axis": 0, "index": k} for k in slices]
        states.append(canvas.labels.copy())
    assert (canvas.labels == truth).mean() > 0.85
    canvas.paste(opened.call("segment_undo", {"session": "s"}))
    np.testing.assert_array_equal(canvas.labels, states[0])
    canvas.paste(opened.call("segment_undo", {"session": "s"}))
    assert not canvas.labels.any()
    assert not canvas.confidence.any()


def test_an_edit_whose_answer_was_not_sent_is_taken_back(pair, truth, tmp_path, monkeypatch):
    monkeypatch.setattr(Job, "send_array", lambda job, array: job.check())
    exchange, desk = Exchange(tmp_path), Desk(1)
    session = FewShotSession(pair[0], "none")
    desk.segmentations.put("s", segmenting.Segmenting(session, None, "cpu"))

    def ask(method, cancelled, **params):
        params = {"session": "s", **params}
        job = Job(Request(1, "segment", params), SimpleNamespace(send=list), exchange)
        if cancelled:
            monkeypatch.setattr(segmenting, "around", lambda mask: job.cancel() or (slice(0, 1),) * 3)
        with pytest.raises(Cancelled) if cancelled else nullcontext():
            method(job, desk)

    for cancelled, slices in ((False, (20, 30)), (True, (14, 20, 30))):
        ask(segmenting.update, cancelled, seeds=exchange.write(drawn(truth, *slices)))
    assert session.edits == 1
    ask(segmenting.undo, True)
    assert session.edits == 1


def test_labels_are_carried_on_the_device_that_the_session_was_opened_with(pair, tmp_path, monkeypatch):
    seen, desk = {}, Desk(1)
    monkeypatch.setattr(segmenting, "segment_from_support", lambda *_, **given: seen.update(given) or 1 / 0)
    desk.put_volume("fixed", pair[0].data[0].numpy(), pair[0].grid)

    def ask(method, **params):
        return method(Job(Request(1, "m", params), SimpleNamespace(send=list), Exchange(tmp_path)), desk)

    ask(segmenting.open_session, session="s", volume="fixed", features="none", device="cpu")
    desk.segmentations.get("s").labels[:] = 1
    with pytest.raises(ZeroDivisionError):
        ask(segmenting.transfer, session="s", target="fixed")
    assert seen["device"] == "cpu"


def test_only_the_box_that_changed_travels(opened, truth):
    seeds = drawn(truth, 20, 30)
    opened.call("segment_update", {"session": "s", "seeds": seeds})
    undone = opened.call("segment_undo", {"session": "s"})
    again = opened.call("segment_undo", {"session": "s"})
    assert undone["labels"].size > 0
    assert again["labels"].size == 0
    assert again["box"] == [[0, 0]] * 3
    whole = opened.call("segment_undo", {"session": "s", "full": True})
    assert whole["labels"].shape == truth.shape


def test_seeds_may_come_as_the_box_that_holds_them(opened, truth):
    seeds = drawn(truth, 20, 30)
    first = opened.call("segment_update", {"session": "s", "seeds": seeds, "full": True})
    opened.call("segment_undo", {"session": "s"})
    box = [[20, 31], [4, 44], [4, 44]]
    part = seeds[20:31, 4:44, 4:44]
    assert part.sum() == seeds.sum()
    params = {"session": "s", "seeds": part, "seeds_box": box, "full": True}
    second = opened.call("segment_update", params)
    assert (first["labels"] == second["labels"]).mean() > 0.99


def test_slices_that_are_looked_at_come_before_the_answer(opened, truth):
    seeds, events, canvas = drawn(truth, 20, 30), [], Canvas(truth.shape)
    canvas.paste(opened.call("segment_update", {"session": "s", "seeds": seeds}))
    params = {"session": "s", "seeds": drawn(truth, 14, 20, 30), "look_at": {"0": [24], "2": [11]}}
    answer = opened.call("segment_update", params, events.append)
    canvas.paste(answer)
    parts = [part for event in events for part in event["parts"]]
    assert [part["box"] for part in parts] == [[[24, 25], [0, 48], [0, 48]], [[0, 48], [0, 48], [11, 12]]]
    for part in parts:
        there = canvas.labels[tuple(slice(*ends) for ends in part["box"])]
        assert part["labels"].shape == there.shape
        assert (part["labels"] == there).mean() > 0.99


def test_named_slices_and_background_are_passed_on(opened, pair, truth):
    seeds = drawn(truth, 20, 30)
    answer = opened.call(
        "segment_update", {"session": "s", "seeds": seeds + (seeds == 0) * 9 * (drawn(truth + 1, 20, 30) > 0),
                           "complete_slices": {"0": [20, 30]}, "background": 9, "full": True},
    )  # fmt: skip
    assert set(np.unique(answer["labels"])) == {0, 1, 2}
    assert answer["complete_slices"] == [{"axis": 0, "index": 20}, {"axis": 0, "index": 30}]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"seeds": np.zeros((48, 48, 48), np.uint8)}, "empty"),
        ({"seeds": np.ones((48, 48, 47), np.uint8)}, "shape"),
        ({"seeds": np.full((48, 48, 48), 0.5, np.float32)}, "whole numbers"),
        ({"seeds": np.ones((48, 48, 48), np.uint8), "complete_slices": {"3": [1]}}, "axis 0, 1 or 2"),
        ({"seeds": np.ones((48, 48, 48), np.uint8), "complete_slices": {"0": [99]}}, "99"),
        ({"seeds": np.ones((48, 48, 48), np.uint8), "background": -1}, "background"),
        ({"seeds": np.ones((48, 48, 48), np.uint8), "look_at": [20]}, "look_at must be {axis"),
        ({"seeds": np.ones((48, 48, 48), np.uint8), "look_at": {"1": [48]}}, "slice 48 of axis 1"),
        ({"seeds": np.ones((8, 8, 8), np.uint8), "seeds_box": [[40, 50], [0, 8], [0, 8]]}, "outside"),
        ({}, "seeds must be an array"),
    ],
)
def test_what_cannot_be_used_is_refused(opened, params, says):
    with pytest.raises(WorkerError, match=says) as error:
        opened.call("segment_update", {"session": "s", **params})
    assert error.value.kind == "input"


def test_labels_are_carried_to_another_scan(opened, pair, truth):
    with pytest.raises(WorkerError, match="no labels yet"):
        opened.call("segment_transfer", {"session": "s", "target": "moving"})
    opened.call("segment_update", {"session": "s", "seeds": drawn(truth, 14, 20, 26, 34)})
    stages = []
    answer = opened.call("segment_transfer", {"session": "s", "target": "moving"}, stages.append)
    assert answer["labels"].shape == pair[1].grid.shape
    assert {event["stage"] for event in stages}
    ball = pair[1].data[0].numpy() > 100
    found = answer["labels"] > 0
    assert 2 * (ball & found).sum() / (ball.sum() + found.sum()) > 0.85
    assert answer["confidence"].dtype == np.uint8
