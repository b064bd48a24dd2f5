"""A scan that lies obliquely is painted on along the patient: planes across its slices are found and used."""

import numpy as np
import pytest
from ellipsoids import GRID, dice, on_slices
from scipy.spatial.transform import Rotation

from SynthFoundationLib.geometry import Grid, grid_points
from SynthFoundationLib.segmentation import FewShotSession
from SynthFoundationLib.segmentation.seeds import read_seeds
from SynthFoundationLib.segmentation.tilted import Plane

TILT = Rotation.from_euler("xyz", (18, -9, 5), degrees=True).as_matrix()
OBLIQUE = Grid(GRID.size, GRID.spacing, GRID.origin, (TILT @ GRID.axes).ravel())


def drawn(truth, *planes, grid=OBLIQUE):
    """What is drawn, and where, in planes (axis of the patient, share of the way through the structures)."""
    mm = grid_points(grid).numpy()
    where = np.zeros(truth.shape, bool)
    for axis, share in planes:
        low, high = (mm[truth > 0][:, axis].min(), mm[truth > 0][:, axis].max())
        where |= np.abs(mm[..., axis] - (low + share * (high - low))) < 0.5 * grid.spacing[(1, 0, 2)[axis]]
    return np.where(where, truth, 0), where


@pytest.mark.parametrize(
    ("planes", "least"),
    [
        ([(2, 0.2), (2, 0.5), (2, 0.8)], 0.85),
        ([(2, 0.3), (2, 0.7), (0, 0.5)], 0.85),
        ([(2, 0.5)], 0.7),
    ],
)
def test_what_is_drawn_along_the_patient_makes_the_structures(scan, planes, least):
    seeds, where = drawn(scan[1], *planes)
    result = FewShotSession((scan[0], OBLIQUE)).update((seeds, OBLIQUE))
    assert len(result.planes) == len(planes)
    assert result.complete_slices == ()
    found = result.labels.data.numpy()
    assert dice(found[~where], scan[1][~where], 3) > least
    assert dice(found[~where], scan[1][~where], 7) > least


def test_what_is_empty_in_the_planes_is_background_and_nothing_else(scan):
    seeds, where = drawn(scan[1], (2, 0.2), (2, 0.8))
    read = read_seeds(seeds, grid=OBLIQUE)
    background = read.classes == 0
    assert background[where & (seeds == 0)].mean() > 0.85
    assert background[~where].mean() < 0.01
    assert (read.classes[seeds > 0] > 0).all()
    normals = np.array([plane.normal[::-1] for plane in read.planes]) / OBLIQUE.spacing @ OBLIQUE.axes.T
    np.testing.assert_allclose(np.abs(normals), [[0, 0, 1]] * 2, atol=1e-6)


def test_planes_that_lie_as_nobody_expects_are_found_too(scan):
    upright = Grid(OBLIQUE.size, OBLIQUE.spacing)
    seeds, _where = drawn(scan[1], (2, 0.25), (2, 0.75))
    read = read_seeds(seeds, grid=upright)
    assert len(read.planes) == 2
    normal = TILT.T[:, 2] @ GRID.axes  # of the patient's third axis, in terms of i, j, k
    for plane in read.planes:
        found = np.array(plane.normal[::-1]) / OBLIQUE.spacing
        assert abs(found @ normal) > np.cos(np.deg2rad(4))


@pytest.mark.parametrize("drawn_on", [(6, 16, 25), (15, 16, 17), (16,), tuple(range(32))])
def test_slices_of_the_scan_and_solids_are_no_planes(scan, drawn_on):
    read = read_seeds(on_slices(scan[1], *drawn_on), grid=OBLIQUE)
    assert read.planes == ()
    held = [k for k in drawn_on if scan[1][k].any()]
    assert set(read.complete) >= {(0, k) for k in held} or len(held) > 3


def test_scribbles_with_background_have_no_planes(scan):
    seeds, where = drawn(scan[1], (2, 0.2), (2, 0.8))
    seeds[where & (seeds == 0)] = 9
    read = read_seeds(seeds, "auto", 9, OBLIQUE)
    assert (read.planes, read.complete) == ((), ())


def test_planes_are_saved_and_restored(scan, tmp_path):
    seeds, _where = drawn(scan[1], (2, 0.2), (2, 0.8))
    session = FewShotSession((scan[0], OBLIQUE))
    before = session.update((seeds, OBLIQUE))
    session.save(tmp_path / "work.npz")
    after = FewShotSession((scan[0], OBLIQUE)).restore(tmp_path / "work.npz")
    assert after.planes == before.planes
    np.testing.assert_array_equal(after.labels.data, before.labels.data)


def test_a_plane_holds_the_voxels_near_it():
    plane = Plane(0.5, 1.0, -1.0, 2.0, 0.75)
    k, j, i = np.indices((4, 5, 6))
    expected = np.abs(0.5 * k + j - i - 2.0) <= 0.75
    np.testing.assert_array_equal(np.stack(list(plane.slices((4, 5, 6)))), expected)
