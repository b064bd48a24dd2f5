"""The discrete and the continuous stage find displacements that were applied by a formula."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.geometry.fields import exponential_voxels, to_voxels
from SynthFoundationLib.registration.deformable import Level, Velocity, pooled, refine_velocity
from SynthFoundationLib.registration.discrete import displacement_by_search
from SynthFoundationLib.registration.smoothness import Smoothness

N = 32
SMOOTH = Smoothness(3.0, 0.3)
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
GRID = Grid((N, N, N), (2.0, 2.0, 2.0), (-30.0, 12.0, 5.0), OBLIQUE)


def bump(index, push, width):
    """A displacement (D, H, W, 3) in voxels that is `push` in the middle and fades over `width`."""
    distance = np.square(index - (N - 1) / 2).sum(-1, keepdims=True)
    return np.exp(-distance / (2 * width**2)) * np.asarray(push, float)


def level(fixed, moving, weight=None):
    return Level(fixed, moving, torch.ones(1, N, N, N) if weight is None else weight, GRID)


def still(grid):
    return Velocity(torch.zeros(3, *grid.shape), grid)


def refined(velocity, full, symmetric=False):
    for factor, control in ((2, 1), (1, 2)):
        parts = [pooled(x, factor) for x in (full.fixed, full.moving, full.weight)]
        now = Level(*parts, full.grid.coarsened(factor))
        velocity = refine_velocity(velocity, now, control, 12, 40, SMOOTH, symmetric=symmetric)
    return velocity


def off(velocity, truth):
    """Distances (D, H, W) in voxels of exp(velocity) to the true displacement."""
    found = exponential_voxels(to_voxels(velocity.on(GRID).data, GRID))
    return np.linalg.norm(found.movedim(0, -1).numpy() - truth, axis=-1)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_smooth_deformation_is_recovered_in_mm_on_an_oblique_grid(pattern, lattice, symmetric):
    index = lattice(N, N, N)
    truth = bump(index, (2.0, -2.5, 1.5), 9.0)
    found = refined(still(GRID), level(pattern(index + truth), pattern(index)), symmetric)
    distance = off(found, truth)[np.linalg.norm(truth, axis=-1) > 1]
    assert distance.mean() < 0.25
    assert np.quantile(distance, 0.95) < 0.6


def test_outside_the_images_the_velocity_fades_to_nothing(pattern, lattice):
    index = lattice(N, N, N)
    full = level(pattern(index + np.array([1.5, 0.0, 0.0])), pattern(index))
    found = refine_velocity(still(GRID), full, 2, 8, 40, SMOOTH)
    length = found.data.norm(dim=0)
    middle = length[tuple(n // 2 for n in length.shape)]
    rim = torch.stack([length[0].max(), length[-1].max(), length[:, 0].max(), length[:, :, -1].max()]).max()
    assert middle > 2.0  # of 3 mm
    assert rim < 0.35 * middle
    assert found.grid.extent.min() > GRID.extent.max()


def test_exchanged_images_give_the_opposite_velocity(pattern, lattice):
    index = lattice(N, N, N)
    a, b = pattern(index + bump(index, (1.5, 1.0, -1.0), 8.0)), pattern(index)
    one, other = refined(still(GRID), level(a, b), True), refined(still(GRID), level(b, a), True)
    assert (one.data + other.data).norm(dim=0).max() < 0.02 * one.data.norm(dim=0).max()


def test_places_without_weight_do_not_pull(pattern, lattice):
    index = lattice(N, N, N)
    truth = bump(index, (2.0, -1.0, 1.0), 9.0)
    fixed, moving = pattern(index + truth), pattern(index)
    fixed[:, :12] = pattern(index, seed=5)[:, :12]
    weight = torch.ones(1, N, N, N)
    weight[:, :13] = 0
    kept = index[..., 2] > 15
    errors = []
    for weights in (weight, torch.ones_like(weight)):
        velocity = refined(still(GRID), level(fixed, moving, weights))
        errors.append(off(velocity, truth)[kept].mean())
    assert errors[0] < 0.35
    assert errors[0] < 0.7 * errors[1]


def test_the_search_catches_what_is_beyond_the_reach_of_refinement(lattice):
    """Four small lumps, moved by seven voxels in an empty image: nothing around shows the way."""
    index = lattice(N, N, N)
    truth = bump(index, (7.0, 0.0, 0.0), 9.0)
    lumps = (N - 1) / 2 + np.array([[1.0, 2, 0], [5, -2, 1], [3, 0, 3], [4, 2, -3]])
    fixed, moving = (
        torch.from_numpy(np.exp([-np.square(at - lump).sum(-1) / 4.5 for lump in lumps])).float()
        for at in (index + truth, index)
    )
    full = level(fixed, moving)
    searched = displacement_by_search(*(pooled(x, 2) for x in (fixed, moving, full.weight)), reach=4)
    grid = GRID.coarsened(2)
    matrix = torch.as_tensor(grid.matrix[:3, :3], dtype=torch.float32)
    start = Velocity(torch.einsum("ab,bdhw->adhw", matrix, searched), grid)
    where = fixed.amax(0).numpy() > 0.5
    alone, together = (off(refined(v, full), truth)[where].mean() for v in (still(GRID), start))
    assert together < 0.5
    assert alone > 5


@pytest.mark.parametrize("shift", [(3, 0, 0), (0, -2, 0), (1, 2, -3)])
def test_the_search_finds_a_shift_along_the_right_axis(pattern, lattice, shift):
    index = lattice(12, 14, 16)
    fixed, moving = (pattern(at, wavelength=(5.0, 9.0)) for at in (index + np.array(shift, float), index))
    found = displacement_by_search(fixed, moving, torch.ones(1, 12, 14, 16), reach=3)
    middle = found[:, 4:-4, 4:-4, 4:-4].mean((1, 2, 3))
    np.testing.assert_allclose(middle, shift, atol=0.4)


def test_the_search_is_not_drawn_to_what_does_not_count(pattern, lattice):
    """What the moving image holds beyond its field of view matches perfectly, three voxels farther on."""
    index = lattice(14, 14, 24)
    fixed, moving = (pattern(at, wavelength=(5.0, 9.0)) for at in (index + np.array((-1.0, 0, 0)), index))
    moving += 0.1 * torch.randn(moving.shape, generator=torch.Generator().manual_seed(0))
    weight = torch.ones(1, 14, 14, 24)
    moving[..., 14:], weight[..., 14:] = fixed[..., 11:21], 0
    found = displacement_by_search(fixed, moving, weight, reach=3)
    before_the_end = found[:, 4:-4, 4:-4, 11:14].mean((1, 2, 3))
    np.testing.assert_allclose(before_the_end, (-1, 0, 0), atol=0.3)


class _Largest(TorchDispatchMode):
    """Notes the largest storage that any operation hands out."""

    bytes = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return result


def test_the_search_holds_one_cost_per_offset_and_no_shifted_features():
    channels, side, reach = 12, 10, 2
    features = torch.randn(2, channels, side, side, side, generator=torch.Generator().manual_seed(0))
    with _Largest() as largest:
        displacement_by_search(*features, torch.ones(1, side, side, side), reach)
    costs = (2 * reach + 1) ** 3 * side**3 * 4
    assert largest.bytes <= costs
