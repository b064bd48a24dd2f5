"""A session: told while it works, stopped at once, brought up to date."""

import time

import numpy as np
import pytest

from SynthFoundationLib.errors import Cancelled, InputError
from SynthFoundationLib.geometry import Affine, Composite
from SynthFoundationLib.images import LabelMap
from SynthFoundationLib.registration import RegistrationSession, register
from SynthFoundationLib.registration.landmarks import landmark_error


@pytest.fixture(scope="module")
def told():
    """What the session below said while it ran."""
    return {"progress": [], "states": []}


@pytest.fixture(scope="module")
def session(pair, told):
    """A session that has been run."""
    session = RegistrationSession(pair[0], pair[1], features="mind")
    session.run(
        progress=lambda stage, fraction: told["progress"].append((stage, fraction, time.perf_counter())),
        on_state=lambda stage, transform: told["states"].append((stage, transform)),
    )
    return session


def places_and_targets(session, body, drag):
    """One place in the middle of the ball, and where it went without help, dragged by so many mm."""
    place = body[np.linalg.norm(body - body.mean(0), axis=1).argmin()][None]
    return place, session.update().transform.apply(place) + drag


def test_a_session_run_once_is_what_register_does(session, result, body):
    again = session.run()
    np.testing.assert_array_equal(again.transform.apply(body), result.transform.apply(body))


def test_progress_rises_and_never_pauses_long(session, told):
    fractions = [fraction for _, fraction, _ in told["progress"]]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] <= 1
    pauses = np.diff([when for _, _, when in told["progress"]])
    assert np.median(pauses) < 0.5


def test_each_stage_shows_a_transform_that_comes_nearer(session, told, pair, body):
    stages = [stage for stage, _ in told["states"]]
    assert stages == ["start", "linear", "discrete", "deformable 1", "deformable 2", "deformable 3"]
    errors = [landmark_error(transform, body, pair[2].apply(body)) for _, transform in told["states"]]
    assert errors[0] > errors[1] > errors[-1]
    assert errors[-1] < 1.0


@pytest.mark.parametrize("stage", ["start", "linear", "features", "deformable 2"])
def test_who_watches_can_stop_it_anywhere_and_go_on_later(pair, body, brief, stage):
    def stop(now, fraction):
        if now == stage:
            raise Cancelled("stopped")

    session = RegistrationSession(
        pair[0], pair[1], settings=brief, features="mind", initial_transform=pair[2].transforms[-1]
    )
    with pytest.raises(Cancelled):
        session.run(progress=stop)
    result = session.update()
    whole = register(
        pair[0], pair[1], settings=brief, features="mind", initial_transform=pair[2].transforms[-1]
    )
    np.testing.assert_allclose(result.transform.apply(body), whole.transform.apply(body), atol=1e-4)


def test_an_update_takes_none_of_the_stages_that_are_done(session):
    names = [stage["name"] for stage in session.update().report["stages"]]
    assert names == ["features", "deformable 3", "folds"]


def test_an_update_without_news_stays_where_it_was(session, result, body):
    moved = session.update().transform.apply(body) - result.transform.apply(body)
    assert np.linalg.norm(moved, axis=1).mean() < 0.2


@pytest.mark.parametrize("drag", [(5.0, 0, 0), (0, 0, -5.0), (0, 8.0, 0)])
def test_a_dragged_landmark_takes_the_image_along_and_only_nearby(session, body, drag):
    before = session.update()
    place, target = places_and_targets(session, body, drag)
    after = session.update(fixed_landmarks=place, moving_landmarks=target)
    assert landmark_error(after.transform, place, target) < 1.0
    assert after.report["folds_percent"] == 0
    moved = np.linalg.norm(after.transform.apply(body) - before.transform.apply(body), axis=1)
    distance = np.linalg.norm(body - place, axis=1)
    assert moved[distance < 5].mean() > 0.5 * np.linalg.norm(drag)
    assert moved[distance > 20].mean() < 0.5
    np.testing.assert_allclose(after.inverse.apply(after.transform.apply(body)), body, atol=1.0)


def test_a_landmark_that_is_taken_back_leaves_no_trace(session, body):
    before = session.update()
    place, target = places_and_targets(session, body, (6.0, 0, 0))
    session.update(fixed_landmarks=place, moving_landmarks=target)
    moved = session.update().transform.apply(body) - before.transform.apply(body)
    assert np.linalg.norm(moved, axis=1).max() < 0.5


