import numpy as np
import pytest
import torch

from SynthFoundationLib.pretraining.losses import label_contrast, place_contrast


def unit(*shape, seed=0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x, dim=-1)


def double_loop(z, labels, temperature):
    """Equation 2 of Khosla et al. (2020), term by term."""
    total = 0.0
    for i in range(len(z)):
        scores = {a: np.exp(z[i] @ z[a] / temperature) for a in range(len(z)) if a != i}
        positives = [p for p in scores if labels[p] == labels[i]]
        total -= sum(np.log(scores[p] / sum(scores.values())) for p in positives) / len(positives)
    return total / len(z)


@pytest.mark.parametrize("temperature", [0.07, 0.33, 1.0])
def test_label_loss_equals_the_double_loop(temperature):
    z = unit(14, 5)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 2, 0, 3, 3, 4, 4, 4, 4])
    expected = double_loop(z.double().numpy(), labels.numpy(), temperature)
    assert float(label_contrast(z, labels, temperature)) == pytest.approx(expected, rel=1e-5)


def test_label_loss_of_perfect_clusters_has_its_closed_form():
    # Two orthogonal classes of three: each anchor sees 2 positives at s = 1/τ and 3 negatives at 0.
    z = torch.eye(2).repeat_interleave(3, 0)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    expected = np.log(2 + 3 * np.exp(-1 / 0.33))
    assert float(label_contrast(z, labels, 0.33)) == pytest.approx(expected, rel=1e-5)


def test_label_loss_has_finite_gradients():
    z = unit(8, 4).requires_grad_()
    label_contrast(z, torch.arange(4).repeat(2), 0.1).backward()
    assert torch.isfinite(z.grad).all()


def test_place_loss_equals_the_double_loop():
    generator = torch.Generator().manual_seed(3)
    n, k, radius, temperature = 9, 4, 1.5, 0.1
    query, key, near = unit(n, 6, seed=1), unit(n, 6, seed=2), unit(n, k, 6, seed=3)
    place = torch.cat(
        (torch.randint(0, 2, (n, 1), generator=generator), torch.randint(0, 4, (n, 3), generator=generator)),
        1,
    )
    gap = 3 * torch.rand((n, k), generator=generator)

    def ignored(a, b):
        return a[0] == b[0] and float((a[1:] - b[1:]).float().norm()) < radius

    total = 0.0
    for i in range(n):
        scores = [float(query[i] @ key[j]) for j in range(n) if j == i or not ignored(place[i], place[j])]
        scores += [float(query[i] @ near[i, j]) for j in range(k) if gap[i, j] >= radius]
        exponents = np.exp(np.array(scores) / temperature)
        total -= np.log(np.exp(float(query[i] @ key[i]) / temperature) / exponents.sum())
    found = place_contrast(query, key, place, near, gap, radius, temperature)
    assert float(found) == pytest.approx(total / n, rel=1e-4)
