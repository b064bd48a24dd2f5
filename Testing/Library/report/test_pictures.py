"""Planes against SimpleITK's orientation, drawings against closed forms."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.geometry import Affine, Composite, DisplacementField, Grid, grid_points, resample
from SynthFoundationLib.images import Image
from SynthFoundationLib.report import draw
from SynthFoundationLib.report.pictures import NOTHING, blend, checkerboard, log_jacobian
from SynthFoundationLib.report.planes import body_centre, three_planes

# Index axes that run to the patient's head, left and front.
TURNED = (0, 1, 0, 0, 0, -1, 1, 0, 0)


def cut(image, plane):
    return resample(image.data, image.grid, plane.grid, None, fill=math.nan)[0, 0].numpy()


def test_planes_show_what_simpleitk_shows_after_reorienting():
    grid = Grid((10, 12, 14), (2.0, 2.0, 2.0), (5.0, -7.0, 3.0), TURNED)
    image = Image(torch.randn(grid.shape, generator=torch.Generator().manual_seed(0)), grid)
    volume = sitk.GetImageFromArray(image.data[0].numpy())
    volume.SetSpacing(grid.spacing)
    volume.SetOrigin(grid.origin)
    volume.SetDirection(grid.direction)
    upright = sitk.DICOMOrient(volume, "LPS")
    k, j, i = (n // 2 for n in sitk.GetArrayViewFromImage(upright).shape)
    centre = np.array(upright.TransformIndexToPhysicalPoint((i, j, k)))
    axial, coronal, sagittal = three_planes(grid, centre, pixels=max(grid.size))
    array = sitk.GetArrayFromImage(upright)
    np.testing.assert_allclose(cut(image, axial), array[k], atol=1e-4)
    np.testing.assert_allclose(cut(image, coronal), array[::-1, j], atol=1e-4)
    np.testing.assert_allclose(cut(image, sagittal), array[::-1, :, i], atol=1e-4)
    assert [plane.edges for plane in (axial, coronal, sagittal)] == ["RLAP", "RLSI", "APSI"]


def test_pixels_are_square_in_mm_whatever_the_voxels_are():
    grid = Grid((40, 30, 9), (0.7, 0.9, 5.0), direction=(0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    planes = three_planes(grid, grid.center, pixels=50)
    for plane, extent in zip(planes, ((28, 27), (28, 45), (27, 45)), strict=True):
        assert len(set(plane.grid.spacing)) == 1
        np.testing.assert_allclose(plane.grid.extent[:2], extent, atol=1.0)
    assert max(max(plane.grid.size) for plane in planes) == 50


def test_the_centre_lies_in_the_body_where_the_moving_scan_covers_it():
    grid = Grid((20, 20, 20))
    body = torch.zeros(grid.shape, dtype=torch.bool)
    body[:, 2:5, 8:12] = body[:, 15:18, 8:12] = True  # two legs: their mean lies between them
    moving = Grid((20, 20, 6), origin=(100.0, 0.0, 4.0))
    shift = Affine(np.array([[1, 0, 0, 100], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    i, j, k = body_centre(body, grid, shift, moving).round().astype(int)
    assert body[k, j, i]
    assert 4 <= k <= 9


def test_drawings_in_closed_form():
    fixed, moved = np.full((18, 18), 0.5), np.full((18, 18), 1.0)
    moved[:, 9:] = np.nan
    np.testing.assert_allclose(blend(fixed, moved)[0, 0], 0.275 + 0.6 * np.array((1.0, 0.5, 0.1)))
    np.testing.assert_allclose(blend(fixed, moved)[0, 17], 0.4)
    board = checkerboard(fixed, moved)
    np.testing.assert_allclose(board[0, [0, 2, 4]], [[0.5] * 3, [1.0] * 3, [0.5] * 3])
    np.testing.assert_allclose(board[0, 14], NOTHING)


def test_log_jacobian_of_known_maps():
    grid = Grid((12, 12, 12), (2.0, 2.0, 2.0))
    points = grid_points(grid)[4:8, 4:8, 4:8]
    turned = np.eye(4)
    turned[:3, :3] = 1.2 * np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    values = log_jacobian(Affine(turned), points, 2.0)
    np.testing.assert_allclose(values, 3 * math.log(1.2), atol=1e-4)
    stretch = torch.zeros(3, *grid.shape)
    stretch[0] = 0.1 * grid_points(grid)[..., 0]
    np.testing.assert_allclose(
        log_jacobian(DisplacementField(stretch, grid), points, 2.0), math.log(1.1), atol=1e-4
    )
    folding = DisplacementField(-15 * stretch, grid)
    assert log_jacobian(folding, points, 2.0).isnan().all()


def test_a_scan_that_the_headers_put_elsewhere_is_told():
    grid, away = Grid((8, 8, 8)), Grid((8, 8, 8), origin=(500.0, 0.0, 0.0))
    fixed, moving = (Image(torch.randn(g.shape), g) for g in (grid, away))
    shift = np.eye(4)
    shift[0, 3] = 500.0
    names = [name for name, _ in draw(fixed, moving, Affine(shift))[0].rows]
    assert names == ["before: the moving scan lies elsewhere", "after"]


@pytest.mark.parametrize("deformable", [False, True])
def test_every_picture_has_all_planes(deformable):
    grid = Grid((16, 14, 12), (1.0, 1.0, 1.5))
    noise = torch.randn(2, *grid.shape, generator=torch.Generator().manual_seed(1))
    fixed, moving = (Image(one, grid) for one in noise)
    field = DisplacementField(torch.zeros(3, *grid.shape), grid)
    transform = Composite([field, Affine()] if deformable else [Affine()])
    features = Image(torch.cat([noise, noise.square()]), grid)
    pictures = draw(fixed, moving, transform, (features, features))
    names = ["Blend", "Checkerboard", "Features", "Local change of volume"]
    assert [picture.title for picture in pictures] == names[: 4 if deformable else 3]
    for picture in pictures:
        for _, cuts in picture.rows:
            sizes = [plane.grid.shape[1:] for plane in picture.planes]
            assert [rgb.shape for rgb in cuts] == [(*size, 3) for size in sizes]
            assert {rgb.dtype for rgb in cuts} == {np.dtype(np.uint8)}
    shown = dict(pictures[2].rows)
    np.testing.assert_array_equal(shown["fixed"][0], shown["moved"][0])
