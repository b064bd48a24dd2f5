"""A segmentation that is there already is corrected from a few slices."""

import numpy as np
import pytest
import torch
from ellipsoids import GRID, dice, on_slices, scene
from scipy.ndimage import distance_transform_edt

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import LabelMap
from SynthFoundationLib.segmentation import FewShotSession
from SynthFoundationLib.segmentation.corrections import corrected_slices
from SynthFoundationLib.segmentation.draft import REACH, Draft
from SynthFoundationLib.segmentation.seeds import read_seeds
from SynthFoundationLib.segmentation.workspace import Frame

CORRECTED = (8, 15, 22)


@pytest.fixture(scope="module")
def draft():
    """The structures of the scan, a voxel and a half beside where they are."""
    return scene(shift=1.5)[1]


def corrected(draft, truth, *indices):
    copy = draft.copy()
    copy[list(indices)] = truth[list(indices)]
    return copy


def sessions(values, draft):
    return FewShotSession((values, GRID), "none", draft=(draft, GRID))


def elsewhere(labels, truth, label):
    rest = np.delete(np.arange(len(truth)), CORRECTED)
    return dice(labels[rest], truth[rest], label)


def test_corrected_slices_correct_the_rest(scan, draft):
    values, truth = scan
    labels = sessions(values, draft).update((on_slices(truth, *CORRECTED), GRID)).labels.data.numpy()
    for label in (3, 7):
        assert elsewhere(labels, truth, label) > elsewhere(draft, truth, label) + 0.08
    np.testing.assert_array_equal(labels[list(CORRECTED)], truth[list(CORRECTED)])


def test_what_no_corrected_slice_shows_is_found_from_the_draft(scan, draft):
    values, truth = scan
    seeds = on_slices(truth, 8, 22)  # the inner structure lies between
    labels = sessions(values, draft).update((seeds, GRID)).labels.data.numpy()
    for label in (3, 7):
        assert elsewhere(labels, truth, label) > elsewhere(draft, truth, label) + 0.03


def test_a_corrected_copy_says_the_same_as_the_slices_alone(scan, draft):
    values, truth = scan
    slices = sessions(values, draft).update((on_slices(truth, *CORRECTED), GRID), [(0, z) for z in CORRECTED])
    for complete in ("auto", [(0, z) for z in CORRECTED]):
        copy = sessions(values, draft).update((corrected(draft, truth, *CORRECTED), GRID), complete)
        assert copy.complete_slices == slices.complete_slices
        assert torch.equal(copy.labels.data, slices.labels.data)


def test_a_slice_that_was_right_is_known_to_be(scan, draft):
    result = sessions(scan[0], draft).update((draft, GRID), [(0, 0)])
    assert result.complete_slices == ((0, 0),)
    assert (result.labels.data.numpy() == draft).mean() > 0.9