def test_landmarks_that_agree_with_the_images_change_little(session, pair, body):
    before = landmark_error(session.update().transform, body, pair[2].apply(body))
    places = body[:: len(body) // 6][:6]
    found = session.update(fixed_landmarks=places, moving_landmarks=pair[2].apply(places))
    assert landmark_error(found.transform, body, pair[2].apply(body)) < before + 0.02


def test_landmarks_that_contradict_the_pose_place_the_scan_anew(pair, body, brief):
    session = RegistrationSession(pair[0], pair[1], settings=brief, features="mind")
    session.run()
    wrong = np.eye(4)
    wrong[:3, 3] = (0.0, 40.0, 0.0)
    session._pose = session._pose._replace(affine=Affine(wrong))
    session._features = session._whole = session._searched = session._settled = None
    assert landmark_error(session.update().transform, body, pair[2].apply(body)) > 20
    places = body[:: len(body) // 6][:6]
    guides = {"fixed_landmarks": places, "moving_landmarks": pair[2].apply(places)}
    found = session.update(**guides)
    assert landmark_error(found.transform, body, pair[2].apply(body)) < 2
    assert found.report["stages"][0]["name"] == "start"
    assert session.update(**guides).report["stages"][0]["name"] != "start"


def test_stiffness_holds_back_and_softness_lets_go(session, body):
    place, target = places_and_targets(session, body, (5.0, 0, 0))
    spread, left = [], []
    for stiffness in (0.3, 1.0, 1000.0):
        found = session.update(fixed_landmarks=place, moving_landmarks=target, stiffness=stiffness)
        spread.append(found.report["log_jacobian_sd"])
        left.append(landmark_error(found.transform, place, target))
    assert spread[0] > spread[1] > spread[2]
    assert left[0] < left[1] < left[2]


def test_a_mask_set_later_counts(session, pair, body):
    """Where nothing is to be compared, nothing pulls: the field differs there, and not elsewhere."""
    fixed = pair[0]
    kept = np.ones(fixed.grid.shape, np.int32)
    kept[:, :, 24:] = 0
    before = session.update()
    after = session.update(fixed_mask=LabelMap(kept, fixed.grid))
    assert [stage["name"] for stage in after.report["stages"]] == ["features", "deformable 3", "folds"]
    moved = np.linalg.norm(after.transform.apply(body) - before.transform.apply(body), axis=1)
    index = fixed.grid.to_index(body)[:, 0]
    assert moved[index > 30].mean() > 2 * moved[index < 18].mean()
    session.update()


def test_a_mask_taken_away_brings_back_what_it_hid(pair, body, brief):
    fixed = pair[0]
    kept = np.zeros(fixed.grid.shape, np.int32)
    kept[14:34, 14:34, 14:34] = 1
    options = {"settings": brief, "features": "mind", "initial_transform": pair[2].transforms[-1]}
    session = RegistrationSession(fixed, pair[1], **options)
    masked = session.run(fixed_mask=LabelMap(kept, fixed.grid))
    whole = session.update()
    unmasked = RegistrationSession(fixed, pair[1], **options).run().transform.apply(body)
    assert landmark_error(whole.transform, body, pair[2].apply(body)) < 1.2
    near, far = (landmark_error(found.transform, body, unmasked) for found in (whole, masked))
    assert near < 0.5 * far


@pytest.mark.parametrize("kind", ["rigid", "affine"])
def test_landmarks_draw_a_linear_transform_softly_and_let_go_again(pair, body, kind):
    session = RegistrationSession(
        pair[0], pair[1], transform=kind, features="mind", initial_transform=pair[2].transforms[-1]
    )
    before = session.run()
    places = body[:: len(body) // 5][:5]
    targets = before.transform.apply(places) + np.array([0.0, 6.0, 0.0])
    drawn = session.update(fixed_landmarks=places, moving_landmarks=targets)
    assert isinstance(drawn.transform, Composite)
    assert all(isinstance(part, Affine) for part in drawn.transform.transforms)
    assert 0.5 < landmark_error(drawn.transform, places, targets) < 5.0
    back = session.update()
    assert landmark_error(back.transform, body, before.transform.apply(body)) < 0.4


@pytest.mark.parametrize("stiffness", [0, -1.0, float("nan"), float("inf")])
def test_a_stiffness_that_is_none_is_refused(session, stiffness):
    with pytest.raises(InputError, match="positive number"):
        session.update(stiffness=stiffness)
