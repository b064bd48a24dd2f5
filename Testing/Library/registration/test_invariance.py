"""One pair in other clothes: what the header or the sampling says must not change where things end."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from variants import apart, cropped, lying_elsewhere, on_matrix, patient, reordered, resampled, shown, turned

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.geometry import Affine, Composite, resample
from SynthFoundationLib.images import Image
from SynthFoundationLib.registration import Settings, register, start
from SynthFoundationLib.registration.comparison import Descriptor
from SynthFoundationLib.registration.course import silent
from SynthFoundationLib.registration.scan import prepare
from SynthFoundationLib.registration.search import Candidate, Search, tilts


@pytest.fixture(scope="module")
def light(pair):
    """The small pair on voxels of 2.4 mm, where an affine registration takes a moment."""
    return tuple(resampled(image, 2.4) for image in pair[:2])


@pytest.fixture(scope="module")
def crops(pair):
    """The inside of the small pair's balls, without any air."""
    return tuple(cropped(image, (12,) * 3, (36,) * 3) for image in pair[:2])


def affine(fixed, moving):
    return register(fixed, moving, transform="affine")


@pytest.fixture(scope="module")
def plain(light):
    """What the other affine registrations have to agree with."""
    return affine(*light)


def test_reordering_keeps_every_voxel_in_its_place(pair):
    moving = pair[1]
    other = reordered(moving, (2, 0, 1), (1, 0, 1))
    back = resample(other.data, other.grid, moving.grid, fill=None)
    np.testing.assert_allclose(back, moving.data, atol=0.1)


@pytest.mark.parametrize(
    ("order", "flipped"),
    [
        ((2, 0, 1), (0, 1, 0)),
        pytest.param((1, 0, 2), (1, 1, 1), marks=pytest.mark.slow),
        pytest.param((0, 1, 2), (1, 1, 0), marks=pytest.mark.slow),
        pytest.param((0, 2, 1), (0, 0, 1), marks=pytest.mark.slow),
    ],
)
def test_the_order_of_voxels_does_not_matter(light, plain, body, order, flipped):
    found = affine(light[0], reordered(light[1], order, flipped))
    assert apart(found.transform, plain.transform, body).max() < 0.1


@pytest.mark.slow
def test_nor_does_it_to_the_bend(pair, body, result):
    fixed, moving = (reordered(image, (2, 0, 1), (0, 1, 0)) for image in pair[:2])
    found = register(pair[0], moving, features="mind")
    assert apart(found.transform, result.transform, body).max() < 0.1
    found = register(fixed, pair[1], features="mind")
    assert apart(found.transform, result.transform, body).max() < 0.3


def test_a_mouse_is_placed_like_a_person(light, plain, body):
    tenth = np.diag([0.1, 0.1, 0.1, 1.0])
    found = affine(*(on_matrix(image.data, tenth @ image.grid.matrix) for image in light))
    ends = 10 * found.transform.apply(0.1 * body)
    assert np.linalg.norm(ends - plain.transform.apply(body), axis=1).max() < 0.5


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        pytest.param((0, 0, 6), (34, 34, 34), id="below"),
        pytest.param((9, 0, 0), (34, 34, 34), id="side", marks=pytest.mark.slow),
    ],
)
def test_a_smaller_field_of_view_ends_in_the_same_place(light, plain, body, start, stop):
    found = affine(light[0], cropped(light[1], start, stop))
    assert apart(found.transform, plain.transform, body).mean() < 1


@pytest.mark.parametrize(
    ("fixed_spacing", "moving_spacing"),
    [
        pytest.param(2, (2, 2, 5), id="thick slices"),
        pytest.param(2, (1.5, 4, 2), id="thick columns", marks=pytest.mark.slow),
        pytest.param((2, 2, 5), 2, id="thick fixed slices", marks=pytest.mark.slow),
    ],
)
def test_anisotropic_voxels_end_in_the_same_place(pair, body, result, fixed_spacing, moving_spacing):
    fixed, moving = resampled(pair[0], fixed_spacing), resampled(pair[1], moving_spacing)
    found = register(fixed, moving, features="mind")
    assert apart(found.transform, result.transform, body).mean() < 1


