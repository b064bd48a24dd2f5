from contextlib import suppress

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter1d, map_coordinates

from SynthFoundationLib.errors import Cancelled, InputError
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image
from SynthFoundationLib.segmentation.complete import detect_complete
from SynthFoundationLib.segmentation.decide import thresholds
from SynthFoundationLib.segmentation.filters import gaussian, resized, smoothed
from SynthFoundationLib.segmentation.placement import placed
from SynthFoundationLib.segmentation.seeds import parse_slices, read_seeds
from SynthFoundationLib.segmentation.shape import ShapePrior
from SynthFoundationLib.segmentation.tracking import Tracks, motion, warped
from SynthFoundationLib.segmentation.workspace import frame_of


def texture(shape, sigma=3.0, seed=0):
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    smooth = smoothed(noise, (sigma,) * 2)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def test_gaussian_matrix_is_scipys_filter():
    ours = gaussian(30, 2.3).double().numpy()
    theirs = gaussian_filter1d(np.eye(30), 2.3, axis=0, mode="nearest", radius=7)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_resizing_keeps_linear_ramps_where_they_are():
    ramp = torch.arange(24.0).expand(4, 6, 24)
    half = resized(ramp, (4, 6, 12))
    np.testing.assert_allclose(half[0, 0, 3:-3], np.arange(12)[3:-3] * 2 + 0.5, atol=1e-4)
    back = resized(half, (4, 6, 24))
    np.testing.assert_allclose(back[0, 0, 6:-6], np.arange(24)[6:-6], atol=1e-4)


def test_motion_finds_a_known_deformation():
    moving = texture((1, 1, 64, 64))
    y, x = np.mgrid[:64, :64].astype(float)
    dy, dx = 2.0 * np.sin(x / 10), 1.5 * np.cos(y / 12)
    fixed = map_coordinates(moving[0, 0].numpy(), [y + dy, x + dx], order=1, mode="nearest")
    field = motion(torch.from_numpy(fixed).float()[None, None], moving)
    inner = (slice(8, -8), slice(8, -8))
    error = np.hypot(field[0, 0].numpy() - dy, field[0, 1].numpy() - dx)[inner]
    assert np.hypot(dy, dx)[inner].mean() > 1.2
    assert error.mean() < 0.45


def test_warping_agrees_with_scipy():
    slices = texture((1, 1, 20, 30))
    field = 4 * torch.rand(1, 2, 20, 30, generator=torch.Generator().manual_seed(1)) - 2
    y, x = np.mgrid[:20, :30]
    spots = [y + field[0, 0].numpy(), x + field[0, 1].numpy()]
    expected = map_coordinates(slices[0, 0].numpy(), spots, order=1, mode="nearest")
    np.testing.assert_allclose(warped(slices, field)[0, 0], expected, atol=1e-4)


def test_places_in_a_ball_are_its_depth_and_shares_of_its_chords():
    z, y, x = np.mgrid[-1:1:25j, -1:1:29j, -1:1:33j]
    ball = z**2 + y**2 + x**2 <= 0.8
    spacing = (1 / 12, 1 / 14, 1 / 16)
    depth, *shares = placed(torch.from_numpy(ball), spacing).numpy().T
    assert np.corrcoef(depth, distance_transform_edt(ball, spacing)[ball])[0, 1] > 0.95
    chord = np.sqrt(0.8 - (y**2 + x**2)[ball])
    inner = chord > 0.3
    assert np.corrcoef(shares[0][inner], (z[ball] / chord)[inner])[0, 1] > 0.99


def moving_disc(depth=13, size=48, radius=8.0, speed=1.5):
    """A bright disc that moves along x from slice to slice, and its mask."""
    y, x = np.mgrid[:size, :size]
    discs = np.stack([np.hypot(y - size / 2, x - 14 - speed * z) < radius for z in range(depth)])
    background = texture((1, 1, size, size), seed=3)[0, 0].numpy() * 0.2
    image = smoothed(torch.from_numpy(np.where(discs, 0.9, background)).float(), (1.0, 1.0))
    return image, discs


def test_shapes_follow_a_structure_that_moves():
    image, discs = moving_disc()
    prior = ShapePrior(Tracks(image[:, None]), 0, image.shape, (2.0, 1.0, 1.0))
    slices = {z: discs[z].astype(np.int16) for z in (0, 12)}
    odds, uncertainty = prior.volume(slices, 2)
    found = (odds[..., 1] > odds[..., 0]).numpy()
    for z in range(13):
        dice = 2 * (found[z] & discs[z]).sum() / (found[z].sum() + discs[z].sum())
        assert dice > 0.85, z
    overlap_of_ends = (discs[0] & discs[6]).sum() / discs[6].sum()
    assert overlap_of_ends < 0.5
    assert uncertainty.argmax() == 6
    assert uncertainty[0] == uncertainty[12] == 1.0


