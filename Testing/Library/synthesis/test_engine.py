import json

import pytest
import torch

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.synthesis import render, render_batch, sample

SHAPE = (32, 24, 40)


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_same_seed_gives_the_same_pair_whatever_was_rendered_before():
    first = render(sample(7, SHAPE))
    render(sample(8, SHAPE))
    torch.manual_seed(123)
    assert equal(first, render(sample(7, SHAPE)))


def test_parameters_survive_json():
    parameters = sample(3, SHAPE)
    again = json.loads(json.dumps(parameters))
    assert again == parameters
    assert equal(render(parameters), render(again))


def test_other_seeds_give_other_pairs():
    a, b = render(sample(0, SHAPE)), render(sample(1, SHAPE))
    assert not torch.equal(a.labels, b.labels)


def test_a_batch_equals_the_loop():
    batch = [sample(seed, SHAPE) for seed in (4, 5)]
    views1, views2, labels = render_batch(batch)
    assert views1.shape == (2, 1, *SHAPE)
    for k, parameters in enumerate(batch):
        assert equal(render(parameters), (views1[k, 0], views2[k, 0], labels[k]))


@pytest.mark.parametrize("seed", range(40))
def test_views_are_finite_and_in_the_unit_range(seed):
    pair = render(sample(seed, (24, 24, 24)))
    for view in (pair.view1, pair.view2):
        assert view.shape == pair.labels.shape
        assert view.dtype == torch.float32
        assert torch.isfinite(view).all()
        assert view.min() >= 0
        assert view.max() <= 1
    assert pair.labels.dtype == torch.uint8


def test_the_two_views_share_borders_but_not_contrast():
    correlations, edges = [], []
    for seed in range(12):
        pair = render(sample(seed, (32, 32, 32)))
        a, b = pair.view1.flatten(), pair.view2.flatten()
        if a.std() > 0.02 and b.std() > 0.02:
            correlations.append(float(torch.corrcoef(torch.stack((a, b)))[0, 1]))
            steps = [(v[1:] - v[:-1]).abs().flatten() for v in (pair.view1, pair.view2)]
            border = (pair.labels[1:] != pair.labels[:-1]).flatten()
            if border.any():
                edges.append(all(s[border].mean() > s[~border].mean() for s in steps))
    assert min(correlations) < 0.3
    assert sum(edges) > 0.7 * len(edges)


def test_rotating_the_window_moves_the_anatomy_and_keeps_its_labels():
    parameters = sample(11, (32, 32, 32))
    labels = render(parameters).labels
    parameters["anatomy"]["shift"] = [s + 0.2 for s in parameters["anatomy"]["shift"]]
    moved = render(parameters).labels
    assert not torch.equal(labels, moved)
    assert set(moved.unique().tolist()) & set(labels.unique().tolist())


@pytest.mark.parametrize("shape", [(32, 32), (8, 32, 32), (32, 32, 32, 32)])
def test_impossible_shapes_are_refused(shape):
    with pytest.raises(InputError, match="three sizes"):
        sample(0, shape)


def test_a_thousand_seeds_have_eight_to_forty_labels_mostly():
    counts = [len(sample(seed)["anatomy"]["tissue_of"]) - 1 for seed in range(1000)]
    assert min(counts) >= 8
    assert sum(count >= 40 for count in counts) > 100
    assert max(counts) <= 119
