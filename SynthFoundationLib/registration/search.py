"""The search for a pose: all translations at once, one rotation after the other.

Translations by Fourier correlation of the centred features, which rewards a large and well-matching overlap;
rotations as right-angle turns, for which voxels only change places, each followed by a tilt.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.spatial.transform import Rotation

from ..features.mind import turned_mind
from ..geometry import Affine, Grid
from ..geometry.turns import turned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..images import Image
    from .course import Beat
    from .scan import Scan

    CoarseFeatures = Callable[[Image], torch.Tensor]

# Translations kept per rotation, and how many coarse voxels they lie apart.
PEAKS = 4
PEAKS_APART = 3


class Candidate(NamedTuple):
    """A pose: 4×4 fixed mm → moving mm, its rotation from the headers' orientation, and its score.

    `centre` is the homogeneous centre of the fixed image, where poses are compared; `turn` is the right-angle
    part of the rotation, about the axes of the fixed image.
    """

    matrix: np.ndarray
    rotation: np.ndarray
    score: float
    centre: np.ndarray
    turn: np.ndarray


class Search:
    """Scores all translations of the moving image for one rotation after the other."""

    def __init__(
        self,
        fixed: Scan,
        moving: Scan,
        spacing: float,
        features: CoarseFeatures,
        side_mm: float,
        beat: Beat,
    ) -> None:
        """`side_mm` is the side of the cube into which the turned moving image must fit."""
        self.moving, self.features, self.beat = moving, features, beat
        self.apart = PEAKS_APART * spacing
        self.grid = fixed.grid.with_spacing(spacing)
        self.centre = np.append(self.grid.center, 1.0)
        image = features(fixed.on(self.grid))
        self.mean = image.mean((1, 2, 3), keepdim=True)
        weight = fixed.weight_on(self.grid)
        image = (image - self.mean) * weight
        side = int(np.ceil(side_mm / spacing))
        self.cube = _cube(side, spacing, self.grid)
        self.padded = [next_fast_len(n + side, real=True) for n in self.grid.shape]
        self.fixed_energy = float(image.square().sum())
        self.image, self.energy, self.weight = (
            torch.fft.rfftn(x, self.padded) for x in (image, image.square().sum(0), weight[0])
        )
        compared = float(moving.mask.mean()) * moving.grid.extent.prod() / spacing**3
        self.least_overlap = 0.2 * min(float(weight.sum()), compared)

    def __call__(self, turns: Iterable[np.ndarray], tilt: np.ndarray | None = None) -> list[Candidate]:
        """The best translations under right-angle turns, each followed by the tilt (3×3, fixed → moving).

        The moving image is read and described once: turned by right angles, voxels only change places.
        """
        tilted = np.eye(4)
        tilted[:3, 3] = self.moving.grid.center
        if tilt is not None:
            tilted[:3, :3] = tilt
        weight = self.moving.weight_on(self.cube, Affine(tilted))
        image = (self.features(self.moving.on(self.cube, Affine(tilted))) - self.mean) * weight
        found = []
        for turn in turns:
            self.beat()
            rotation = np.eye(4)
            rotation[:3, :3] = self.cube.axes @ turn @ self.cube.axes.T
            score = self._correlation(turned_mind(image, turn), turned(weight, turn))
            found += self._peaks(score, tilted @ rotation, turn)
        return found

    def near(self, candidate: Candidate, lean: np.ndarray) -> list[Candidate]:
        """The best translations where the rotation of a candidate is followed by another one (3×3)."""
        turn = self.cube.axes @ candidate.turn @ self.cube.axes.T
        return self([candidate.turn], lean @ candidate.rotation @ turn.T)

    def _peaks(self, score: torch.Tensor, pose: np.ndarray, turn: np.ndarray) -> list[Candidate]:
        """The poses of the highest scores that lie apart; overwrites the scores."""
        found = []
        for _ in range(PEAKS):
            place = int(score.argmax())
            best = np.array(np.unravel_index(place, tuple(self.padded)))
            shift = np.where(best >= self.grid.shape, best - self.padded, best)[::-1]
            move = np.eye(4)
            move[:3, 3] = self.cube.to_physical((0, 0, 0)) - self.grid.to_physical(shift)
            found.append(
                Candidate(pose @ move, pose[:3, :3], float(score.view(-1)[place]), self.centre, turn)
            )
            around = [
                torch.arange(b - PEAKS_APART, b + PEAKS_APART + 1) % n
                for b, n in zip(best, self.padded, strict=True)
            ]
            score[torch.meshgrid(*around, indexing="ij")] = -1.0
        return found

    def _correlation(self, image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Σ f·m, divided by the geometric mean of the overlap's and the whole images' norms."""
        moving_energy = float(image.square().sum())
        product = self._correlate(self.image, image).clamp_min(0)
        fixed_part = self._correlate(self.energy, weight[0]).clamp_min(0)
        moving_part = self._correlate(self.weight, image.square().sum(0)).clamp_min(0)
        whole = self.fixed_energy * moving_energy + 1e-12
        norm = (fixed_part * moving_part).clamp_min(1e-6 * whole).mul_(whole).pow_(0.25)
        score = product / norm
        return torch.where(self._correlate(self.weight, weight[0]) > self.least_overlap, score, -1.0)

    def _correlate(self, fixed_spectrum: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        spectrum = fixed_spectrum * torch.fft.rfftn(moving, self.padded).conj()
        if spectrum.ndim == 4:
            spectrum = spectrum.sum(0)
        return torch.fft.irfftn(spectrum, self.padded)


def _cube(side: int, spacing: float, like: Grid) -> Grid:
    """A cube of voxels centred on the physical origin, with the axes of `like`."""
    corner = like.axes @ (-(side - 1) / 2 * spacing * np.ones(3))
    return Grid((side,) * 3, (spacing,) * 3, tuple(corner), like.direction)


def right_angle_turns() -> list[np.ndarray]:
    """The 24 rotations that map axes to axes, as signed permutations of (i, j, k), the identity first."""
    turns = []
    for order, signs in itertools.product(
        itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)
    ):
        turn = np.zeros((3, 3))
        turn[range(3), order] = signs
        if np.linalg.det(turn) > 0:
            turns.append(turn)
    return sorted(turns, key=lambda turn: -np.trace(turn))


def tilts(degrees: Iterable[float], between: int = 2) -> list[np.ndarray]:
    """Turns both ways, by each angle, about the axes and the lines half-way between up to so many of them."""
    directions = [d for d in itertools.product((-1, 0, 1), repeat=3) if 0 < np.count_nonzero(d) <= between]
    axes = [np.array(d) / np.linalg.norm(d) for d in directions]
    return [Rotation.from_rotvec(np.deg2rad(angle) * axis).as_matrix() for angle in degrees for axis in axes]
