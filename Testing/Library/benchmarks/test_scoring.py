import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scoring import bright, carried, deformation, dice, moving_positions, target_registration_error

from SynthFoundationLib.geometry import Affine, Composite, DisplacementField, Grid, to_sitk
from SynthFoundationLib.images import Image, LabelMap

TURN = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
TURN[:, 0] *= np.sign(np.linalg.det(TURN))
OBLIQUE = Grid((20, 17, 15), (1.0, 1.3, 2.0), (5.0, -40.0, 12.0), tuple(TURN.ravel()))
MIRRORED = Grid((18, 16, 14), (1.5, 1.1, 1.7), (20.0, -30.0, 2.0), tuple((TURN * [-1, 1, 1]).ravel()))


class Wave:
    """x → x + A·sin(k·n·x)·n along one direction n: the determinant is 1 + A·k·cos(k·n·x)."""

    def __init__(self, direction, amplitude, frequency):
        self.direction, self.amplitude, self.frequency = direction, amplitude, frequency

    def apply(self, points):
        phase = self.frequency * points @ self.direction
        return points + self.amplitude * np.sin(phase)[:, None] * self.direction


@pytest.mark.parametrize("grid", [OBLIQUE, MIRRORED])
def test_folds_and_log_jacobian_of_a_wave_are_those_of_the_closed_form(grid):
    wave = Wave(grid.axes[:, 0], 1.8, 0.9)
    h = grid.spacing[0]
    k, j, i = np.indices(grid.shape)
    phase = wave.frequency * grid.to_physical(np.stack((i, j, k), -1)) @ wave.direction
    expected = 1 + wave.amplitude * np.cos(phase) * np.sin(wave.frequency * h) / h
    inside = np.random.default_rng(0).random(grid.shape) > 0.3
    chosen = expected[1:-1, 1:-1, 1:-1][inside[1:-1, 1:-1, 1:-1]]

    found = deformation(moving_positions(wave, grid), grid, inside)

    assert (chosen <= 0).any()
    assert found["folds_percent"] == pytest.approx(100 * (chosen <= 0).mean())
    assert found["log_jacobian_sd"] == pytest.approx(np.log(chosen.clip(1e-3, 1e3)).std(), rel=1e-6)


@pytest.mark.parametrize("grid", [OBLIQUE, MIRRORED])
def test_a_linear_transform_has_no_spread_whatever_the_headers(grid):
    matrix = np.eye(4)
    matrix[:3, :3] = TURN @ np.diag([1.2, 0.9, 1.1])
    found = deformation(moving_positions(Affine(matrix), grid), grid, np.ones(grid.shape, bool))
    assert found == {"folds_percent": 0.0, "log_jacobian_sd": pytest.approx(0, abs=1e-9)}


def test_carried_labels_and_dice_are_those_of_simpleitk():
    rng = np.random.default_rng(1)
    fixed = LabelMap(torch.from_numpy(rng.integers(0, 4, OBLIQUE.shape)), OBLIQUE)
    moving_grid = Grid((24, 22, 20), (1.1, 1.2, 1.6), tuple(OBLIQUE.center - 12), MIRRORED.direction)
    moving = LabelMap(torch.from_numpy(rng.integers(0, 4, moving_grid.shape)), moving_grid)
    shift = np.eye(4)
    shift[:3, 3] = moving_grid.center - OBLIQUE.center + 4.3
    field = DisplacementField(torch.from_numpy(rng.normal(size=(3, *OBLIQUE.shape))), OBLIQUE)
    transform = Composite([field, Affine(shift)])
    image = _image(moving)
    resampled = sitk.Resample(image, _image(fixed), to_sitk(transform), sitk.sitkNearestNeighbor, 0)
    theirs = sitk.GetArrayFromImage(resampled)
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(_image(fixed), resampled)

    ours = carried(moving, moving_positions(transform, OBLIQUE))
    scores = dice(ours, fixed.data.numpy(), [1, 2, 3])

    assert 0.1 < (theirs > 0).mean() < 0.7  # part of it lies outside
    assert (ours == theirs).all()
    assert scores == {label: pytest.approx(measures.GetDiceCoefficient(label)) for label in (1, 2, 3)}


def test_error_of_points():
    shift = np.eye(4)
    shift[:3, 3] = (3, 4, 0)
    fixed = np.zeros((100, 3))
    moving = fixed + shift[:3, 3]
    moving[:10] += (0, 0, 12)  # √(0² + 12²) more
    found = target_registration_error(Affine(shift), fixed, moving)
    assert found == {"tre_mm": pytest.approx(1.2), "tre_p95_mm": pytest.approx(12)}


def test_bright_leaves_air_out():
    volume = np.full((10, 10, 10), -1000.0, np.float32)
    volume[2:8, 2:8, 2:8] = 50
    volume[0, 0, 0] = -985
    assert bright(Image(torch.from_numpy(volume), Grid((10, 10, 10)))).sum() == 6**3


def _image(labels):
    image = sitk.GetImageFromArray(labels.data.numpy().astype(np.uint8))
    image.SetSpacing(labels.grid.spacing)
    image.SetOrigin(labels.grid.origin)
    image.SetDirection(labels.grid.direction)
    return image
