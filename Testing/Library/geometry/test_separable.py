"""Reading along axes against SciPy, and against reading voxel by voxel."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from SynthFoundationLib.geometry import Affine, Composite, DisplacementField, Grid, grid_points, resample
from SynthFoundationLib.geometry.antialiasing import Blur
from SynthFoundationLib.geometry.sampling import sample_at_index

TURNED = (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1)
SOURCE = Grid((23, 18, 14), (0.9, 1.1, 2.5), (4.0, -7.0, 11.0), TURNED)


def noise(grid=SOURCE, channels=2):
    return torch.randn((channels, *grid.shape), generator=torch.Generator().manual_seed(0))


def indices(target, source=SOURCE):
    """Where the voxels of `target` lie in `source`, (i, j, k) first."""
    i, j, k = np.meshgrid(*map(np.arange, target.size), indexing="ij")
    world = target.to_physical(np.stack((i, j, k), -1).reshape(-1, 3).astype(float))
    return source.to_index(world).reshape(*target.size, 3).transpose(2, 1, 0, 3)


@pytest.mark.parametrize("fill", [None, -3.0])
@pytest.mark.parametrize(
    "target",
    [
        SOURCE.with_spacing((2.0, 1.7, 3.1)),
        SOURCE.with_spacing(0.6).padded(3),  # beyond the source
        SOURCE.cropped((4, 5, 6), (7, 9, 7)),
        SOURCE.with_spacing(2.0).padded((0, 40, 0)),  # far beyond
    ],
)
def test_parallel_grids_are_read_as_scipy_does(target, fill):
    volume, index = noise(), indices(target)
    found = resample(volume, SOURCE, target, fill=fill)
    for channel, read in zip(volume, found, strict=True):
        expected = ndimage.map_coordinates(
            channel.numpy(), np.moveaxis(index[..., ::-1], -1, 0), order=1, mode="nearest"
        )
        if fill is not None:
            size = np.array(SOURCE.size)
            outside = ((index < -0.5 - 1e-4) | (index > size - 0.5 + 1e-4)).any(-1)
            expected[outside] = fill
        np.testing.assert_allclose(read.numpy(), expected, atol=2e-4)


def test_axes_that_run_the_other_way_are_parallel():
    corner = tuple(SOURCE.to_physical(np.array([22.0, 0.0, 0.0])))
    axes = np.reshape(TURNED, (3, 3)) * (-1, 1, 1)
    mirrored = Grid(SOURCE.size, SOURCE.spacing, corner, tuple(axes.ravel()))
    torch.testing.assert_close(resample(noise(), SOURCE, mirrored), noise().flip(3), rtol=0, atol=1e-4)


@pytest.mark.parametrize("spacing", [1.5, 3.0, (1.0, 5.0, 9.0)])
def test_antialiasing_is_the_same_whether_read_along_axes_or_voxel_by_voxel(spacing):
    target = SOURCE.with_spacing(spacing)
    blur, index = Blur.between(SOURCE, target), torch.from_numpy(indices(target)).float()
    expected = sample_at_index(blur.of(noise()), blur.cells.of_voxels(index))
    found = resample(noise(), SOURCE, target, fill=None, antialias=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_bools_are_read_as_shares():
    mask, target = noise(channels=1) > 0, SOURCE.with_spacing(1.9)
    turned = Affine(np.array([[0.96, -0.28, 0, 1], [0.28, 0.96, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    for transform in (None, turned):
        found = resample(mask, SOURCE, target, transform)
        torch.testing.assert_close(found, resample(mask.float(), SOURCE, target, transform))
        assert found.dtype == torch.float32


@pytest.mark.parametrize(
    "grid",
    [SOURCE, SOURCE.with_spacing(0.8).padded(4), Grid((12, 10, 8), (2.0, 2.0, 2.0), (5.0, -4.0, 12.0))],
)
def test_displacements_at_voxels_are_those_at_their_points(grid):
    field = DisplacementField(3 * noise(channels=3), SOURCE)
    shear = np.eye(4)
    shear[0, 1:] = 0.1, 0.0, 4.0
    for transform in (field, Composite([field, Affine(shear)]), Composite([Affine(shear), field]), Affine()):
        expected = transform(grid_points(grid))
        torch.testing.assert_close(transform.of_voxels(grid), expected, rtol=0, atol=2e-3)
        slab = slice(3, 6)
        torch.testing.assert_close(transform.of_voxels(grid, slab), expected[slab], rtol=0, atol=2e-3)
