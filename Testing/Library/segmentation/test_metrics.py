import math

import numpy as np
import pytest
import SimpleITK as sitk

from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.segmentation import evaluate_segmentation

GRID = Grid((24, 20, 16), (0.7, 1.1, 2.5))


def blobs(seed):
    noise = np.random.default_rng(seed).normal(size=GRID.shape).astype(np.float32)
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(noise), 3.0))
    return np.digitize(smooth, np.quantile(smooth, [0.6, 0.8])).astype(np.int32)


def test_dice_and_volume_agree_with_simpleitk():
    ours, theirs = blobs(1), blobs(2)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(sitk.GetImageFromArray(theirs), sitk.GetImageFromArray(ours))
    for score in evaluate_segmentation((ours, GRID), (theirs, GRID)):
        assert score.dice == pytest.approx(overlap.GetDiceCoefficient(score.label))
        voxel = 0.7 * 1.1 * 2.5 / 1000
        assert score.volume_ml == pytest.approx((ours == score.label).sum() * voxel)
        change = (ours == score.label).sum() / (theirs == score.label).sum() - 1
        assert score.volume_error_percent == pytest.approx(100 * change)


def test_surface_distances_agree_with_simpleitk():
    ours, theirs = blobs(3) == 2, blobs(4) == 2
    (score,) = evaluate_segmentation((ours.astype(int), GRID), (theirs.astype(int), GRID), tolerance_mm=1.5)
    distances = [both_ways(a, b) for a, b in ((ours, theirs), (theirs, ours))]
    assert score.hd95_mm == pytest.approx(max(np.percentile(d, 95) for d in distances), rel=1e-4)
    every = np.concatenate(distances)
    assert score.surface_dice == pytest.approx((every <= 1.5).mean(), abs=1e-6)


def both_ways(a, b):
    """Distances in mm from the border voxels of `a` to those of `b`, by SimpleITK."""
    borders = []
    for mask in (a, b):
        image = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
        image.SetSpacing(GRID.spacing)
        borders.append(sitk.LabelContour(image, fullyConnected=False))
    reach = sitk.SignedMaurerDistanceMap(borders[1], squaredDistance=False, useImageSpacing=True)
    reach = np.abs(sitk.GetArrayFromImage(reach))
    return reach[sitk.GetArrayFromImage(borders[0]) > 0]


def test_missing_and_surplus_labels_are_scored():
    truth = np.zeros(GRID.shape, int)
    truth[4:8, 4:8, 4:8] = 1
    other = np.zeros(GRID.shape, int)
    other[4:8, 4:8, 4:8] = 2
    missed, surplus, neither = evaluate_segmentation((other, GRID), (truth, GRID), labels=[1, 2, 3])
    assert (missed.dice, missed.surface_dice, missed.volume_error_percent) == (0, 0, -100)
    assert surplus.dice == 0
    assert math.isnan(surplus.volume_error_percent)
    assert neither.dice == 1


def test_a_segmentation_on_another_grid_is_resampled():
    truth = np.zeros(GRID.shape, int)
    truth[3:12, 5:15, 6:18] = 7
    padded = np.pad(truth, 2)
    grid = Grid((28, 24, 20), GRID.spacing, tuple(GRID.to_physical([-2, -2, -2])))
    (score,) = evaluate_segmentation((padded, grid), (truth, GRID))
    assert (score.label, score.dice, score.hd95_mm) == (7, 1, 0)