@pytest.mark.parametrize(
    ("degrees", "shift"),
    [
        ((0, 0, 0), (80, -80, 80)),
        ((0, 0, 180), (10, 0, -10)),
        pytest.param((90, 0, 0), (0, 0, 0), marks=pytest.mark.slow),
        pytest.param((15, -25, 30), (-20, 30, 0), marks=pytest.mark.slow),
        pytest.param((0, -90, 0), (0, 0, 0), marks=pytest.mark.slow),
        pytest.param((180, 0, 0), (0, 0, 0), marks=pytest.mark.slow),
        pytest.param((45, 0, 0), (0, 0, 0), marks=pytest.mark.slow),
        pytest.param((0, -45, 0), (0, 0, 0), marks=pytest.mark.slow),
        pytest.param((0, 0, 45), (0, 0, 0), marks=pytest.mark.slow),
        pytest.param((30, 0, 0), (0, 60, 0), marks=pytest.mark.slow),
    ],
)
def test_a_wrong_header_is_seen_through(light, plain, body, degrees, shift):
    elsewhere = lying_elsewhere(degrees, shift)
    away = on_matrix(light[1].data, elsewhere @ light[1].grid.matrix)
    found = affine(light[0], away)
    expected = Composite([plain.transform, Affine(elsewhere)])
    assert apart(found.transform, expected, body).mean() < 1


@pytest.mark.parametrize(("side", "most_mm"), [(0, 0.65), (1, 0.3)])
@pytest.mark.parametrize("value", [0.0, 1000.0])
def test_where_a_turned_scan_was_filled_up_its_field_of_view_ends(pair, crops, side, most_mm, value):
    images = list(crops)
    images[side] = turned(images[side], (15, -15, 15), value)
    found = register(*images, features="mind").transform
    whole = register(*crops, features="mind").transform
    points = patient(crops[0], seed=0)
    points = points[shown(crops[1], pair[2].apply(points), patient_only=False)]
    assert apart(found, whole, points).mean() < most_mm


def test_nothing_is_compared_beyond_it(crops):
    scan = prepare(turned(crops[0], (15, -15, 15), 1000.0), torch.device("cpu"))
    assert scan.ends
    for every in (scan, scan.masked(Image(torch.ones_like(scan.body), scan.grid), "the scan")):
        assert torch.equal(every.mask, scan.held)
    near = scan.at_spacing(0.0)
    assert bool((near.held == 1).all())
    assert torch.equal(near.mask, scan.held.float())
    assert torch.equal(near.data[near.mask > 0], scan.data[scan.held])
    beyond = Image(~scan.held, scan.grid)
    with pytest.raises(InputError, match="empty inside the image"):
        scan.masked(beyond, "the scan")


def test_the_turns_are_rotations_and_leave_no_large_gap():
    """No rotation by 45 degrees or less lies farther than 30 degrees from one that is tried."""
    tried = np.array([np.eye(3), *tilts((22.5, 45.0))])
    np.testing.assert_allclose(
        tried @ tried.transpose(0, 2, 1), np.eye(3)[None].repeat(len(tried), 0), atol=1e-9
    )
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(500, 3))
    axes *= np.deg2rad(rng.uniform(0, 45, (500, 1))) / np.linalg.norm(axes, axis=1, keepdims=True)
    anywhere = Rotation.from_rotvec(axes).as_matrix()
    cosines = (np.einsum("nab,mab->nm", anywhere, tried).max(1) - 1) / 2
    assert np.rad2deg(np.arccos(cosines)).max() < 30


def test_finer_turns_lead_on_from_a_pose_that_is_tilted(light):
    """The pose in the header's orientation is off by its tilt; turns about it come closer."""
    tilt = lying_elsewhere((0, 0, 17))
    away = on_matrix(light[1].data, tilt @ light[1].grid.matrix)
    fixed, moving = (prepare(image, torch.device("cpu")) for image in (light[0], away))
    sides = fixed.at_spacing(10.0), moving.at_spacing(10.0)
    search = Search(*sides, 10.0, Descriptor("mind", None).coarse, silent)
    settings = Settings().start
    best = max(search([np.eye(3)]), key=lambda pose: pose.score)
    leant = start._leant([best], search, settings, 1)[0]

    def off(pose):
        turn = Rotation.from_matrix(pose.rotation @ tilt[:3, :3].T)
        return np.rad2deg(turn.magnitude())

    assert 16 < off(best) < 18
    assert off(leant) < 7
    assert leant.score > best.score
    expected = tilt @ np.append(light[1].grid.center, 1)
    assert np.linalg.norm((leant.matrix @ np.append(light[0].grid.center, 1) - expected)[:3]) < 25


