"""`register` from end to end on the demo's small pair, whose true transform is known."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.geometry import Affine, Composite, Grid, resample, write_transform
from SynthFoundationLib.images import Image, LabelMap, to_sitk
from SynthFoundationLib.registration import PRESETS, register
from SynthFoundationLib.registration.landmarks import landmark_error


def test_two_contrasts_are_aligned_to_half_a_voxel(pair, body, result):
    truth = pair[2].apply(body)
    assert landmark_error(Affine(), body, truth) > 5
    assert landmark_error(result.transform, body, truth) < 1.0  # of voxels of 2 mm


def test_no_voxel_folds_by_differences_of_the_written_map(result):
    grid = result.fixed.grid
    points = grid.to_physical(np.moveaxis(np.indices(grid.shape)[::-1], 0, -1).reshape(-1, 3))
    mapped = result.transform.apply(points).reshape(*grid.shape, 3)
    slopes = [np.gradient(mapped, grid.spacing[a], axis=2 - a) for a in range(3)]
    assert np.linalg.det(np.stack(slopes, -1)).min() > 0.05
    assert result.report["folds_percent"] == 0


def test_the_inverse_leads_back(body, result):
    there_and_back = result.inverse.apply(result.transform.apply(body))
    distance = np.linalg.norm(there_and_back - body, axis=1)
    assert distance.max() < 0.2
    assert distance.mean() == pytest.approx(result.report["inverse_consistency_mm"], abs=0.05)


def test_simpleitk_maps_points_like_the_result(body, result, tmp_path):
    for name, transform in (("transform", result.transform), ("inverse", result.inverse)):
        write_transform(transform, tmp_path / f"{name}.h5")
        read = sitk.ReadTransform(str(tmp_path / f"{name}.h5"))
        expected = [read.TransformPoint(point) for point in body[::9].tolist()]
        np.testing.assert_allclose(transform.apply(body[::9]), expected, atol=1e-3)


def test_the_moved_image_resembles_the_fixed_one(pair, result):
    """T2 signal of the same tissue: the true transform's resampling is what it has to look like."""
    fixed, moving, truth = pair
    wanted = resample(moving.data, moving.grid, fixed.grid, truth)[0].flatten()
    before = resample(moving.data, moving.grid, fixed.grid)[0].flatten()
    after = result.moved.data[0].flatten()
    correlation = [float(torch.corrcoef(torch.stack((wanted, x)))[0, 1]) for x in (before, after)]
    assert correlation[1] > 0.95 > correlation[0]
    assert result.moved.grid == fixed.grid


def test_the_report_is_plain_and_complete(result):
    report = json.loads(json.dumps(result.report))
    names = [stage["name"] for stage in report["stages"]]
    assert names[:4] == ["start", "linear", "features", "discrete"]
    assert report["similarity"]["after"] > report["similarity"]["before"]
    assert {"seconds", "peak_memory_mb", "log_jacobian_sd", "versions", "weights", "seed"} <= set(report)


def test_the_network_recognises_the_anatomy_only_where_it_is(pair, brief):
    fixed, moving, _ = pair
    turned = np.eye(4)
    turned[:3, :3] = np.diag((1.0, -1.0, -1.0))
    turned[:3, 3] = moving.grid.center - turned[:3, :3] @ fixed.grid.center
    options = {"settings": brief, "transform": "rigid", "initial_transform": Affine(turned)}
    upside_down = register(fixed, moving, **options).report["recognised"]
    upright = register(fixed, moving, settings=brief, transform="rigid").report["recognised"]
    # The head is nearly round: real anatomy is told apart more clearly (Testing/Benchmarks/recognition.py).
    assert upside_down < 0.92 < 0.95 < upright < 1
    assert register(fixed, moving, features="mind", **options).report["recognised"] is None


def test_the_same_seed_gives_the_same_bytes(pair, brief):
    first, second = (register(pair[0], pair[1], settings=brief, features="mind", seed=3) for _ in range(2))
    for a, b in zip(first.transform.transforms, second.transform.transforms, strict=True):
        key = "matrix" if isinstance(a, Affine) else "data"
        assert np.asarray(getattr(a, key)).tobytes() == np.asarray(getattr(b, key)).tobytes()
    assert torch.equal(first.moved.data, second.moved.data)


def test_no_global_random_state_is_touched(pair, brief):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    register(
        pair[0],
        pair[1],
        settings=brief,
        features="mind",
        transform="affine",
        initial_transform=Affine(),
        seed=5,
    )
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", ["rigid", "affine"])
def test_linear_kinds_give_one_matrix(pair, body, kind):
    found = register(pair[0], pair[1], transform=kind, features="mind")
    assert all(isinstance(part, Affine) for part in found.transform.transforms)
    linear = np.linalg.multi_dot([np.eye(4), *(p.matrix for p in reversed(found.transform.transforms))])
    if kind == "rigid":
        np.testing.assert_allclose(linear[:3, :3] @ linear[:3, :3].T, np.eye(3), atol=1e-5)
    truth = pair[2].apply(body)
    before = landmark_error(Affine(), body, truth)
    assert landmark_error(found.transform, body, truth) < before / 3  # what is left is the bend
    np.testing.assert_allclose(found.inverse.apply(found.transform.apply(body)), body, atol=1e-3)


