"""A scan that shows a small part of the other is compared where both are, on voxels that suit it."""

import numpy as np
import pytest
import torch
from variants import apart, organ

from SynthFoundationLib.geometry import Affine, Grid
from SynthFoundationLib.registration import RegistrationSession
from SynthFoundationLib.registration.comparison import Descriptor
from SynthFoundationLib.registration.quality import Look
from SynthFoundationLib.registration.scan import Scan, prepare, shared_domain, shared_part


def scan(size, spacing, centre, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    """A scan filled by the patient, its middle at a place in LPS mm."""
    grid = Grid(size, spacing, (0, 0, 0), direction)
    grid = Grid(size, spacing, tuple(np.array(centre) - grid.center), direction)
    data = torch.ones(1, *grid.shape)
    return Scan(data, grid, *[data] * 3)


@pytest.fixture(scope="module")
def piece(pair):
    """A cube of the moving scan, half as long as the patient."""
    return organ(pair[1], 0.5, (0.3, -0.3, 0.0))


@pytest.fixture(scope="module")
def seen(pair, body, piece):
    """Points (N, 3) of the fixed scan that the piece shows."""
    index = piece.grid.to_index(pair[2].apply(body))
    return body[((index >= 2) & (index <= np.array(piece.grid.size) - 3)).all(1)]


@pytest.fixture(scope="module")
def session(pair, piece):
    """The piece registered."""
    session = RegistrationSession(pair[0], piece, features="mind")
    session.run()
    return session


def test_the_part_is_the_box_that_the_moving_scan_fills_and_a_margin():
    tilt = np.eye(4)
    tilt[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # x → y, y → −x
    tilt[:3, 3] = (5, 7, 9)
    fixed, moving = scan((100, 100, 50), (2, 2, 4), (0, 0, 0)), scan((20, 10, 5), (2, 2, 4), (5, 27, 9))
    part = shared_part(fixed, moving, Affine(tilt), 0.0)
    # the middle (5, 27, 9) comes from (20, 0, 0); 40 × 20 × 20 mm lie across as 20 × 40 × 20
    np.testing.assert_allclose(part.grid.center, (20, 0, 0), atol=2)
    assert np.all(part.grid.extent >= (20, 40, 20))
    assert np.all(part.grid.extent <= (28, 48, 36))
    wider = shared_part(fixed, moving, Affine(tilt), 0.25)  # of 40 mm
    np.testing.assert_allclose(wider.grid.extent, part.grid.extent + 20, atol=8)
    assert wider.data.shape[1:] == wider.grid.shape


def test_scans_of_a_size_are_compared_whole_and_so_are_those_that_miss_each_other():
    fixed = scan((50, 50, 50), (2, 2, 2), (0, 0, 0))
    for other in (scan((48, 50, 50), (2, 2, 2), (0, 0, 0)), scan((10, 10, 10), (2, 2, 2), (300, 0, 0))):
        assert shared_part(fixed, other, Affine(), 0.1) is None
        assert shared_domain(fixed, other, Affine(), 0.1).same_space(fixed.grid)


def test_a_scan_of_one_organ_finds_its_place(pair, seen, session):
    found = session.update()
    assert len(seen) > 50
    assert apart(found.transform, pair[2], seen).mean() < 1  # half a voxel


def test_features_are_taken_where_both_scans_are(pair, piece, session):
    """Ten millimetres around the piece, and ten around that for the pose to move."""
    grid = session._features.grid
    assert grid.extent.max() < piece.grid.extent.max() + 40
    assert grid.extent.prod() < 0.75 * pair[0].grid.extent.prod()


def test_an_update_keeps_these_features(session):
    before = session._features
    session.update(stiffness=2.0)
    assert session._features is before


def test_little_of_the_fixed_scan_is_covered_but_all_of_the_moving_one(session):
    report = session.update().report
    assert report["overlap"] < 0.5
    assert report["overlap_of_moving"] > 0.95


class Watched(Descriptor):
    """Recognises by MIND-SSC, and keeps what it is shown."""

    def __init__(self):
        super().__init__("mind", None)
        self.shown = []

    def recognised(self, image):
        self.shown.append(image.grid)
        return self.coarse(image)


def test_what_is_recognised_is_looked_at_closely(pair, session):
    scans = [prepare(image, torch.device("cpu")) for image in (pair[0], session.moving)]
    descriptor = Watched()
    look = Look(*scans, descriptor)
    pose = session._pose.transform
    right = look.recognised(pose)
    assert all(grid.extent.max() < 60 for grid in descriptor.shown)
    beside = np.eye(4)
    beside[:3, 3] = (0, 0, 20)
    assert look.recognised(Affine(pose.transforms[0].matrix @ beside)) < right - 0.2


def test_a_pose_that_shows_little_of_either_patient_is_believed_less():
    class Certain(Descriptor):
        def recognised(self, image):
            return torch.rand(2, *image.grid.shape, generator=torch.Generator().manual_seed(0))

    whole = scan((20, 20, 20), (2, 2, 2), (0, 0, 0))
    look = Look(whole, whole, Certain("mind", None))
    half = np.eye(4)
    half[2, 3] = 20
    assert look.recognised(Affine()) == pytest.approx(1)
    assert look.belief(Affine()) == pytest.approx(look.recognised(Affine()))
    assert look.belief(Affine(half)) == pytest.approx(0.5**0.25 * look.recognised(Affine(half)), rel=0.02)
    organ_of_it = scan((10, 10, 10), (2, 2, 2), (0, 0, 0))  # all of the moving patient is seen
    look = Look(whole, organ_of_it, Certain("mind", None))
    assert look.belief(Affine()) == pytest.approx(look.recognised(Affine()))