def test_far_from_what_is_corrected_the_draft_of_a_large_scan_stays(scan):
    grid = Grid((96, 96, 80), (2.0, 2.0, 2.0))
    z, y, x = np.indices(grid.shape)
    body, nodule, other = (
        (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius**2
        for centre, radius in (((40, 48, 48), 38), ((40, 30, 50), 4.5), ((20, 70, 40), 4.5))
    )
    values = 100.0 * body + 60.0 * nodule + np.random.default_rng(0).normal(0, 8, grid.shape)
    draft = np.roll(nodule, 2, 2).astype(np.int32) + 2 * other
    copy = draft.copy()
    copy[[38, 41]] = nodule[[38, 41]]
    result = FewShotSession((values, grid), "none", max_voxels=100_000, draft=(draft, grid)).update(
        (copy, grid)
    )
    labels = result.labels.data.numpy()
    assert result.near
    assert dice(labels, nodule, 1) > 0.9 > 0.7 > dice(draft, nodule, 1)
    np.testing.assert_array_equal(labels == 2, other)


def test_a_structure_that_the_draft_lacks_is_found_between_slices(scan):
    values, truth = scan
    without = np.where(truth == 7, 3, truth)
    labels = (
        sessions(values, without).update((corrected(without, truth, 13, 17, 21), GRID)).labels.data.numpy()
    )
    assert dice(labels, truth, 7) > 0.8
    assert dice(labels, truth, 3) > 0.9


def test_a_stroke_brings_back_what_is_missing_around_it(scan):
    values, truth = scan
    z, y, x = np.indices(truth.shape)
    hole = (z - 10) ** 2 + (y - 12) ** 2 + (x - 16) ** 2 < 36
    missing = hole & (truth == 3)
    draft = np.where(missing, 0, truth)
    copy = draft.copy()
    stroke = (z - 10) ** 2 + (y - 12) ** 2 + (x - 16) ** 2 < 5
    copy[stroke & missing] = 3
    result = sessions(values, draft).update((copy, GRID))
    assert result.complete_slices == ()
    labels = result.labels.data.numpy()
    assert (labels == 3)[missing].mean() > 0.8
    assert (labels == draft)[~hole].mean() > 0.99


def test_erasing_counts_as_correcting(scan):
    values, truth = scan
    draft = truth.copy()
    draft[:, :6] = 7  # a leak
    copy = corrected(draft, truth, 10, 16, 22)
    labels = sessions(values, draft).update((copy, GRID)).labels.data.numpy()
    assert (labels[:, :6] == 7).mean() < 0.25
    assert dice(labels[:, 6:], truth[:, 6:], 7) > 0.85


def test_names_and_grid_of_the_draft_are_taken_over(scan, draft):
    values, truth = scan
    inner = GRID.cropped((2, 1, 1), (39, 35, 31))
    other = LabelMap(
        torch.from_numpy(draft[1:31, 1:35, 2:39].copy()), inner, {3: "outer"}, {3: (1.0, 0.0, 0.0)}
    )
    session = FewShotSession((values, GRID), "none", draft=other)
    seeds = LabelMap(torch.from_numpy(on_slices(truth, *CORRECTED)), GRID, {7: "inner"})
    result = session.update(seeds)
    assert result.labels.names == {3: "outer", 7: "inner"}
    assert result.labels.colors == {3: (1.0, 0.0, 0.0)}
    assert elsewhere(result.labels.data.numpy(), truth, 3) > elsewhere(draft, truth, 3)


def test_a_saved_session_keeps_its_draft(scan, draft, tmp_path):
    values, truth = scan
    session = sessions(values, draft)
    first = session.update((corrected(draft, truth, 8), GRID))
    last = session.update((corrected(draft, truth, *CORRECTED), GRID))
    session.save(tmp_path / "case.npz")
    other = FewShotSession((values, GRID), "none")
    assert torch.equal(other.restore(tmp_path / "case.npz").labels.data, last.labels.data)
    assert torch.equal(other.undo().labels.data, first.labels.data)
    assert other.undo() is None


def test_what_is_seen_first_is_what_the_whole_answer_says(scan, draft):
    values, truth = scan
    shown = {}
    looked_at = [(0, 12), (1, 17), (2, 20)]
    result = sessions(values, draft).update(
        (corrected(draft, truth, *CORRECTED), GRID), glances=looked_at, show=shown.__setitem__
    )
    for (axis, index), plane in shown.items():
        whole = result.labels.data.movedim(axis, 0)[index]
        assert (plane == whole).float().mean() > 0.99


def test_in_larger_voxels_the_fine_draft_stays_where_it_is_right(scan):
    values, truth = (volume.repeat(2, 0).repeat(2, 1).repeat(2, 2) for volume in scan)
    grid = Grid(tuple(2 * n for n in GRID.size), GRID.spacing)
    draft = truth.copy()
    draft[20, 30:42, 30:50] = draft[44, 30:42, 30:50] = 0
    session = FewShotSession((values, grid), "none", max_voxels=50_000, draft=(draft, grid))
    labels = session.update((corrected(draft, truth, 20, 44), grid)).labels.data.numpy()
    assert max(session._workspace.frame.factors) > 1
    np.testing.assert_array_equal(labels[[20, 44]], truth[[20, 44]])
    border = np.zeros(truth.shape, bool)
    border[1:] = truth[1:] != truth[:-1]
    assert (labels == truth)[border].mean() > 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda draft: draft, "the draft as it is"), (np.zeros_like, "the seeds are empty")],
)
def test_corrections_that_are_none_are_refused(scan, draft, change, message):
    session = sessions(scan[0], draft)
    with pytest.raises(InputError, match=message):
        session.update((change(draft), GRID))
    assert session.edits == 0


