import pytest
import torch

from SynthFoundationLib.pretraining.anchors import follow, inside
from SynthFoundationLib.pretraining.windows import interpolate_at, look, sample_window
from SynthFoundationLib.synthesis.fields import spline

WHOLE, SIDE = 48, 24


def coordinates():
    axes = (torch.arange(WHOLE, dtype=torch.float32) + 100,) * 3
    return torch.meshgrid(*axes, indexing="ij")


def cut(volume, window):
    return look(volume[None, None], volume[None, None], volume[None].to(torch.uint8), [window], SIDE)


@pytest.mark.parametrize(("turn", "bend"), [(0.0, 0.2), (1.0, 0.0), (1.0, 0.2)])
@pytest.mark.parametrize("seed", range(6))
def test_a_voxel_of_the_second_window_is_found_where_the_map_says(seed, turn, bend):
    window = sample_window(seed, WHOLE, SIDE, turn, bend)
    places = torch.randint(0, SIDE, (500, 3), generator=torch.Generator().manual_seed(seed))
    first, second = [], []
    for volume in coordinates():
        views, _, maps, bends = cut(volume, window)
        there = follow(places, maps[0], spline(bends[0], (SIDE,) * 3), step=1)
        first.append(interpolate_at(views[0], there)[:, 0])
        second.append(views[1, 0][tuple(places.T)])
    first, second = torch.stack(first, 1), torch.stack(second, 1)
    # Coordinates are linear: interpolation is exact, but for voxels mixed with what lies outside of the cube.
    seen = inside(there, (SIDE,) * 3) & (second > 99).all(1)
    error = (first - second).abs().amax(1)[seen]
    assert seen.float().mean() > 0.15
    assert (error < 1e-3).float().mean() > 0.9
    assert float(error.median()) < 1e-4


def test_a_bent_window_is_another_one_but_nowhere_folded():
    for seed in range(20):
        straight, bent = (sample_window(seed, WHOLE, SIDE, bend=bend) for bend in (0.0, 0.15))
        assert {**bent, "bend": straight["bend"]} == straight
        field = spline(cut(coordinates()[0], bent).bends[0], (SIDE,) * 3)
        slopes = torch.stack(torch.gradient(field, dim=(1, 2, 3)), 1).movedim((0, 1), (-2, -1))
        assert float(torch.linalg.det(torch.eye(3) + slopes).amin()) > 0
        assert float(field.abs().amax()) > 0


def test_the_second_window_shows_another_part_and_aligned_voxels_are_rare():
    gaps = []
    for seed in range(50):
        _, _, maps, _ = cut(coordinates()[0], sample_window(seed, WHOLE, SIDE, 0.0))
        assert torch.equal(maps[0, :, :3], torch.eye(3))
        assert torch.equal(maps[0, :, 3] % 2, torch.zeros(3))
        gaps.append(maps[0, :, 3].norm())
    assert float(torch.stack(gaps).median()) > SIDE / 6


def test_labels_of_the_second_window_are_whole_numbers_of_the_cube():
    labels = torch.randint(3, 7, (WHOLE,) * 3, generator=torch.Generator().manual_seed(0)).float()
    found = cut(labels, sample_window(1, WHOLE, SIDE)).labels
    assert found.dtype == torch.uint8
    assert set(found.unique().tolist()) <= {0, 3, 4, 5, 6}


@pytest.mark.parametrize("step", [1, 2])
def test_feature_voxels_follow_input_voxels(step):
    affine = torch.tensor([[0.9, 0.1, 0.0, 3.0], [-0.1, 1.0, 0.0, -2.0], [0.0, 0.0, 1.1, 5.0]])
    bend = torch.tensor([1.0, -2.0, 0.5])[:, None, None, None].expand(3, 16, 16, 16)
    place = torch.tensor([[4.0, 5.0, 6.0]])
    centre = place * step + (step - 1) / 2
    there = centre @ affine[:, :3].T + affine[:, 3] + bend[:, 0, 0, 0]
    assert torch.allclose(follow(place, affine, bend, step) * step + (step - 1) / 2, there, atol=1e-5)