def test_an_edit_recomputes_only_the_slabs_beside_it(monkeypatch):
    image, discs = moving_disc()
    prior = ShapePrior(Tracks(image[:, None]), 0, image.shape, (2.0, 1.0, 1.0))
    slices = {z: discs[z].astype(np.int16) for z in (0, 4, 8, 12)}
    before = prior.volume(slices, 2)[0].clone()
    solved, fill = [], prior._fill
    spy = lambda target, a, b, gap: solved.append((a.index, b.index)) or fill(target, a, b, gap)  # noqa: E731
    monkeypatch.setattr(prior, "_fill", spy)
    slices[4] = np.roll(slices[4], 3, 0)
    edited, _ = prior.volume(slices, 2)
    assert solved == [(0, 4), (4, 8)]
    assert torch.equal(edited[9:], before[9:])
    fresh, _ = ShapePrior(prior.tracks, 0, image.shape, (2.0, 1.0, 1.0)).volume(slices, 2)
    assert torch.equal(edited, fresh)


@pytest.mark.parametrize("others", [{4: 3}, {4: None}, {4: None, 8: None}, {6: 0}, {1: 0, 8: None}])
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_stopped_edit_leaves_no_wrong_shapes_behind(monkeypatch, others, calls):
    image, discs = moving_disc()
    prior = ShapePrior(Tracks(image[:, None]), 0, image.shape, (2.0, 1.0, 1.0))
    slices = {z: discs[z].astype(np.int16) for z in (0, 4, 8, 12)}
    before = prior.volume(slices, 2)[0].clone()
    edited = {**slices, **{z: np.roll(discs[z], by or 0, 0).astype(np.int16) for z, by in others.items()}}
    edited = {z: plane for z, plane in edited.items() if others.get(z, 0) is not None}
    asked, between = [], prior._between

    def stopping(*args):
        asked.append(args)
        if len(asked) == calls:
            raise Cancelled("stopped")
        return between(*args)

    monkeypatch.setattr(prior, "_between", stopping)
    with suppress(Cancelled):
        prior.volume(edited, 2)
    monkeypatch.undo()
    assert torch.equal(prior.volume(slices, 2)[0], before)


def test_a_slice_that_is_not_labelled_completely_is_no_shape():
    image, discs = moving_disc()
    prior = ShapePrior(Tracks(image[:, None]), 0, image.shape, (2.0, 1.0, 1.0))
    with pytest.raises(AssertionError, match="completely"):
        prior.volume({0: np.where(discs[0], 1, -1)}, 2)


def test_a_structure_seen_on_one_side_ends_half_way():
    image, discs = moving_disc(speed=0)
    prior = ShapePrior(Tracks(image[:, None]), 0, image.shape, (1.0, 1.0, 1.0))
    odds, _ = prior.volume({0: discs[0].astype(np.int16), 12: np.zeros((48, 48), np.int16)}, 2)
    centre = (odds[..., 1] - odds[..., 0])[:, 24, 14]
    assert (centre[:5] > 0).all()
    assert (centre[8:] < 0).all()
    assert (centre.diff() <= 0).all()


