"""Sessions are undone, stopped, saved and restored without a trace."""

from contextlib import contextmanager, suppress

import numpy as np
import pytest
import torch
from ellipsoids import GRID, on_slices

from SynthFoundationLib.errors import Cancelled, InputError
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image
from SynthFoundationLib.segmentation import FewShotSession
from SynthFoundationLib.segmentation.head import _Adam
from SynthFoundationLib.worker.interruptible import Interruptible


def test_undo_gives_the_answer_before(session, scan):
    first = session.update((on_slices(scan[1], 6, 25), GRID))
    session.update((on_slices(scan[1], 6, 12, 25), GRID))
    again = session.undo()
    assert session.edits == 1
    assert torch.equal(again.labels.data, first.labels.data)
    assert torch.equal(again.confidence.data, first.confidence.data)
    assert session.undo() is None


def test_an_answer_that_was_let_go_has_its_probabilities_again(session, scan):
    first = session.update((on_slices(scan[1], 6, 25), GRID)).probabilities.data
    session.update((on_slices(scan[1], 6, 12, 25), GRID))
    assert torch.equal(session.undo().probabilities.data, first)


def test_undo_gives_the_answer_before_also_after_voxels_were_merged(scan, monkeypatch):
    values, truth = (volume.repeat(2, 0).repeat(2, 1).repeat(2, 2) for volume in scan)
    grid = Grid(tuple(2 * n for n in GRID.size), GRID.spacing)
    monkeypatch.setattr("SynthFoundationLib.segmentation.session.MAX_VALUES", 600_000)
    session = FewShotSession((values, grid), "none")
    answers = [session.update((on_slices(truth, *z), grid)) for z in ((12, 50), (12, 30, 50))]
    few = session._workspace.frame.factors
    many = on_slices(truth, 12, 30, 50)
    many[30, 30:40, 30] = np.arange(10, 20)
    session.update((many, grid), answers[1].complete_slices)
    assert session._workspace.frame.factors != few
    for answer in answers[::-1]:
        again = session.undo()
        assert torch.equal(again.labels.data, answer.labels.data)
        assert torch.equal(again.confidence.data, answer.confidence.data)


@contextmanager
def stopping(after):
    """Stops what runs in it before its next call of torch once there were so many."""
    left = iter(range(after))

    def check():
        if next(left, None) is None:
            raise Cancelled("stopped")

    with torch.set_grad_enabled(torch.is_grad_enabled()), Interruptible(check):
        yield


@pytest.fixture(scope="module")
def edits(scan):
    """Three sets of seeds, and how many calls of torch the second takes after the first."""
    seeds = [(on_slices(scan[1], *z), GRID) for z in ((6, 25), (6, 12, 25), (6, 14, 25))]
    session, calls = FewShotSession((scan[0], GRID), "none"), []
    session.update(seeds[0])
    with Interruptible(lambda: calls.append(1)):
        session.update(seeds[1])
    return seeds, len(calls)


@pytest.mark.parametrize("share", [0.05, 0.4, 0.8, 0.99])
def test_a_stopped_update_leaves_no_trace(scan, edits, share):
    (first, second, third), calls = edits
    calm, stopped = (FewShotSession((scan[0], GRID), "none") for _ in range(2))
    for session in (calm, stopped):
        session.update(first)
    with pytest.raises(Cancelled), stopping(int(share * calls)):
        stopped.update(second)
    assert stopped.edits == 1
    assert torch.equal(stopped.update(third).confidence.data, calm.update(third).confidence.data)


def test_a_stopped_undo_can_be_asked_again(session, edits):
    first = session.update(edits[0][0])
    session.update(edits[0][1])
    with pytest.raises(Cancelled), stopping(2):
        session.undo()
    assert session.edits == 2
    assert torch.equal(session.undo().labels.data, first.labels.data)


def test_a_stopped_first_update_does_not_count_as_training(scan, monkeypatch):
    seeds = (on_slices(scan[1], 6, 16, 25), GRID)
    session, steps, step = FewShotSession((scan[0], GRID), "none"), [], _Adam.step

    def stopping(self, loss, rate):
        steps.append(rate)
        if len(steps) == 3:
            raise Cancelled("stopped")
        step(self, loss, rate)

    monkeypatch.setattr(_Adam, "step", stopping)
    with pytest.raises(Cancelled):
        session.update(seeds)
    answer = session.update(seeds)
    fresh = FewShotSession((scan[0], GRID), "none").update(seeds)
    assert torch.equal(answer.confidence.data, fresh.confidence.data)


def test_what_fails_in_a_transaction_is_taken_back(session, scan):
    first = session.update((on_slices(scan[1], 6, 25), GRID))
    with suppress(OSError), session.transaction():
        session.update((on_slices(scan[1], 6, 12, 25), GRID))
        raise OSError("the disk is full")
    assert session.edits == 1
    session.update((on_slices(scan[1], 6, 14, 25), GRID))
    assert torch.equal(session.undo().labels.data, first.labels.data)


def test_a_saved_session_goes_on_where_it_was(session, scan, tmp_path):
    session.update((on_slices(scan[1], 6, 25), GRID))
    last = session.update((on_slices(scan[1], 6, 12, 25), GRID), [(0, 6), (0, 12), (0, 25)])
    session.save(tmp_path / "case.npz")
    other = FewShotSession((scan[0], GRID))
    restored = other.restore(tmp_path / "case.npz")
    assert torch.equal(restored.labels.data, last.labels.data)
    assert other.edits == 2


def test_sessions_of_other_images_and_damaged_files_are_refused(session, scan, tmp_path):
    session.update((on_slices(scan[1], 6, 25), GRID))
    session.save(tmp_path / "case.npz")
    moved = Grid(GRID.size, GRID.spacing, (0.0, 0.0, 0.0), GRID.direction)
    with pytest.raises(InputError, match="another image"):
        FewShotSession((scan[0], moved)).restore(tmp_path / "case.npz")
    (tmp_path / "broken.npz").write_bytes((tmp_path / "case.npz").read_bytes()[:300])
    with pytest.raises(InputError, match="damaged"):
        session.restore(tmp_path / "broken.npz")


def test_a_session_of_other_features_is_refused_and_the_open_one_stays(scan, tmp_path):
    image, truth = scan
    more = Image(torch.rand(2, *GRID.shape), GRID)
    richer = FewShotSession((image, GRID), features=more)
    richer.update((on_slices(truth, 8, 16, 24), GRID))
    richer.save(tmp_path / "richer.npz")
    session = FewShotSession((image, GRID), features="none")
    session.update((on_slices(truth, 16), GRID))
    with pytest.raises(InputError, match="other features"):
        session.restore(tmp_path / "richer.npz")
    assert session.edits == 1
    assert session.undo() is None
