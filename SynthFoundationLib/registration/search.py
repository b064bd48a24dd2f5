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


class _Room(NamedTuple):
    """A cube that holds the turned moving image, and spectra of the fixed image with room for all shifts."""

    cube: Grid
    padded: list[int]
    image: torch.Tensor
    energy: torch.Tensor
    weight: torch.Tensor


class Search:
    """Scores all translations of the moving image for one rotation after the other."""

    def __init__(
        self, fixed: Scan, moving: Scan, spacing: float, features: CoarseFeatures, beat: Beat
    ) -> None:
        """Take both scans and the voxels, mm, that they are compared on."""
        self.moving, self.features, self.beat = moving, features, beat
        self.spacing, self.apart = spacing, PEAKS_APART * spacing
        self.grid = fixed.grid.with_spacing(spacing)
        self.centre = np.append(self.grid.center, 1.0)
        image = features(fixed.on(self.grid))
        self.mean = image.mean((1, 2, 3), keepdim=True)
        self.weight = fixed.weight_on(self.grid)
        self.image = (image - self.mean) * self.weight
        self.fixed_energy = float(self.image.square().sum())
        compared = float(moving.mask.mean()) * moving.grid.extent.prod() / spacing**3
        self.least_overlap = 0.2 * min(float(self.weight.sum()), compared)
        self._rooms: dict[int, _Room] = {}

    def __call__(self, turns: Iterable[np.ndarray], tilt: np.ndarray | None = None) -> list[Candidate]:
        """The best translations under right-angle turns, each followed by the tilt (3×3, fixed → moving).

        The moving image is read and described once: turned by right angles, voxels only change places.
        """
        tilted = np.eye(4)
        tilted[:3, 3] = self.moving.grid.center
        if tilt is not None:
            tilted[:3, :3] = tilt
        room = self._room(tilted[:3, :3])
        weight = self.moving.weight_on(room.cube, Affine(tilted))
        image = (self.features(self.moving.on(room.cube, Affine(tilted))) - self.mean) * weight
        found = []
        for turn in turns:
            self.beat()
            rotation = np.eye(4)
            rotation[:3, :3] = self.grid.axes @ turn @ self.grid.axes.T
            score = self._correlation(room, turned_mind(image, turn), turned(weight, turn))
            found += self._peaks(score, room, tilted @ rotation, turn)
        return found

    def near(self, candidate: Candidate, lean: np.ndarray) -> list[Candidate]:
        """The best translations where the rotation of a candidate is followed by another one (3×3)."""
        turn = self.grid.axes @ candidate.turn @ self.grid.axes.T
        return self([candidate.turn], lean @ candidate.rotation @ turn.T)

    def _room(self, tilt: np.ndarray) -> _Room:
        """As much as the moving image needs under a tilt; turns by right angles need no more."""
        across = np.abs(self.grid.axes.T @ tilt.T @ self.moving.grid.axes) @ self.moving.grid.extent
        side = int(np.ceil(across.max() / self.spacing - 1e-3))
        if side not in self._rooms:
            padded = [next_fast_len(n + side, real=True) for n in self.grid.shape]
            sides = self.image, self.image.square().sum(0), self.weight[0]
            spectra = (torch.fft.rfftn(volume, padded) for volume in sides)
            self._rooms[side] = _Room(_cube(side, self.spacing, self.grid), padded, *spectra)
        return self._rooms[side]

    def _peaks(self, score: torch.Tensor, room: _Room, pose: np.ndarray, turn: np.ndarray) -> list[Candidate]:
        """The poses of the highest scores that lie apart; overwrites the scores."""
        scores, found = score.cpu().numpy(), []  # so small that NumPy is faster
        for _ in range(PEAKS):
            best = np.array(np.unravel_index(scores.argmax(), scores.shape))
            shift = np.where(best >= self.grid.shape, best - room.padded, best)[::-1]
            move = np.eye(4)
            move[:3, 3] = room.cube.to_physical((0, 0, 0)) - self.grid.to_physical(shift)
            highest = float(scores[tuple(best)])
            found.append(Candidate(pose @ move, pose[:3, :3], highest, self.centre, turn))
            around = [
                np.arange(b - PEAKS_APART, b + PEAKS_APART + 1) % n
                for b, n in zip(best, room.padded, strict=True)
            ]
            scores[np.ix_(*around)] = -1.0
        return found

    def _correlation(self, room: _Room, image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Σ f·m, divided by the geometric mean of the overlap's and the whole images' norms."""

        def spectrum(volume: torch.Tensor) -> torch.Tensor:
            return torch.fft.rfftn(volume, room.padded).conj()

        def back(product: torch.Tensor) -> torch.Tensor:
            return torch.fft.irfftn(product, room.padded)

        there, energies = spectrum(weight[0]), image.square().sum(0)
        product = back((room.image * spectrum(image)).sum(0)).clamp_min(0)
        fixed_part = back(room.energy * there).clamp_min(0)
        moving_part = back(room.weight * spectrum(energies)).clamp_min(0)
        whole = self.fixed_energy * float(energies.sum()) + 1e-12
        norm = (fixed_part * moving_part).clamp_min(1e-6 * whole).mul_(whole).pow_(0.25)
        return torch.where(back(room.weight * there) > self.least_overlap, product / norm, -1.0)


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
