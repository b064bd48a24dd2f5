"""In a scan of too many voxels, what is drawn is looked at closely."""

import numpy as np
import pytest
import torch
from ellipsoids import dice, on_slices

from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, LabelMap
from SynthFoundationLib.segmentation import FewShotSession
from SynthFoundationLib.segmentation.drawn import Drawn
from SynthFoundationLib.segmentation.layout import Layout, focused
from SynthFoundationLib.segmentation.workspace import Body

GRID = Grid((96, 96, 80), (2.0, 2.0, 2.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
WHOLE = ((0, 80), (0, 96), (0, 96))
NODULE, OTHER = (40, 30, 50), (20, 70, 40)  # (k, j, i)


def ball(centre, radius):
    z, y, x = np.ogrid[:80, :96, :96]
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius**2


def drawn(labels):
    return Drawn.of(LabelMap(torch.from_numpy(labels), GRID))


@pytest.fixture(scope="module")
def chest():
    """A large body with two nodules of four voxels' radius; the first is to be found."""
    truth = np.where(ball(NODULE, 4.5), 1, 0).astype(np.int32)
    noise = np.random.default_rng(0).normal(size=truth.shape)
    shown = 100.0 * ball((40, 48, 48), 38) + 60.0 * (truth + ball(OTHER, 4.5)) + 8 * noise
    return torch.from_numpy(shown)[None].float(), truth


@pytest.fixture
def session(chest):
    return FewShotSession(Image(chest[0], GRID), "none", max_voxels=100_000)


def test_what_is_small_gets_the_scans_own_voxels(chest, session):
    result = session.update((on_slices(chest[1], 38, 41), GRID))
    assert session._workspace.frame.factors == (1, 1, 1)
    assert result.near
    labels = result.labels.data.numpy()
    assert dice(labels, chest[1], 1) > 0.9
    assert not labels[ball(OTHER, 6)].any()


def test_voxels_that_fit_are_all_worked_on(chest):
    layout = focused(Layout(), drawn(on_slices(chest[1], 40)), GRID, WHOLE, GRID.voxels, None)
    assert layout == Layout()


def test_thirty_millimetres_around_what_is_drawn_are_worked_on(chest):
    layout = focused(Layout(), drawn(on_slices(chest[1], 40)), GRID, WHOLE, 100_000, None)
    assert layout.within == ((25, 56), (11, 50), (31, 70))  # one slice, ± 4 voxels, and 15 of 2 mm around


def test_drawing_near_the_border_moves_it_and_drawing_inside_does_not(chest):
    seeds = on_slices(chest[1], 40)
    first = focused(Layout(), drawn(seeds), GRID, WHOLE, 100_000, None)
    seeds[48, 30, 50] = 1
    assert focused(first, drawn(seeds), GRID, WHOLE, 100_000, None) is first
    seeds[54, 30, 50] = 1
    moved = focused(first, drawn(seeds), GRID, WHOLE, 100_000, None)
    assert moved.within[0] == (25, 70)
    seeds[5, 80, 90] = 1
    assert focused(moved, drawn(seeds), GRID, WHOLE, 100_000, None).within is None


def test_background_may_be_drawn_anywhere(chest):
    seeds = on_slices(chest[1], 40)
    seeds[5:70, 90, 90] = 2
    assert focused(Layout(), drawn(seeds), GRID, WHOLE, 100_000, 2).within[0] == (25, 56)
    alone = np.where(seeds == 2, 2, 0)
    assert focused(Layout(), drawn(alone), GRID, WHOLE, 100_000, 2) == Layout()


def test_undo_and_a_saved_session_look_from_as_near_as_before(chest, session, tmp_path):
    seeds = on_slices(chest[1], 38, 41)
    near = session.update((seeds, GRID))
    session.save(tmp_path / "near.npz")
    far = seeds.copy()
    far[OTHER] = 2
    whole = session.update((far, GRID), "none")
    assert whole.labels.data[OTHER] == 2
    assert not whole.near
    assert session._workspace.frame.factors != (1, 1, 1)
    assert torch.equal(session.undo().labels.data, near.labels.data)
    other = FewShotSession(session.image, "none", max_voxels=100_000)
    assert torch.equal(other.restore(tmp_path / "near.npz").labels.data, near.labels.data)
    assert other._workspace.layout.within == ((23, 57), (11, 50), (31, 70))


def test_a_box_without_a_body_counts_as_body(chest):
    body = Body(Image(chest[0], GRID))
    corner = ((0, 6), (0, 7), (0, 8))
    assert body.within(corner).sum() == 6 * 7 * 8
    assert body.within(None).sum() > 200_000
