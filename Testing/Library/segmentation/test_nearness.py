import itertools

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from SynthFoundationLib.segmentation.nearness import EDGE, FADE, LEAST_FADE, MOST, Nearness, geodesic

SPACING = (2.0, 1.0, 1.5)


def shortest_ways(intensity, spot):
    """Lengths of the shortest ways on the graph of voxels that share a face or an edge, by SciPy."""
    shape, index = intensity.shape, np.arange(intensity.size).reshape(intensity.shape)
    starts, ends, costs = [], [], []
    for offset in itertools.product((-1, 0, 1), repeat=3):
        if np.count_nonzero(offset) not in (1, 2):
            continue
        here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, shape, strict=True))
        there = tuple(slice(max(0, o), n + min(0, o)) for o, n in zip(offset, shape, strict=True))
        starts.append(index[here].ravel())
        ends.append(index[there].ravel())
        length = np.linalg.norm(np.multiply(offset, SPACING))
        costs.append((length + EDGE * np.abs(intensity[here] - intensity[there])).ravel())
    edges = (np.concatenate(starts), np.concatenate(ends))
    graph = coo_array((np.concatenate(costs), edges), shape=(intensity.size,) * 2).tocsr()
    return dijkstra(graph, indices=index[spot]).reshape(shape)


def from_spot(shape, spot):
    start = torch.full((1, *shape), 1e4)
    start[(0, *spot)] = 0.0
    return start


def test_distances_are_those_of_the_shortest_ways():
    volume = 0.05 * torch.rand(1, 9, 8, 7, generator=torch.Generator().manual_seed(0))
    found = geodesic(from_spot((9, 8, 7), (1, 1, 1)), volume, SPACING)[0].numpy()
    wanted = shortest_ways(volume[0].numpy().astype(float), (1, 1, 1))
    assert (found >= wanted - 1e-3).all()
    np.testing.assert_allclose(found, wanted, rtol=0.02, atol=1e-3)


def test_a_way_leads_round_a_wall():
    volume = torch.zeros(1, 1, 9, 9)
    volume[0, 0, :8, 4] = 1.0  # open at one end
    spot = (0, 0, 2)
    found = geodesic(from_spot((1, 9, 9), spot), volume, SPACING)[0].numpy()
    np.testing.assert_allclose(found, shortest_ways(volume[0].numpy(), spot), rtol=0.02)
    assert found[0, 0, 6] > found[0, 8, 6] > found[0, 8, 2]


def test_labels_part_where_an_edge_lies():
    volume = torch.zeros(1, 6, 8, 20)
    volume[..., 13:] = 0.5
    classes = np.full((6, 8, 20), -1)
    classes[3, 4, 2], classes[3, 4, 18] = 0, 1
    odds = Nearness(volume, (1.0, 1.0, 1.0)).odds(classes, 3)
    assert (odds[..., :13, 0] > odds[..., :13, 1]).all()  # though some of it is nearer to the other scribble
    assert (odds[..., 13:, 1] > odds[..., 13:, 0]).all()
    assert (odds[..., 2] == -MOST).all()  # nobody drew it
    np.testing.assert_allclose(odds[3, 4, 8, :2], [MOST, -MOST], atol=1e-3)


@pytest.mark.parametrize(("length", "fade"), [(21, LEAST_FADE), (161, 161 * FADE)])
@pytest.mark.parametrize("spacing", [1.0, 0.05])
def test_nearness_fades_by_shares_of_what_is_drawn(length, fade, spacing):
    classes = np.full((1, 1, length), -1)
    classes[0, 0, [0, length - 1]] = 0, 1
    odds = Nearness(torch.zeros(1, 1, 1, length), (spacing,) * 3).odds(classes, 2)
    farther = length - 1 - 2 * np.arange(length)
    np.testing.assert_allclose(odds[0, 0, :, 0], np.clip(farther / fade, -MOST, MOST), atol=2e-3)


def test_one_scribble_alone_says_nothing():
    classes = np.full((4, 5, 6), -1)
    assert not Nearness(torch.rand(1, 4, 5, 6), SPACING).odds(classes, 2).any()
    classes[1, 2, 3] = 1
    assert not Nearness(torch.rand(1, 4, 5, 6), SPACING).odds(classes, 2).any()


def test_an_edit_measures_only_what_was_drawn_on(monkeypatch):
    volume = torch.rand(2, 8, 9, 10, generator=torch.Generator().manual_seed(1))
    classes = np.full((8, 9, 10), -1)
    classes[1, 2, 3], classes[6, 6, 6], classes[4, 4, 1] = 0, 1, 2
    nearness = Nearness(volume, SPACING)
    nearness.odds(classes, 3)
    measured = []

    def counted(start, *others):
        measured.append(len(start))
        return geodesic(start, *others)

    monkeypatch.setattr("SynthFoundationLib.segmentation.nearness.geodesic", counted)
    classes[2, 2, 3] = 0
    edited = nearness.odds(classes, 3)
    assert measured == [1]
    assert torch.equal(edited, Nearness(volume, SPACING).odds(classes, 3))


def test_large_volumes_are_measured_in_larger_voxels(monkeypatch):
    volume = torch.zeros(1, 12, 24, 24)
    volume[..., 12:] = 1.0
    classes = np.full((12, 24, 24), -1)
    classes[5, 11, 2], classes[5, 11, 21] = 0, 1
    monkeypatch.setattr("SynthFoundationLib.segmentation.nearness.VOXELS", 1000)
    nearness = Nearness(volume, (2.0, 1.0, 1.0))
    assert nearness.factors == (2, 2, 2)
    odds = nearness.odds(classes, 2)
    assert odds.shape == (12, 24, 24, 2)
    assert (odds[..., :10, 0] > 0).all()
    assert (odds[..., 14:, 1] > 0).all()


@pytest.mark.parametrize("shape", [(1, 7, 1), (1, 1, 1), (2, 1, 9)])
def test_thin_volumes_are_no_exception(shape):
    classes = np.full(shape, -1)
    classes.flat[0], classes.flat[-1] = 0, 1 if classes.size > 1 else 0
    assert torch.isfinite(Nearness(torch.rand(1, *shape), SPACING).odds(classes, 2)).all()