FAR = np.eye(4)
FAR[:3, :3] = np.diag((-1.0, -1.0, 1.0))
FAR[:3, 3] = (300.0, -500.0, 200.0)


@pytest.mark.parametrize("form", ["matrix", "file", "with a field"])
def test_an_initial_transform_replaces_the_search(pair, body, brief, tmp_path, form):
    """The moving scan lies half a metre away and upside down: only who honours the start arrives there."""
    fixed, moving, truth = pair
    matrix = FAR @ moving.grid.matrix
    axes = matrix[:3, :3] / moving.grid.spacing
    away = Image(moving.data, Grid(moving.grid.size, moving.grid.spacing, matrix[:3, 3], axes.ravel()))
    field, pose = truth.transforms
    initial = Affine(FAR @ pose.matrix)
    if form == "with a field":
        initial = Composite([field, initial])
    if form == "file":
        write_transform(initial, tmp_path / "start.h5")
        initial = tmp_path / "start.h5"
    found = register(fixed, away, settings=brief, features="mind", initial_transform=initial)
    target = Affine(FAR).apply(truth.apply(body))
    assert landmark_error(found.transform, body, target) < 1.2
    np.testing.assert_allclose(found.inverse.apply(found.transform.apply(body)), body, atol=0.3)


def test_landmarks_start_and_draw(pair, body, brief):
    """Eight pairs, one of them displaced by 5 mm on purpose, which is believed against the images."""
    fixed, moving, truth = pair
    places = body[:: len(body) // 8][:8]
    targets = truth.apply(places)
    targets[3] += (5.0, 0.0, 0.0)
    without = register(fixed, moving, settings=brief, features="mind")
    with_them = register(
        fixed, moving, settings=brief, features="mind", fixed_landmarks=places, moving_landmarks=targets
    )
    errors = [np.linalg.norm(r.transform.apply(places) - targets, axis=1) for r in (without, with_them)]
    assert errors[0][3] > 4
    assert errors[1].max() < 1.0
    told = with_them.report["landmark_error_mm"]
    assert told["after"] == pytest.approx(errors[1].mean(), abs=1e-6)
    assert told["before"] == pytest.approx(np.linalg.norm(places - targets, axis=1).mean(), abs=1e-6)
    assert with_them.report["folds_percent"] == 0


def test_masks_keep_what_is_outside_from_pulling(pair, body, brief):
    """A bright slab that only the moving scan has, as from a device, is masked out."""
    fixed, moving, truth = pair
    spoiled = moving.data.clone()
    spoiled[:, :, :12] = spoiled.max() * (0.5 + 0.5 * torch.rand(spoiled[:, :, :12].shape).round())
    kept = torch.ones(moving.grid.shape, dtype=torch.int32)
    kept[:, :14] = 0
    image, mask = Image(spoiled, moving.grid), LabelMap(kept, moving.grid)
    pose = truth.transforms[-1]
    found = register(fixed, image, settings=brief, features="mind", moving_mask=mask, initial_transform=pose)
    inside = moving.grid.to_index(truth.apply(body))[:, 1] > 17
    error = np.linalg.norm(found.transform.apply(body[inside]) - truth.apply(body[inside]), axis=1)
    assert inside.sum() > 200
    assert error.mean() < 1.2


def test_several_contrasts_count_together(pair, body, brief):
    fixed, moving, truth = pair
    noise = torch.Generator().manual_seed(0)
    blanks = [Image(100 * torch.rand(x.data.shape, generator=noise), x.grid) for x in (fixed, moving)]
    sides = [[blank, image] for blank, image in zip(blanks, (fixed, moving), strict=True)]
    found = register(*sides, settings=brief, features="mind", initial_transform=truth.transforms[-1])
    assert found.moved.channels == 2
    assert landmark_error(found.transform, body, truth.apply(body)) < 1.5


def test_every_way_to_give_an_image_is_the_same(pair, brief, tmp_path):
    fixed, moving, truth = pair
    options = {
        "settings": brief,
        "features": "mind",
        "transform": "rigid",
        "initial_transform": truth.transforms[-1],
    }
    sitk.WriteImage(to_sitk(fixed), str(tmp_path / "fixed.nrrd"))
    found = [
        register(fixed, moving, **options),
        register((fixed.data[0].numpy(), fixed.grid), (moving.data[0].numpy(), moving.grid), **options),
        register(tmp_path / "fixed.nrrd", to_sitk(moving), **options),
    ]
    for other in found[1:]:
        np.testing.assert_allclose(
            other.transform.transforms[0].matrix, found[0].transform.transforms[0].matrix, atol=1e-4
        )


def test_symmetric_registrations_of_exchanged_images_are_inverse(pair, body, brief):
    fixed, moving, truth = pair
    pose = truth.transforms[-1]
    there = register(fixed, moving, settings=brief, features="mind", symmetric=True, initial_transform=pose)
    back = register(
        moving, fixed, settings=brief, features="mind", symmetric=True, initial_transform=pose.inverse()
    )
    round_trip = back.transform.apply(there.transform.apply(body))
    assert np.linalg.norm(round_trip - body, axis=1).mean() < 1.0


def test_presets_differ_and_have_the_names_of_the_command_line():
    assert list(PRESETS) == ["fast", "default", "accurate"]
    voxels = [settings.deformable.voxels for settings in PRESETS.values()]
    assert voxels == sorted(set(voxels))
