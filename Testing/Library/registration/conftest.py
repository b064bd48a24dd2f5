import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from SynthFoundationLib.demo import make_small_pair
from SynthFoundationLib.registration import Settings, register

sys.path.insert(0, str(Path(__file__).parents[2] / "Benchmarks"))


@pytest.fixture(scope="session")
def pattern() -> Callable[..., torch.Tensor]:
    """Smooth features (C, D, H, W) given by a formula: exact at any index (D, H, W, 3), without a border."""

    def values(index, channels=3, wavelength=(9.0, 20.0), seed=0):
        rng = np.random.default_rng(seed)
        waves = rng.normal(size=(channels, 6, 3))
        waves *= 2 * np.pi / np.linalg.norm(waves, axis=-1, keepdims=True)
        waves /= rng.uniform(*wavelength, (channels, 6, 1))
        phases = rng.uniform(0, 2 * np.pi, (channels, 1, 1, 1, 6))
        angles = np.einsum("dhwa,cna->cdhwn", np.asarray(index, float), waves) + phases
        return torch.from_numpy(np.sin(angles).mean(-1)).float()

    return values


@pytest.fixture(scope="session")
def lattice() -> Callable[..., np.ndarray]:
    """Voxel indices (i, j, k) of a volume of this shape → (D, H, W, 3)."""

    def indices(*shape):
        k, j, i = np.meshgrid(*[np.arange(n, dtype=float) for n in shape], indexing="ij")
        return np.stack((i, j, k), -1)

    return indices


@pytest.fixture(scope="session")
def pair():
    """The demo's small pair: fixed, moving, the true transform."""
    return make_small_pair()


@pytest.fixture(scope="session")
def body(pair):
    """(N, 3) LPS mm, points inside the fixed ball."""
    fixed = pair[0]
    return fixed.grid.to_physical(np.argwhere(fixed.data[0].numpy() > 150)[::37, ::-1])


@pytest.fixture(scope="session")
def result(pair):
    """The small pair registered without any help, on the features that are computed fastest."""
    return register(pair[0], pair[1], features="mind")


@pytest.fixture(scope="session")
def brief():
    """Settings for tests that ask about other things than how good the deformable stage is."""
    settings = Settings.preset("fast")
    start = replace(settings.start, rigid_rounds=1, affine_rounds=1, kept=1, decisive=0.0)
    return replace(settings, start=start, deformable=replace(settings.deformable, iterations=(3, 2, 1)))