def test_an_empty_draft_is_refused(scan):
    with pytest.raises(InputError, match="the draft is empty"):
        sessions(scan[0], np.zeros_like(scan[1]))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (np.s_[4, 2:9, 2:9], ((0, 4),)),
        (np.s_[[4, 9], 2:19, 2:19], ((0, 4), (0, 9))),
        (np.s_[2:12, 3:16, 7], ((2, 7),)),
        (np.s_[4:9, 4:9, 4:9], ()),
        (np.s_[0:0], ()),
    ],
)
def test_slices_that_were_corrected_are_told_from_strokes(part, expected):
    changed = np.zeros((16, 20, 24), bool)
    changed[part] = True
    assert corrected_slices(changed) == expected


def test_what_is_drawn_beside_corrected_slices_does_not_make_these_more():
    changed = np.zeros((16, 20, 24), bool)
    changed[[4, 9], 2:8, 2:19] = True
    changed[5:12, 10:18, 3:10] = True  # another structure
    assert corrected_slices(changed) == ((0, 4), (0, 9))


def test_seeds_that_erase_are_known_to(draft):
    copy = draft.copy()
    copy[10:14, 10:14, 10:14] = 0
    read = read_seeds(copy, draft=draft)
    assert read.values == (0, 3, 7)
    assert set(np.unique(read.classes)) == {-1, 0}
    np.testing.assert_array_equal(read.classes == 0, (copy == 0) & (draft > 0))


FRAME = Frame(GRID, (0, 0, 0), GRID.shape, (1, 1, 1))


def test_distances_agree_with_scipy(draft):
    classes = np.searchsorted([0, 3, 7], draft).astype(np.int16)
    measured = Draft.of(classes, FRAME, 4)
    edges = np.array(FRAME.spacing) / np.prod(FRAME.spacing) ** (1 / 3)
    for label in range(3):
        inside = classes == label
        signed = distance_transform_edt(inside, edges) - distance_transform_edt(~inside, edges)
        np.testing.assert_allclose(measured.distances[..., label], np.clip(signed, -REACH, REACH), atol=0.02)
    assert (measured.distances[..., 3] == -REACH).all()
    assert measured.has.tolist() == [True, True, True, False]


@pytest.mark.parametrize("off", [0.5, 2.0])
def test_how_far_off_borders_are_is_found(draft, off):
    measured = Draft.of((draft > 0).astype(np.int16), FRAME, 2)
    odds = (measured.distances.float() / off).softmax(-1)[..., 1]
    known = torch.bernoulli(odds, generator=torch.Generator().manual_seed(0)).short().numpy()
    assert measured.off_by(known) == pytest.approx(off, rel=0.3)


def test_near_a_gross_error_the_draft_is_trusted_less(draft):
    measured = Draft.of((draft > 0).astype(np.int16), FRAME, 2)
    known = np.full(draft.shape, -1, np.int16)
    deepest = np.unravel_index(int(measured.distances[..., 1].argmax()), draft.shape)
    depth = float(measured.distances[(*deepest, 1)])
    known[deepest] = 0
    off = measured.off_around(known, 1.0)
    assert float(off[deepest]) == pytest.approx(2 * depth, abs=0.1)
    away = torch.from_numpy(distance_transform_edt(known < 0, measured.edges)).float()
    assert torch.allclose(off, (2 * depth - 0.5 * away).clamp_min(1.0), atol=0.1)
