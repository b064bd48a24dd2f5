"""Registration through the real process, against the library in this one and against SimpleITK."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.geometry import Affine, DisplacementField, Grid, to_sitk
from SynthFoundationLib.images import LabelMap, warp_labels
from SynthFoundationLib.registration import register
from SynthFoundationLib.worker.client import WorkerError

from .conftest import left, plain

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def start(pair):
    """The true pose: nothing has to be searched."""
    return pair[2].transforms[-1].matrix


@pytest.fixture(scope="module")
def events():
    return []


@pytest.fixture(scope="module")
def answer(sent, start, events):
    """What the worker answers."""

    def keep(event):
        picture = event["picture"] and Path(event["picture"]).read_bytes()
        events.append(event | {"bytes": picture})

    params = {
        "session": "a",
        "fixed": "fixed",
        "moving": "moving",
        "preset": "fast",
        "initial": start.tolist(),
    }
    return sent.call("register", params, keep)


@pytest.fixture(scope="module")
def expected(pair, start):
    """What the library finds."""
    return register(pair[0], pair[1], preset="fast", initial_transform=Affine(start), device="cpu")


@pytest.fixture(scope="module")
def points(pair):
    """Points all over the fixed scan and somewhat around it, LPS mm."""
    size = np.array(pair[0].grid.size)
    return pair[0].grid.to_physical(np.random.default_rng(0).uniform(-3, size + 3, (2000, 3)))


def rebuilt(answer):
    """The transform as any program would build it from the message, with SimpleITK."""
    affine = sitk.AffineTransform(3)
    matrix = np.array(answer["affine"])
    affine.SetMatrix(matrix[:3, :3].ravel().tolist())
    affine.SetTranslation(matrix[:3, 3].tolist())
    fields = {}
    for name in ("displacement", "inverse_displacement"):
        array, grid = answer[name]["array"], answer[name]["grid"]
        image = sitk.GetImageFromArray(np.moveaxis(array, 0, -1).astype(float), isVector=True)
        image.SetSpacing(grid["spacing"])
        image.SetOrigin(grid["origin"])
        image.SetDirection(grid["direction"])
        fields[name] = sitk.DisplacementFieldTransform(image)
    forward, backward = sitk.CompositeTransform(3), sitk.CompositeTransform(3)
    for composite, parts in (
        (forward, (affine, fields["displacement"])),  # ITK applies the last one first
        (backward, (fields["inverse_displacement"], affine.GetInverse())),
    ):
        for part in parts:
            composite.AddTransform(part)
    return forward, backward


def mapped(transform, points):
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


def test_the_transform_is_the_librarys_to_a_micrometre(answer, expected, points):
    forward, backward = rebuilt(answer)
    np.testing.assert_allclose(mapped(forward, points), expected.transform.apply(points), atol=1e-3)
    np.testing.assert_allclose(mapped(backward, points), expected.inverse.apply(points), atol=1e-3)


def test_the_answer_says_how_good_it_is(answer, pair, points):
    assert answer["verdict"] in ("good", "look closely")
    assert answer["reasons"]
    assert answer["numbers"]["folds_percent"] == 0
    assert answer["numbers"]["recognised"] > 0.8  # "auto" asks the bundled network for its verdict
    assert 0 < answer["seconds"] < 600
    inside = points[np.abs(points).max(1) < 25]
    error = np.linalg.norm(mapped(rebuilt(answer)[0], inside) - pair[2].apply(inside), axis=1)
    assert error.mean() < 1.5


def test_stages_are_told_with_pictures_that_every_program_reads(answer, events, tmp_path):
    fractions = [event["fraction"] for event in events]
    assert fractions == sorted(fractions)
    assert {"start", "linear", "discrete"} <= {event["stage"] for event in events}
    drawn = [event["bytes"] for event in events if event["bytes"]]
    assert len(drawn) >= 2
    (tmp_path / "last.png").write_bytes(drawn[-1])
    rgb = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "last.png")))
    assert rgb.shape[2] == 3
    assert rgb.shape[1] > 2 * rgb.shape[0]  # three planes side by side
    assert rgb.std() > 20


def test_no_file_is_left(answer, sent):
    assert left(sent) == []


def test_an_update_draws_landmarks_together(sent, answer, expected, points):
    places = points[np.abs(points).max(1) < 20][:4]
    targets = expected.transform.apply(places)
    targets[1] += (4.0, 0.0, 0.0)
    guides = {"fixed_landmarks": places.tolist(), "moving_landmarks": targets.tolist()}
    updated = sent.call("update_registration", {"session": "a", **guides})
    miss = np.linalg.norm(mapped(rebuilt(updated)[0], places) - targets, axis=1)
    before = np.linalg.norm(mapped(rebuilt(answer)[0], places) - targets, axis=1)
    assert miss[1] < 0.9 * before[1]
    assert updated["numbers"]["landmark_error_mm"]["after"] == pytest.approx(miss.mean(), abs=1e-2)
    stiff = sent.call("update_registration", {"session": "a", "stiffness": 50.0})
    assert stiff["numbers"]["log_jacobian_sd"] < answer["numbers"]["log_jacobian_sd"]


def test_maps_agree_with_simpleitk(sent, start, pair):
    params = {
        "session": "maps",
        "fixed": "fixed",
        "moving": "moving",
        "preset": "fast",
        "features": "mind",
        "initial": start.tolist(),
    }
    answer = sent.call("register", params)
    maps = sent.call("registration_maps", {"session": "maps", "what": ["jacobian", "confidence", "moved"]})
    field = DisplacementField(
        torch.from_numpy(answer["displacement"]["array"]), Grid(**answer["displacement"]["grid"])
    )
    image = to_sitk(field).GetDisplacementField()
    local = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image))[1:-1, 1:-1, 1:-1]
    overall = np.linalg.det(np.array(answer["affine"])[:3, :3])
    np.testing.assert_allclose(maps["jacobian"]["array"], overall * local, rtol=1e-4)
    assert maps["jacobian"]["grid"]["size"] == [n - 2 for n in field.grid.size]
    reader = sitk.GetImageFromArray(pair[1].data[0].numpy())
    grid = pair[1].grid
    reader.SetSpacing(grid.spacing)
    reader.SetOrigin(grid.origin)
    reader.SetDirection(grid.direction)
    like = sitk.GetImageFromArray(pair[0].data[0].numpy())
    like.SetSpacing(pair[0].grid.spacing)
    like.SetOrigin(pair[0].grid.origin)
    moved = sitk.GetArrayFromImage(sitk.Resample(reader, like, rebuilt(answer)[0], sitk.sitkLinear, 0.0))
    inside = moved > 100
    np.testing.assert_allclose(maps["moved"]["array"][inside], moved[inside], atol=1.0)
    sure = maps["confidence"]["array"]
    assert 0 <= sure.min() < sure.max() <= 1
    body = pair[0].data[0].numpy() > 150
    assert sure[body].mean() > 2 * sure[~body].mean()


def test_labels_and_points_are_carried(sent, answer, pair, expected):
    sent.call("update_registration", {"session": "a"})
    fixed, moving, _ = pair
    labels = (1 + (moving.data[0] > 300) + 300 * (moving.data[0] > 500)).numpy().astype(np.uint16)
    carried = sent.call("carry_labels", {"session": "a", "array": labels, "grid": plain(moving.grid)})
    current = sent.call("registration_maps", {"session": "a", "what": ["jacobian"]})  # the session is open
    assert current
    wanted = warp_labels(
        LabelMap(torch.from_numpy(labels.astype(np.int32)), moving.grid), expected.transform, fixed.grid
    )
    assert carried["array"].shape == fixed.grid.shape
    assert set(np.unique(carried["array"])) <= {0, 1, 2, 302}
    assert (carried["array"] == wanted.data.numpy()).mean() > 0.97
    there = [[5.0, -3.0, 8.0], [0.0, 0.0, 0.0]]
    back = sent.call("carry_points", {"session": "a", "points": there, "to": "moving"})["points"]
    again = sent.call("carry_points", {"session": "a", "points": back})["points"]
    np.testing.assert_allclose(again, there, atol=0.3)


def test_a_rigid_transform_has_no_field(sent, start):
    params = {"session": "rigid", "fixed": "fixed", "moving": "moving", "transform": "rigid"}
    answer = sent.call("register", params | {"preset": "fast", "features": "mind", "initial": start.tolist()})
    turn = np.array(answer["affine"])[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)
    assert answer["displacement"] is answer["inverse_displacement"] is None
    assert sent.call("close_registration", {"session": "rigid"}) == {"closed": True}
    with pytest.raises(WorkerError, match="no registration session 'rigid'") as error:
        sent.call("update_registration", {"session": "rigid"})
    assert error.value.missing == {"registration session": "rigid"}


def test_masks_are_taken_on_the_grid_of_their_scan(sent, pair, start):
    fixed = pair[0]
    params = {
        "session": "masked",
        "fixed": "fixed",
        "moving": "moving",
        "transform": "rigid",
        "preset": "fast",
        "features": "mind",
    }
    params["initial"] = start.tolist()
    mask = np.zeros(fixed.grid.shape, bool)
    with pytest.raises(WorkerError, match="mask is empty"):
        sent.call("register", params | {"fixed_mask": mask})
    with pytest.raises(WorkerError, match="shape"):
        sent.call("register", params | {"fixed_mask": mask[1:]})
    mask[8:40, 8:40, 8:40] = True
    assert sent.call("register", params | {"fixed_mask": mask})["verdict"] != "failed"
    assert left(sent) == []