def test_thresholds_maximise_the_expected_dice():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(4000, generator=generator) ** 4
    limit = float(thresholds(torch.stack([1 - p, p], 1))[1])

    def expected(threshold):
        truth = torch.rand(200, len(p), generator=torch.Generator().manual_seed(1)) < p
        ours = p >= threshold
        return float((2 * (truth & ours).sum(1) / (truth.sum(1) + ours.sum())).mean())

    tried = {t: expected(t) for t in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
    assert expected(limit) >= max(tried.values()) - 2e-3
    assert expected(limit) > tried[0.5] + 0.01


def on_planes(truth, planes):
    seeds = np.zeros_like(truth)
    for axis, index in planes:
        np.moveaxis(seeds, axis, 0)[index] = np.moveaxis(truth, axis, 0)[index]
    return seeds


def labelled(*planes, shape=(20, 24, 28)):
    truth = np.zeros(shape, int)
    truth[3:17, 5:19, 6:22] = 1
    truth[8:14, 8:14, 8:14] = 4
    return on_planes(truth, planes)


@pytest.mark.parametrize(
    "planes",
    [
        ((0, 5), (0, 10), (0, 15)),
        ((1, 9),),
        ((2, 8), (2, 15), (2, 20)),
        ((0, 9), (0, 10), (0, 11)),
        ((0, 7), (1, 12), (2, 10)),
        ((0, 5), (0, 12), (2, 13)),
    ],
)
def test_complete_slices_are_found(planes):
    assert detect_complete(labelled(*planes) > 0) == planes


def long_and_round(*planes):
    """A tube along the first axis beside a ball, of which these slices are labelled."""
    z, y, x = np.indices((40, 30, 30))
    truth = ((y - 6) ** 2 + (x - 6) ** 2 <= 5) | ((z - 28) ** 2 + (y - 15) ** 2 + (x - 18) ** 2 <= 80)
    return on_planes(truth, planes)


@pytest.mark.parametrize(
    "planes",
    [
        ((0, 5), (1, 15), (2, 18)),
        ((0, 3), (0, 12), (0, 21), (0, 30), (1, 13), (2, 20)),
        ((0, 28), (1, 6), (1, 14), (2, 6), (2, 15)),
        ((0, 5), (0, 6), (1, 14), (1, 15), (2, 18), (2, 19)),
        ((0, 4), (0, 9), (0, 14), (0, 19), (0, 24), (0, 29), (0, 34), (0, 39)),
    ],
)
def test_complete_slices_of_several_axes_are_found_among_several_structures(planes):
    seeds = long_and_round(*planes)
    assert detect_complete(seeds) == planes
    assert not seeds[25, 25, 25]
    seeds[25, 25, 25] = True  # a slip of the hand says nothing of its slices
    if len({axis for axis, _ in planes}) > 1:
        assert detect_complete(seeds) == planes


def test_empty_voxels_of_complete_slices_are_background():
    read = read_seeds(labelled((0, 5), (0, 10)))
    assert read.values == (0, 1, 4)
    assert read.complete == ((0, 5), (0, 10))
    assert read.detected
    assert (read.classes[[5, 10]] >= 0).all()
    assert (np.delete(read.classes, [5, 10], 0) == -1).all()


def test_a_background_label_means_that_slices_are_not_complete():
    seeds = labelled((0, 5))
    seeds[5, 0, :5] = 9
    read = read_seeds(seeds, background=9)
    assert read.complete == ()
    assert set(np.unique(read.classes)) == {-1, 0, 1}
    assert (read.classes[5, 0, :5] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((4, 4, 4), int)}, "empty"),
        ({"labels": np.full((4, 4, 4), 3), "background": 3}, "only background"),
        ({"background": -1}, "background label is -1"),
        ({"complete_slices": [(0, 99)]}, "does not exist"),
        ({"complete_slices": "all"}, "'auto', 'none' or pairs"),
    ],
)
def test_unusable_seeds_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        read_seeds(**({"labels": labelled((0, 5))} | change))


def test_slices_are_read_from_text():
    assert parse_slices("k:10,20 i:5") == [(0, 10), (0, 20), (2, 5)]
    assert parse_slices("auto") == "auto"
    with pytest.raises(InputError, match="AXIS:LIST"):
        parse_slices("z=3")


def test_large_images_are_worked_on_in_merged_voxels():
    grid = Grid((64, 60, 10), (0.4, 0.4, 6.0))
    image = Image(torch.rand(grid.shape), grid)
    frame = frame_of(image, np.ones(grid.shape, bool), 5_000)
    assert frame.voxels <= 5_000
    assert frame.factors[0] == 1
    assert frame.shape[0] == 10
    middle = frame.work_grid.to_physical((np.array(frame.shape[::-1]) - 1) / 2)
    assert np.abs(middle - grid.center).max() < 0.4 * max(frame.factors)
    classes = np.full(grid.shape, -1, np.int16)
    classes[3, 7, 9] = 2
    assert (frame.shrunk(classes) == 2).sum() == 1


def test_what_is_drawn_outside_the_box_is_no_seed_at_its_border():
    grid = Grid((24, 20, 16))
    mask = np.zeros(grid.shape, bool)
    mask[4:12, 4:16, 4:20] = True
    classes = np.full(grid.shape, -1, np.int16)
    classes[1] = 0
    classes[14, 2, 2] = 1
    for most in (5_000, 500):
        frame = frame_of(Image(torch.rand(grid.shape), grid), mask, most)
        assert (frame.shrunk(classes) == -1).all()
        assert frame.among(0, [(0, 1), (0, 4), (0, 11), (0, 12), (1, 5)]) == [0, frame.shape[0] - 1]