def test_a_start_is_found_even_where_no_pose_has_anything_for_it(light, monkeypatch):
    def hopeless(self, turns, tilt=None):
        return [Candidate(np.eye(4), np.eye(3), -1.0, self.centre, turn) for turn in turns]

    monkeypatch.setattr(Search, "__call__", hopeless)
    fixed, moving = (prepare(image, torch.device("cpu")) for image in light)
    found = start.find_start(fixed, moving, Descriptor("mind", None).coarse, Settings().start)
    assert np.isfinite(found.matrix).all()


def test_a_moving_scan_compared_in_a_small_part_starts_in_the_same_place(light, plain, body):
    """Of a stripped or masked scan so little is left that no pose would cover a share of its whole box."""
    fixed, moving = (prepare(image, torch.device("cpu")) for image in light)
    middle = torch.zeros_like(moving.mask)
    middle[:, 11:23, 11:23, 11:23] = 1
    found = start.find_start(
        fixed, replace(moving, mask=middle), Descriptor("mind", None).coarse, Settings().start
    )
    assert apart(found, plain.transform, body).mean() < 4


@pytest.mark.parametrize("doubt", [{"decisive": 1e9}, {"certain": 2.0}])
def test_where_poses_are_in_doubt_the_one_that_is_recognised_is_taken(light, doubt):
    fixed, moving = (prepare(image, torch.device("cpu")) for image in light)
    asked = []

    def third(pose):
        asked.append(pose)
        return float(len(asked) == 3)

    settings = replace(Settings().start, **doubt)
    features = Descriptor("mind", None).coarse
    found = start.find_start(fixed, moving, features, settings, belief=third)
    assert len(asked) == 3
    np.testing.assert_array_equal(found.matrix, asked[-1].matrix)


def test_a_promising_pose_is_refined_again_before_others_are_looked_for(light, monkeypatch):
    fixed, moving = (prepare(image, torch.device("cpu")) for image in light)
    proposed, proposals, asked = start._proposed, [], []

    def counted(*args):
        for proposal in proposed(*args):
            proposals.append(proposal)
            yield proposal

    def belief(pose):
        asked.append(pose)
        return 0.7 if len(asked) > len(proposals[0].candidates[: proposals[0].refined]) else 0.55

    monkeypatch.setattr(start, "_proposed", counted)
    settings = replace(Settings().start, decisive=1e9)
    found = start.find_start(fixed, moving, Descriptor("mind", None).coarse, settings, belief=belief)
    assert len(proposals) == 1
    np.testing.assert_array_equal(found.matrix, asked[-1].matrix)
    moved = [apart(found, pose, fixed.grid.corners).mean() for pose in asked[:-1]]
    assert 0 < min(moved) < 8


def test_where_none_is_recognised_the_most_believed_is_taken(light):
    fixed, moving = (prepare(image, torch.device("cpu")) for image in light)
    asked = []

    def belief(pose):
        asked.append(pose)
        return 0.4 if len(asked) == 4 else 0.3

    settings = replace(Settings().start, decisive=1e9)
    found = start.find_start(fixed, moving, Descriptor("mind", None).coarse, settings, belief=belief)
    assert len(asked) > 4
    np.testing.assert_array_equal(found.matrix, asked[3].matrix)


@pytest.mark.parametrize(("elsewhere", "poses"), [(0.15, 1), (1e9, 2)])
def test_a_pose_far_better_than_its_rivals_has_to_be_promising_only(light, monkeypatch, elsewhere, poses):
    """Where nothing counts as a rival, nothing is known of the first pose, and the second is recognised."""
    fixed, moving = (prepare(image, torch.device("cpu")) for image in light)
    asked = []

    def belief(pose):
        asked.append(pose)
        return 0.55 if len(asked) == 1 else 0.7

    settings = replace(Settings().start, elsewhere=elsewhere)
    monkeypatch.setattr(start, "_decisive", lambda ranked, settings: False)
    found = start.find_start(fixed, moving, Descriptor("mind", None).coarse, settings, belief=belief)
    assert len(asked) == poses
    np.testing.assert_array_equal(found.matrix, asked[-1].matrix)
