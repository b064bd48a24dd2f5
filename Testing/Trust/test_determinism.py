"""The same input and seed give the same bytes; the number of threads changes nothing that can be seen."""

import numpy as np
import pytest
import torch

from SynthFoundationLib.demo import make_pair, make_small_pair
from SynthFoundationLib.geometry import grid_points, write_transform
from SynthFoundationLib.images import write_image
from SynthFoundationLib.registration import register
from SynthFoundationLib.segmentation import segment

AGREED_MM = 1e-4


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("features", ["mind", pytest.param("auto", marks=pytest.mark.slow)])
def test_a_registration_run_twice_gives_identical_files(tmp_path, features):
    fixed, moving, _ = make_small_pair()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        result = register(fixed, moving, preset="fast", features=features)
        write_image(result.moved, tmp_path / name / "moved.nii.gz")
        write_transform(result.transform, tmp_path / name / "transform.h5")
        write_transform(result.inverse, tmp_path / name / "inverse.h5")
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_a_segmentation_run_twice_gives_the_same_bits():
    image = make_small_pair()[0]
    seeds = torch.zeros(image.grid.shape, dtype=torch.int32)
    seeds[24] = (image.data[0, 24] > 100).int() + 1
    first, second = (segment(image, (seeds, image.grid)) for _ in range(2))
    assert torch.equal(first.labels.data, second.labels.data)
    assert torch.equal(first.confidence.data, second.confidence.data)


@pytest.mark.parametrize(
    ("pair", "features"),
    [
        (make_small_pair, "mind"),
        pytest.param(make_small_pair, "auto", marks=pytest.mark.slow),
        pytest.param(make_pair, "auto", marks=pytest.mark.slow),
    ],
    ids=["small", "small, learned", "head, learned"],
)
def test_one_and_two_threads_agree(threads, pair, features):
    fixed, moving, _ = pair()
    found = []
    for count in (1, 2):
        threads(count)
        result = register(fixed, moving, preset="fast", features=features)
        found.append(result.transform(grid_points(fixed.grid).double()))
    difference = float((found[0] - found[1]).norm(dim=-1).max())
    print(f"1 and 2 threads differ by at most {difference:.2e} mm")
    assert difference <= AGREED_MM
    assert np.isfinite(difference)
