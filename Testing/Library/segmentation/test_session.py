from dataclasses import replace

import numpy as np
import pytest
import torch
from ellipsoids import GRID, dice, on_slices

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weight_files import save_network
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image
from SynthFoundationLib.segmentation import FewShotSession, segment


def test_a_few_slices_give_the_volume(session, scan):
    truth = scan[1]
    result = session.update((on_slices(truth, 6, 16, 25), GRID))
    labels = result.labels.data.numpy()
    assert result.complete_slices == ((0, 6), (0, 16), (0, 25))
    assert result.detected
    assert result.labels.grid == GRID
    assert dice(labels, truth, 3) > 0.85
    assert dice(labels, truth, 7) > 0.85
    np.testing.assert_array_equal(labels[[6, 16, 25]], truth[[6, 16, 25]])


def test_probabilities_and_confidence_fit_the_labels(session, scan):
    result = session.update((on_slices(scan[1], 6, 16, 25), GRID))
    probabilities = result.probabilities.data
    assert probabilities.shape == (3, *GRID.shape)
    assert result.values == (0, 3, 7)
    np.testing.assert_allclose(probabilities.sum(0), 1.0, atol=5e-3)
    confidence = result.confidence.data[0]
    assert (confidence[[6, 16, 25]] == 1).all()
    wrong = torch.from_numpy(result.labels.data.numpy() != scan[1])
    assert confidence[wrong].mean() < confidence[~wrong].mean() - 0.1


def test_the_proposed_slice_helps_more_than_one_beside_a_labelled_slice(session, scan):
    truth = scan[1]
    seeds = on_slices(truth, 6, 10)
    axis, index = session.update((seeds, GRID)).next_slice
    assert axis == 0
    assert index not in (6, 10)

    def with_slice(z):
        session.clear()
        labels = session.update((np.maximum(seeds, on_slices(truth, z)), GRID)).labels.data.numpy()
        return np.mean([dice(labels, truth, label) for label in (3, 7)])

    assert with_slice(index) > with_slice(7) + 0.05


def test_strokes_in_a_mouse_answer_like_those_in_a_person(scan):
    truth = scan[1]
    strokes = np.full_like(truth, 0)
    strokes[8:24:8, 10:26:2] = np.where(truth == 0, 9, truth)[8:24:8, 10:26:2]
    small = replace(GRID, spacing=tuple(s / 20 for s in GRID.spacing))
    answers = [
        FewShotSession((scan[0], grid), "none").update((strokes, grid), "none", 9).labels.data.numpy()
        for grid in (GRID, small)
    ]
    assert (answers[0] != answers[1]).mean() < 0.002


def test_planes_of_two_directions_are_used_together(session, scan):
    truth = scan[1]
    seeds = on_slices(truth, 9)
    alone = session.update((seeds, GRID), [(0, 9)]).labels.data.numpy()
    seeds[:, 18] = truth[:, 18]
    session.clear()
    both = session.update((seeds, GRID), [(0, 9), (1, 18)]).labels.data.numpy()
    assert dice(both, truth, 3) > dice(alone, truth, 3)
    np.testing.assert_array_equal(both[9], truth[9])
    np.testing.assert_array_equal(both[:, 18], truth[:, 18])


def test_a_plane_beside_a_structure_does_not_take_it_away(session, scan):
    truth = scan[1]
    seeds = on_slices(truth, 6, 16, 25)
    alone = session.update((seeds, GRID), [(0, 6), (0, 16), (0, 25)]).labels.data.numpy()
    column = int(np.flatnonzero((truth == 7).any((0, 1)))[0]) - 2
    assert (truth[:, :, column] == 3).any()
    seeds[:, :, column] = truth[:, :, column]
    session.clear()
    found = session.update((seeds, GRID))
    assert found.complete_slices == ((0, 6), (0, 16), (0, 25), (2, column))
    assert dice(found.labels.data.numpy(), truth, 7) > dice(alone, truth, 7) - 0.15


