import pytest
import torch

from SynthFoundationLib.synthesis.statistics import image_statistics, label_statistics, touching


def scene():
    labels = torch.zeros(8, 8, 8, dtype=torch.uint8)
    labels[:, :, 4:] = 1
    labels[:4, :, 6:] = 2
    return labels


def test_labels_are_counted_without_background():
    found = label_statistics(scene())
    assert found["labels"] == 2
    assert found["smallest_volume"] == pytest.approx(4 * 8 * 2 / 512)
    assert label_statistics(torch.zeros(4, 4, 4, dtype=torch.uint8)) == {"labels": 0.0}


def test_touching_labels_are_found_once():
    assert touching(scene()).tolist() == [[0, 1], [1, 2]]


def test_contrast_is_the_difference_of_means_and_noise_divides_it():
    labels = scene()
    checker = torch.arange(512).reshape(8, 8, 8) % 2 * 0.2 - 0.1
    image = torch.tensor([0.2, 0.5, 0.9])[labels.long()] + checker
    found = image_statistics(image, labels)
    assert found["contrast"] == pytest.approx(0.3, abs=1e-6)
    assert found["spread"] == pytest.approx(0.1, abs=1e-6)
    assert found["contrast_to_noise"] == pytest.approx(3.0, abs=1e-4)
