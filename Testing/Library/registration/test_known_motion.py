"""How exactly rigid and affine motions are found that SimpleITK made, in another contrast."""

import known_motion
import numpy as np
import pytest

from SynthFoundationLib.demo.head import make_head
from SynthFoundationLib.geometry import resample
from SynthFoundationLib.images import Image, to_sitk
from SynthFoundationLib.registration import register


@pytest.fixture(scope="module")
def head():
    """A made T1-weighted head in voxels of 2.5 mm."""
    image = make_head(np.random.default_rng(0))
    grid = image.grid.with_spacing(2.5)
    return to_sitk(Image(resample(image.data[:1], image.grid, grid, antialias=True), grid))


@pytest.mark.parametrize(("kind", "most_voxels"), [("rigid", 0.1), ("affine", 0.25)])
def test_a_known_motion_is_found_to_a_fraction_of_a_voxel(head, kind, most_voxels):
    generator = np.random.default_rng(3)
    motion = known_motion.moved_by(head, generator, kind)
    _, moving = next(known_motion.shown(head, motion, generator))
    points = known_motion.of_the_patient(head)
    belong = np.array([motion.TransformPoint(point) for point in points.tolist()])

    found = register(head, moving, transform=kind, features="mind").transform.apply(points)

    off = np.linalg.norm(found - belong, axis=1).mean() / max(moving.GetSpacing())
    assert off < most_voxels