def test_one_slice_is_enough_for_a_structure_far_longer_than_wide():
    z, y, x = np.mgrid[:32, :36, :40]
    truth = ((y - 18) ** 2 + (x - 20 - 0.2 * (z - 16)) ** 2 < 16) & (z > 2) & (z < 29)
    noise = np.random.default_rng(0).normal(0, 0.05, truth.shape)
    seeds = on_slices(truth.astype(np.int32), 16)
    found = segment(((1 + truth + noise).astype(np.float32), GRID), (seeds, GRID), features="none")
    assert dice(found.labels.data.numpy(), truth, 1) > 0.8


def test_scribbles_with_background_give_the_volume(session, scan):
    truth = scan[1]
    seeds = np.zeros_like(truth)
    for z in (8, 16, 24):
        seeds[z, 18, ::2] = np.where(truth[z, 18, ::2] == 0, 1, truth[z, 18, ::2])
        seeds[z, 4:32:2, 20] = np.where(truth[z, 4:32:2, 20] == 0, 1, truth[z, 4:32:2, 20])
    result = session.update((seeds, GRID), background=1)
    labels = result.labels.data.numpy()
    assert result.complete_slices == ()
    assert set(np.unique(labels)) == {0, 3, 7}
    assert dice(labels, truth, 3) > 0.75
    drawn = seeds > 1
    np.testing.assert_array_equal(labels[drawn], seeds[drawn])
    assert (labels[seeds == 1] == 0).all()


def test_a_corrective_scribble_changes_its_surroundings(session, scan):
    truth = scan[1]
    seeds = on_slices(truth, 6, 16, 25)
    complete = [(0, 6), (0, 16), (0, 25)]
    before = session.update((seeds, GRID), complete).labels.data.numpy()
    seeds[20, 6:9, 4:9] = 7
    after = session.update((seeds, GRID), complete).labels.data.numpy()
    assert (before[20, 5:10, 3:10] == 7).sum() == 0
    assert (after[20, 5:10, 3:10] == 7).sum() > 15
    np.testing.assert_array_equal(after[[6, 16, 25]], truth[[6, 16, 25]])


@pytest.fixture(scope="module")
def in_air(scan):
    """The scan with air around it, in which a small bright cube lies that is not taken for body."""
    image, truth = (np.pad(volume, 8) for volume in scan)
    cube = (slice(2, 7),) * 3
    image[cube], truth[cube] = 2.0, 9
    return image, truth, Grid(image.shape[::-1], GRID.spacing)


@pytest.mark.parametrize("most", [8_000_000, 15_000])
def test_an_empty_complete_slice_outside_the_body_says_nothing_in_it(in_air, most):
    image, truth, grid = in_air
    seeds, complete = on_slices(np.where(truth == 9, 0, truth), 14, 24, 33), [(0, 14), (0, 24), (0, 33)]
    plain, told = (
        FewShotSession((image, grid), "none", most).update((seeds, grid), slices)
        for slices in (complete, [*complete, (0, 1), (1, 0)])
    )
    assert torch.equal(plain.labels.data, told.labels.data)
    assert torch.equal(plain.confidence.data, told.confidence.data)


@pytest.mark.parametrize("most", [8_000_000, 15_000])
def test_what_is_drawn_outside_the_body_is_segmented_there(in_air, most):
    image, truth, grid = in_air
    seeds = on_slices(truth, 2, 6)
    session = FewShotSession((image, grid), "none", most)
    first = session.update((seeds, grid), glances=[(0, 4), (0, 44)], show=lambda one, plane: None)
    labels = first.labels.data.numpy()
    np.testing.assert_array_equal(labels[[2, 6]], truth[[2, 6]])
    assert (labels[4, 2:7, 2:7] == 9).mean() > 0.8
    assert (labels == 9).sum() < 200
    session.update((on_slices(truth, 2, 6, 24), grid))
    assert torch.equal(session.undo().labels.data, first.labels.data)


