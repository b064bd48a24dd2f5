"""Slices that are looked at are answered before the rest, and nearly as they will be."""

import numpy as np
import pytest
import torch
from ellipsoids import GRID, on_slices, scene

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.segmentation import FewShotSession

LOOKED_AT = [(0, 11), (1, 17), (2, 20)]


@pytest.fixture(scope="module")
def scan():
    return scene()


def seen(session, seeds, glances):
    shown = {}
    session.update((seeds, GRID), glances=glances, show=shown.__setitem__)
    return shown


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_seen_first_is_what_the_whole_answer_says(scan, times):
    values, truth = (volume.repeat(times, 0).repeat(times, 1).repeat(times, 2) for volume in scan)
    grid = Grid(tuple(times * n for n in GRID.size), GRID.spacing)
    session = FewShotSession((values, grid), "none", max_voxels=50_000)
    session.update((on_slices(truth, 6 * times, 25 * times), grid))
    assert max(session._workspace.frame.factors) == times
    shown = {}
    seeds = on_slices(truth, 6 * times, 16 * times, 25 * times)
    looked_at = [(axis, times * index) for axis, index in LOOKED_AT]
    result = session.update((seeds, grid), glances=looked_at, show=shown.__setitem__)
    assert list(shown) == looked_at
    for (axis, index), plane in shown.items():
        whole = result.labels.data.movedim(axis, 0)[index]
        assert plane.shape == whole.shape
        assert plane.unique().tolist() == whole.unique().tolist() != [0]
        assert (plane == whole).float().mean() > (0.995, 0.98)[times - 1]


def test_the_answer_is_the_same_with_and_without_looking(scan):
    values, truth = scan
    answers = []
    for glances in (LOOKED_AT, ()):
        session = FewShotSession((values, GRID), "none")
        session.update((on_slices(truth, 6, 25), GRID), glances=glances, show=lambda one, labels: None)
        answers.append(session.update((on_slices(truth, 6, 16, 25), GRID), glances=glances, show=print))
    assert torch.equal(answers[0].labels.data, answers[1].labels.data)
    assert torch.equal(answers[0].confidence.data, answers[1].confidence.data)


def test_what_was_drawn_is_seen_as_drawn_also_outside_the_body(scan):
    values, truth = scan
    seeds = on_slices(truth, 6, 25)
    seeds[25, 0, :3] = 7
    shown = seen(FewShotSession((values, GRID), "none"), seeds, glances=[(0, 25), (1, 0)])
    np.testing.assert_array_equal(shown[0, 25].numpy(), seeds[25])
    np.testing.assert_array_equal(shown[1, 0].numpy()[25], seeds[25, 0])


def test_a_slice_that_is_not_there_is_refused_before_anything_is_computed(scan):
    values, truth = scan
    session = FewShotSession((values, GRID), "none")
    with pytest.raises(InputError, match=r"slice 32 of axis 0 does not exist"):
        seen(session, on_slices(truth, 6, 25), glances=[(0, 32)])
    assert session.edits == 0
