"""A scan from which something was removed, as a skull or a face; outlines that fit only when stretched."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from variants import apart, defaced, peeled, shown

from SynthFoundationLib.geometry import Affine, Grid
from SynthFoundationLib.images import Image
from SynthFoundationLib.registration import RegistrationSession, register
from SynthFoundationLib.registration.information import BINS, mutual_information
from SynthFoundationLib.registration.pose import Pose
from SynthFoundationLib.registration.scan import cut_away, prepare
from SynthFoundationLib.registration.size import believed, growth_of, without_stretch

RIM = 0.12  # of the small ball's length: some 9 mm


def everywhere(values):
    return torch.ones(1, *values.shape[1:])


def test_values_of_equal_levels_tell_all_of_their_permutation():
    one = torch.arange(4).repeat(250).view(1, 10, 10, 10) / 3
    assert mutual_information(one, 1 - one, everywhere(one)) == pytest.approx(math.log(4))
    assert mutual_information(one, one * 0, everywhere(one)) == 0


def test_mutual_information_is_that_of_the_joint_histogram():
    rng = np.random.default_rng(0)
    one = rng.uniform(size=8000)
    other = np.clip(one**2 + rng.normal(0, 0.1, 8000), 0, 1)
    bins = [np.rint(values * (BINS - 1)) for values in (one, other)]
    joint = np.histogram2d(*bins, bins=BINS, range=[(-0.5, BINS - 0.5)] * 2)[0]
    expected = stats.entropy(joint.sum(0)) + stats.entropy(joint.sum(1)) - stats.entropy(joint.ravel())
    a, b = (torch.from_numpy(values).float().view(1, 20, 20, 20) for values in (one, other))
    assert mutual_information(a, b, everywhere(a)) == pytest.approx(expected, rel=0.01)
    assert mutual_information(a, b, 0 * everywhere(a)) == 0
    both = mutual_information(torch.cat((a, a)), torch.cat((b, a)), everywhere(a))
    each = mutual_information(a, b, everywhere(a)), mutual_information(a, a, everywhere(a))
    assert both == pytest.approx(sum(each) / 2)


def stretched(*factors):
    return Pose(Affine(np.diag([*factors, 1.0])))


def test_a_small_stretch_is_taken_without_asking():
    def never(*_):
        raise AssertionError("nobody has to be asked")

    pose = stretched(1.1, 0.95, 1.0)
    assert believed(pose, never, never, never) is pose


@pytest.mark.parametrize("factor", [0.8, 1.25])
@pytest.mark.parametrize(
    ("share_gained", "bare", "taken"),
    [(2.0, False, True), (1.35, False, True), (0.5, False, False), (1.35, True, False), (2.0, True, True)],
)
def test_a_stretch_has_to_be_worth_it(factor, share_gained, bare, taken):
    pose, rigid = stretched(factor, factor, factor), stretched(1, 1, 1)
    assert growth_of(pose) == pytest.approx(math.log(factor))
    gain = math.exp(share_gained * abs(math.log(factor)))

    def information(transform):
        return 0.2 * gain if transform.transforms[0] is pose.affine else 0.2

    def is_bare(transform):
        return bare and transform.transforms[0] is rigid.affine

    assert believed(pose, lambda: rigid, information, is_bare) is (pose if taken else rigid)


def test_without_its_stretch_a_pose_turns_alike_and_keeps_the_middle():
    turn = np.eye(4)
    turn[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    turn[:3, 3] = (5, 7, 9)
    middle = np.array((10.0, 20.0, 30.0))
    found = without_stretch(Pose(Affine(turn @ np.diag((1.2, 1.2, 1.2, 1)))), middle)
    np.testing.assert_allclose(found.affine.matrix[:3, :3], turn[:3, :3], atol=1e-12)
    np.testing.assert_allclose(found.affine.apply(middle[None])[0], turn[:3, :3] @ (1.2 * middle) + (5, 7, 9))


def ball(radius, air):
    """A noisy ball of that radius in air that is measured, or in padding."""
    grid = Grid((40, 40, 40), (2, 2, 2), (-39, -39, -39))
    z, y, x = np.meshgrid(*[np.arange(40) * 2.0 - 39] * 3, indexing="ij")
    rng = np.random.default_rng(0)
    inside = x**2 + y**2 + z**2 < radius**2
    values = np.where(inside, rng.uniform(80, 120, inside.shape), air * rng.uniform(1, 2, inside.shape))
    return Image(torch.from_numpy(values[None].astype(np.float32)), grid)


def lost(scan, other):
    return cut_away(scan, other.body_on(scan.grid))


@pytest.mark.parametrize(
    ("small", "large", "cut"),
    [((20, 0), (34, 1), True), ((20, 1), (34, 1), False), ((32, 0), (34, 0), False)],
)
def test_padding_beside_the_other_patient_was_cut_away(small, large, cut):
    inner, outer = (prepare(ball(*which), torch.device("cpu")) for which in (small, large))
    assert (lost(inner, outer) is not None) == cut
    assert lost(outer, inner) is None


def test_where_a_face_was_removed_that_part_alone_does_not_count():
    whole, without = (
        prepare(image, torch.device("cpu")) for image in (ball(34, 0), defaced(ball(34, 0), 0.1))
    )
    part = lost(without, whole)
    gone = whole.held * (1 - without.held.float())
    assert float((part.data * gone).sum()) > 0.9 * float(gone.sum())
    assert float(part.data.sum()) < 1.3 * float(gone.sum())
    assert lost(whole, without) is None
    filled = without.continued(part)
    torch.testing.assert_close(filled.mask, 1 - part.data * (1 - without.held.float()))
    assert torch.equal(filled.data[part.data == 0], without.data[part.data == 0])
    assert float(filled.data[part.data > 0].mean()) > 0.3 > float(without.data[part.data > 0].mean())


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(("removed", "share"), [(peeled, RIM), (defaced, 0.15)])
def test_what_was_removed_from_one_scan_draws_nothing(pair, body, result, side, removed, share):
    images = list(pair[:2])
    images[side] = removed(images[side], share)
    found = register(*images, features="mind")
    truth = pair[2]
    inside = shown(images[side], body if side == 0 else truth.apply(body), patient_only=True)
    assert inside.sum() > 100
    whole = apart(result.transform, truth, body[inside]).mean()
    assert apart(found.transform, truth, body[inside]).mean() < whole + 0.5
    assert found.report["similarity"]["after"] > 0.5


def test_the_report_tells_the_size_that_was_taken_and_the_one_that_was_not(pair, monkeypatch):
    larger = Affine(np.diag((1.1, 1.1, 1.1, 1.0)))
    given = RegistrationSession(*pair[:2], transform="affine", features="mind", initial_transform=larger)
    monkeypatch.setattr("SynthFoundationLib.registration.session.refine_pose", lambda *sides: sides[5])
    told = given.run().report
    assert told["stretch"] == pytest.approx(1.1)
    assert told["stretch_not_taken"] is None
    free = RegistrationSession(*pair[:2], transform="affine", features="mind")
    monkeypatch.setattr("SynthFoundationLib.registration.session.first_pose", lambda *_: Pose(larger))
    monkeypatch.setattr("SynthFoundationLib.registration.quality.Look.information", lambda *_: 0.2)
    told = free.run().report
    assert told["stretch"] == pytest.approx(1.0)
    assert told["stretch_not_taken"] == pytest.approx(1.1)


def test_the_bend_says_what_the_grey_values_gain(pair):
    session = RegistrationSession(*pair[:2], features="mind")
    told = session.run().report["information"]
    assert told["after"] > told["before"] > 0
    assert register(*pair[:2], features="mind", transform="rigid").report["information"] is None