def test_one_voxel_outside_the_body_is_kept(in_air):
    image, _, grid = in_air
    seeds = np.zeros(grid.shape, np.int32)
    seeds[44, 50, 2] = 5
    for complete in ("auto", "none"):
        result = segment((image, grid), (seeds, grid), complete, features="none")
        assert result.labels.data[44, 50, 2] == 5


def test_a_sessions_layout_is_saved_with_it(in_air, tmp_path):
    image, truth, grid = in_air
    session = FewShotSession((image, grid), "none")
    last = session.update((on_slices(truth, 2, 6), grid))
    session.save(tmp_path / "case.npz")
    restored = FewShotSession((image, grid), "none").restore(tmp_path / "case.npz")
    assert torch.equal(restored.labels.data, last.labels.data)
    assert torch.equal(restored.confidence.data, last.confidence.data)


def test_a_slip_of_the_brush_costs_no_new_look_at_the_image(in_air):
    image, truth, grid = in_air
    session = FewShotSession((image, grid), "none")
    seeds = on_slices(np.where(truth == 9, 0, truth), 14, 24, 33)
    session.update((seeds, grid))
    workspace = session._workspace
    seeds[24, 1, 1:4] = 3
    result = session.update((seeds, grid), [(0, 14), (0, 24), (0, 33)])
    assert session._workspace is workspace
    np.testing.assert_array_equal(result.labels.data.numpy()[24], seeds[24])


def test_seeds_on_another_grid_are_resampled(scan):
    image, truth = scan
    seeds = np.pad(on_slices(truth, 6, 16, 25), ((0, 0), (3, 3), (3, 3)))
    grid = Grid((46, 42, 32), GRID.spacing, tuple(GRID.to_physical([-3, -3, 0])), GRID.direction)
    moved = segment((image, GRID), (seeds, grid)).labels
    direct = segment((image, GRID), (on_slices(truth, 6, 16, 25), GRID)).labels
    assert moved.grid == GRID
    assert torch.equal(moved.data, direct.data)


@pytest.mark.parametrize("origin", [(500.0, 500.0, 500.0)])
def test_seeds_elsewhere_are_refused(scan, origin):
    grid = Grid(GRID.size, GRID.spacing, origin, GRID.direction)
    with pytest.raises(InputError, match="outside the image"):
        segment((scan[0], GRID), (on_slices(scan[1], 16), grid))


def test_one_labelled_voxel_is_enough_and_stays_small(scan):
    seeds = np.zeros(GRID.shape, np.int32)
    seeds[17, 16, 21] = 5
    result = segment((scan[0], GRID), (seeds, GRID))
    labels = result.labels.data.numpy()
    assert labels[17, 16, 21] == 5
    assert 1 <= (labels == 5).sum() < 2000


def test_many_labels_in_large_voxels_keep_what_was_drawn():
    rng = np.random.default_rng(0)
    image = rng.normal(size=GRID.shape).astype(np.float32)
    seeds = np.zeros(GRID.shape, np.int32)
    seeds[8::8] = np.arange(1, 1 + 36 * 40).reshape(36, 40) // 5 + 1
    session = FewShotSession((image, GRID), max_voxels=4_000)
    labels = session.update((seeds, GRID), [(0, z) for z in range(8, 32, 8)]).labels.data.numpy()
    np.testing.assert_array_equal(labels[8::8], seeds[8::8])


def test_merged_voxels_give_nearly_the_same_labels(scan):
    image, truth = scan
    session = FewShotSession((image, GRID), max_voxels=15_000)
    result = session.update((on_slices(truth, 6, 16, 25), GRID))
    labels = result.labels.data.numpy()
    assert dice(labels, truth, 3) > 0.8
    np.testing.assert_array_equal(labels[16], truth[16])
    np.testing.assert_allclose(result.probabilities.data.sum(0), 1.0, atol=5e-3)


