"""Padding: around a patient, and around a field of view that lay otherwise."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, foreground
from SynthFoundationLib.images.field_of_view import is_field_of_view
from SynthFoundationLib.images.padding import is_padding, padding_values

SHAPE = (60, 70, 80)


def places():
    """Voxel places (D, H, W, 3) about the middle."""
    return np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij"), -1)


def box(degrees, half):
    turned = places() @ Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    return (np.abs(turned) <= half).all(-1)


def ellipsoid(half):
    return (np.square(places() / half).sum(-1)) <= 1


def cylinder(degrees, radius, half, oval=1.0, spacing=(1, 1, 1)):
    """About the slices' axis, spacing in (i, j, k)."""
    turned = places() * spacing[::-1] @ Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    along, *across = np.moveaxis(turned, -1, 0)
    return (np.hypot(across[0] / oval, across[1]) <= radius) & (np.abs(along) <= half)


@pytest.mark.parametrize("degrees", [(0, 0, 0), (4, 0, 0), (20, -30, 25), (45, 45, 0)])
@pytest.mark.parametrize("half", [(20, 20, 20), (6, 18, 28), (10, 30, 90)])
def test_a_box_that_lies_anyhow_is_a_field_of_view(degrees, half):
    assert is_field_of_view(torch.from_numpy(box(degrees, half)), (1, 1, 1))


@pytest.mark.parametrize("degrees", [(0, 0, 0), (10, 0, 0), (25, -10, 30)])
@pytest.mark.parametrize(
    ("radius", "half"),
    [(15, 12), (25, 22), (25, 90), (38, 90)],
    ids=["small", "cone beam", "through all slices", "corners cut off"],
)
def test_a_cylinder_that_lies_anyhow_is_one(degrees, radius, half):
    assert is_field_of_view(torch.from_numpy(cylinder(degrees, radius, half)), (1, 1, 1))


@pytest.mark.parametrize(("spacing", "radius"), [((2, 2, 5), 60), ((1, 1.5, 1), 35)])
def test_it_is_round_in_mm(spacing, radius):
    held = torch.from_numpy(cylinder((0, 0, 0), radius, 90, spacing=spacing))
    assert is_field_of_view(held, spacing)
    assert not is_field_of_view(held, (1, 2, 1))


@pytest.mark.parametrize(
    "held",
    [
        ellipsoid((25, 30, 35)),
        ellipsoid((25, 30, 35)) & (places()[..., 0] > -10),
        ellipsoid((45, 30, 35)),
        box((0, 0, 0), (24, 8, 10)) | box((0, 0, 0), (8, 24, 10)),
        ellipsoid((14, 30, 14)) | box((0, 0, 0), (25, 10, 10)),
        np.ones(SHAPE, bool),
        np.zeros(SHAPE, bool),
        places()[..., 0] == 0.5,
        cylinder((0, 0, 0), 28, 90, oval=0.85),
        (ellipsoid((90, 28, 33)) & (np.abs(places()[..., 0]) < 4))[26:34],
    ],
    ids=[
        "head",
        "head with a cut",
        "head without a crown",
        "cross",
        "patient",
        "all",
        "nothing",
        "a slice",
        "trunk",
        "slices of a head",
    ],
)
def test_outlines_of_patients_are_none(held):
    assert not is_field_of_view(torch.from_numpy(held), (1, 1, 1))


@pytest.mark.parametrize("value", [-1024.0, 0.0, 40.0])
@pytest.mark.parametrize("degrees", [(10, 0, 0), (-15, 20, 15)])
def test_what_a_turned_scan_was_filled_up_with_is_found_whatever_the_value(value, degrees):
    """SimpleITK turns it, and says where it has no picture; the value is also found inside."""
    rng = np.random.default_rng(0)
    tissue = np.rint(rng.normal(0, 60, SHAPE))
    scan = sitk.GetImageFromArray(tissue)
    turn = sitk.Euler3DTransform([(n - 1) / 2 for n in SHAPE[::-1]], *np.deg2rad(degrees).tolist())
    filled = sitk.Resample(scan, turn, sitk.sitkNearestNeighbor, value)
    empty = sitk.GetArrayFromImage(sitk.Resample(scan * 0 + 1, turn, sitk.sitkNearestNeighbor, 0)) == 0
    volume = torch.from_numpy(sitk.GetArrayFromImage(filled)).float()
    found = is_padding(volume, (1, 1, 1)).numpy()
    assert 0.03 < empty.mean() < 0.5
    assert found[empty].all()
    assert (found & ~empty).mean() < 0.001
    assert is_field_of_view(torch.from_numpy(~found), (1, 1, 1))


def test_what_lies_around_a_reconstructed_circle_is_padding_though_a_patient_fills_it():
    scan = torch.from_numpy(np.random.default_rng(0).normal(0, 60, SHAPE)).float()
    held = torch.from_numpy(cylinder((0, 0, 0), 34, 90))
    found = is_padding(torch.where(held, scan, 300.0), (1, 1, 1))
    assert torch.equal(found, ~held)


def test_a_value_that_fills_a_patient_is_none():
    volume = torch.where(torch.from_numpy(ellipsoid((25, 30, 35))), 100.0, 20.0)
    volume[::3, ::3, ::3] = 0
    assert padding_values(volume) == []
    assert not is_padding(volume, (1, 1, 1)).any()
    assert is_padding(volume.clamp_min(20), (1, 1, 1)).sum() == (volume < 100).sum()


def test_the_patient_is_not_what_surrounds_the_field_of_view():
    """A turned CT filled up with 0, brighter than its air: the head inside is found as before."""
    inside, head = box((15, -15, 15), (24, 28, 32)), ellipsoid((14, 16, 18))
    noise = np.random.default_rng(0).normal(0, 10, SHAPE)
    volume = np.where(head, 40.0, -1000.0) + noise
    filled = np.where(inside, volume, 0.0).astype(np.float32)[None]
    found = foreground(Image(torch.from_numpy(filled), Grid(SHAPE[::-1], (2.0, 2.0, 2.0)))).numpy()
    assert 2 * (found & head).sum() / (found.sum() + head.sum()) > 0.9
    assert not found[~inside].any()
