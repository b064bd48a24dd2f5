"""The linear part of a registration: what holds its stretch back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from SynthFoundationLib.geometry import Affine
from SynthFoundationLib.registration import Settings, pose
from SynthFoundationLib.registration.comparison import Descriptor
from SynthFoundationLib.registration.course import silent
from SynthFoundationLib.registration.pose import Pose, first_pose, refine_pose
from SynthFoundationLib.registration.scan import prepare

STRETCHED = Affine(np.diag((1.1, 1.0, 0.95, 1.0)))


def stretches(affine):
    return np.linalg.svd(affine.matrix[:3, :3])[1]


@pytest.fixture(scope="module")
def sides(pair):
    """Both scans and what compares them, nothing being stretched beyond where its resistance begins."""
    settings = replace(Settings(), linear=replace(Settings().linear, stiffness=1e6))
    scans = (prepare(image, torch.device("cpu")) for image in pair[:2])
    return *scans, Descriptor("mind", None), settings


@pytest.mark.parametrize(("sized", "expected"), [(None, (1.1, 1.0, 0.95)), (Affine(), (1.0, 1.0, 1.0))])
def test_resistance_begins_at_the_map_or_at_what_is_said_of_its_size(sides, sized, expected):
    found = refine_pose(*sides, "affine", Pose(STRETCHED, sized=sized), None, silent)
    np.testing.assert_allclose(stretches(found.affine), expected, atol=2e-3)


def test_a_start_that_was_found_says_how_large_but_not_in_what_shape(sides, monkeypatch):
    monkeypatch.setattr(pose, "find_start", lambda *_: STRETCHED)
    found = first_pose(*sides, "affine", None, None, silent)
    mean = (1.1 * 0.95) ** (1 / 3)
    np.testing.assert_array_equal(found.affine.matrix, STRETCHED.matrix)
    np.testing.assert_allclose(found.sized.matrix, np.diag((mean, mean, mean, 1.0)), atol=1e-12)


def test_one_that_was_given_is_believed_as_it_is(sides):
    given = first_pose(*sides, "affine", STRETCHED, None, silent)
    assert (given.affine, given.sized) == (STRETCHED, None)