def test_thick_slices_are_segmented():
    z, y, x = np.mgrid[:9, :80, :80]
    truth = (((z - 4) * 6) ** 2 + ((y - 40) * 0.4) ** 2 + ((x - 36 - z) * 0.4) ** 2 < 12**2 / 1.5).astype(int)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)).numpy()
    grid = Grid((80, 80, 9), (0.4, 0.4, 6.0))
    seeds = on_slices(truth, 3, 5)
    labels = segment((truth + 0.1 * noise + 2, grid), (seeds, grid)).labels.data.numpy()
    assert dice(labels[4], truth[4], 1) > 0.9
    np.testing.assert_array_equal(labels[[3, 5]], truth[[3, 5]])


def test_seeds_in_a_corner_do_not_flood_the_volume(scan):
    seeds = np.zeros(GRID.shape, np.int32)
    seeds[:2, :3, :3] = 4
    result = segment((scan[0], GRID), (seeds, GRID))
    labels = result.labels.data.numpy()
    assert (labels[seeds > 0] == 4).all()
    assert set(np.unique(labels)) <= {0, 4}
    assert (labels == 4).mean() < 0.2


def test_contradictory_seeds_are_kept_and_make_the_answer_unsure(session, scan):
    truth = scan[1]
    agreed = session.update((on_slices(truth, 6, 16, 25), GRID), [(0, z) for z in (6, 16, 25)])
    swapped = on_slices(truth, 6, 16, 25)
    swapped[16] = np.choose(np.searchsorted([0, 3, 7], truth[16]), [0, 7, 3])
    session.clear()
    doubted = session.update((swapped, GRID), [(0, z) for z in (6, 16, 25)])
    np.testing.assert_array_equal(doubted.labels.data.numpy()[16], swapped[16])
    inside = torch.from_numpy(truth > 0)
    assert doubted.confidence.data[0][inside].mean() < agreed.confidence.data[0][inside].mean() - 0.02


def test_a_volume_labelled_everywhere_comes_back(session, scan):
    everywhere = scan[1] + 1
    result = session.update((everywhere, GRID), "none")
    np.testing.assert_array_equal(result.labels.data.numpy(), everywhere)
    assert result.next_slice is None


def test_channels_from_outside_help_to_tell_labels_apart_that_look_alike():
    """Two labels share a ball of one tissue; their border swings to and fro between the labelled slices."""
    noise = torch.rand(GRID.shape, generator=torch.Generator().manual_seed(0)).numpy()
    z, y, x = np.mgrid[:32, :36, :40]
    ball = (z - 16) ** 2 + (y - 18) ** 2 + (x - 20) ** 2 < 15**2
    truth = np.where(ball, np.where(y < 18 + 5 * np.sin(np.pi * z / 5), 1, 2), 0)
    shown = Image(torch.from_numpy(truth + 0.3 * noise)[None].float(), GRID)
    image, seeds = (np.where(ball, 100 + 20 * noise, 0), GRID), (on_slices(truth, 6, 16, 26), GRID)
    plain = segment(image, seeds, features="none").labels.data.numpy()
    told = segment(image, seeds, features=shown).labels.data.numpy()
    assert dice(told, truth, 1) > dice(plain, truth, 1) + 0.003


def test_learned_features_come_from_the_weights_given(scan, tmp_path):
    network = UNet(UNetConfig(in_channels=1, out_channels=6, width=8, depth=2))
    save_network(network, tmp_path / "tiny.safetensors")
    session = FewShotSession((scan[0], GRID), "learned", weights=tmp_path / "tiny.safetensors")
    labels = session.update((on_slices(scan[1], 6, 16, 25), GRID)).labels.data.numpy()
    assert session._workspace.extra == 6
    assert dice(labels, scan[1], 3) > 0.8


def test_unknown_features_are_refused(scan):
    with pytest.raises(InputError, match="auto, learned, none"):
        FewShotSession((scan[0], GRID), "learnt")
