import numpy as np
import torch

from SynthFoundationLib.pretraining import anchors


def cube():
    labels = torch.zeros(16, 16, 16, dtype=torch.uint8)
    labels[:, :, 8:] = 1
    labels[4:6, 4:6, 12:14] = 2
    return labels


def test_borders_are_the_voxels_with_another_face_neighbour():
    labels = cube()
    padded = torch.nn.functional.pad(labels[None, None].float(), (1,) * 6, mode="replicate")[0, 0]
    expected = torch.zeros_like(labels, dtype=torch.bool)
    for axis in range(3):
        for shift in (-1, 1):
            moved = padded.roll(shift, axis)[1:-1, 1:-1, 1:-1]
            expected |= moved != labels
    assert torch.equal(anchors.borders(labels[None])[0], expected)


def test_small_labels_are_drawn_far_more_often_than_their_volume_says():
    labels = cube()
    weights = anchors.anchor_weights(labels[None], 1.0, 0.5)[0]
    small = float(weights[labels.flatten() == 2].sum() / weights.sum())
    assert small > 10 * float((labels == 2).float().mean())


def test_border_voxels_weigh_more_by_the_factor_asked_for():
    labels = cube()
    plain, preferred = (anchors.anchor_weights(labels[None], border, 0.99)[0] for border in (1.0, 3.0))
    inside = labels.flatten() == 1
    border = anchors.borders(labels[None]).flatten()
    assert torch.allclose(preferred[inside & border], 3 * plain[inside & border])
    assert torch.allclose(preferred[inside & ~border], plain[inside & ~border])


def test_background_takes_at_most_its_share():
    labels = cube()
    weights = anchors.anchor_weights(labels[None], 3.0, 0.1)[0]
    assert float(weights[labels.flatten() == 0].sum() / weights.sum()) <= 0.1 + 1e-5
    both = anchors.anchor_weights(torch.stack((labels, labels.flip(0))), 3.0, 0.1)
    assert torch.equal(both[0], weights)
    assert torch.allclose(both[1].reshape(labels.shape).flip(0).flatten(), weights)
    only = anchors.anchor_weights(torch.zeros(1, 4, 4, 4, dtype=torch.uint8), 3.0, 0.1)
    assert torch.isfinite(only).all()
    assert (only > 0).all()


def test_draws_are_distinct_reproducible_and_follow_the_weights():
    weights = torch.tensor([[1.0, 1.0, 8.0, 0.0, 1.0]])
    counts = torch.zeros(5)
    for seed in range(400):
        drawn = anchors.draw(weights, 2, torch.Generator().manual_seed(seed))[0]
        assert len(set(drawn.tolist())) == 2
        counts[drawn] += 1
    assert counts[2] > 350
    assert counts[3] == 0
    again = [anchors.draw(weights, 3, torch.Generator().manual_seed(9)) for _ in range(2)]
    assert torch.equal(*again)
    assert anchors.draw(weights, 99, torch.Generator().manual_seed(0)).shape == (1, 5)


def test_places_are_those_of_numpy():
    shape = (3, 4, 5)
    place = anchors.unravel(torch.arange(60), shape)
    assert place.T.tolist() == [axis.tolist() for axis in np.unravel_index(np.arange(60), shape)]


def test_neighbours_stay_on_the_grid_and_near():
    shape = (6, 7, 8)
    place = anchors.unravel(torch.arange(6 * 7 * 8), shape)
    near = anchors.neighbours(place, shape, 5, torch.Generator().manual_seed(0))
    assert near.shape == (336, 5, 3)
    assert (near >= 0).all()
    assert (near < torch.tensor(shape)).all()
    assert float((near - place[:, None]).float().norm(dim=2).max()) < 7


def test_coarse_labels_are_those_at_the_centres_of_cells():
    labels = torch.arange(4 * 4 * 4).reshape(1, 4, 4, 4)
    coarse = anchors.labels_at(labels, (2, 2, 2))
    assert torch.equal(coarse[0], labels[0, 1::2, 1::2, 1::2])
