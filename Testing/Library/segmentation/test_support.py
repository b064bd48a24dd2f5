"""Segmentation of a scan from other labelled scans: votes, patches, a head, and what is refused."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from ellipsoids import GRID, dice, scene
from scipy import ndimage
from typer.testing import CliRunner

from SynthFoundationLib import segmentation
from SynthFoundationLib.cli.app import app
from SynthFoundationLib.errors import DeviceError, InputError
from SynthFoundationLib.geometry import Affine
from SynthFoundationLib.images import Image, LabelMap, as_image, as_labels, write_image, write_labels
from SynthFoundationLib.segmentation import segment_from_support
from SynthFoundationLib.segmentation import support as support_module
from SynthFoundationLib.segmentation.matching import comparable, matched_votes, noise_of, shifted
from SynthFoundationLib.segmentation.support import Support


def moved_by(voxels):
    """The transform that sends points so many voxels (i, j, k) further."""
    matrix = np.eye(4)
    matrix[:3, 3] = GRID.to_physical(voxels) - GRID.to_physical([0, 0, 0])
    return Affine(matrix)


@pytest.fixture(scope="module")
def support():
    """Two labelled scans, and transforms to them that miss by a voxel."""
    cases = [scene(seed=n, shift=2.0 * n) for n in (1, 2)]
    transforms = [moved_by([2.0 * n - 1.0, 0.5, 0]) for n in (1, 2)]
    return [(i, GRID) for i, _ in cases], [(t, GRID) for _, t in cases], transforms


def test_fusion_beats_the_labels_that_registration_carries_over(support):
    image, truth = scene(seed=5)
    result = segment_from_support((image, GRID), *support).labels.data.numpy()
    for label in (3, 7):
        carried = [
            ndimage.shift((t == label).astype(float), [0, -0.5, 1 - 2.0 * n], order=1)
            for n, (t, _) in enumerate(support[1], 1)
        ]
        assert dice(result, truth, label) > dice(np.where(sum(carried) > 1, label, 0), truth, label) + 0.02
        assert dice(result, truth, label) > 0.9


def test_scans_of_another_contrast_are_recognised_and_used(support):
    image, truth = scene(seed=5)
    for contrast in ("auto", "other"):
        result = segment_from_support((3 - image, GRID), *support, contrast=contrast)
        assert dice(result.labels.data.numpy(), truth, 3) > 0.85


def test_support_on_grids_of_its_own_carries_names_and_colours(support):
    image, truth = scene(seed=5)
    scans, maps, transforms = support
    coarse = GRID.with_spacing(2.0)
    index = coarse.to_physical(np.stack(np.mgrid[:32, :22, :20], -1)[..., ::-1])
    places = GRID.to_index(index)[..., ::-1]
    found = ndimage.map_coordinates(maps[0][0], np.moveaxis(places, -1, 0), order=0)
    labels = LabelMap(torch.from_numpy(found[: coarse.shape[0]]), coarse, {3: "outer"}, {3: (1, 0, 0)})
    result = segment_from_support((image, GRID), scans[:1], [labels], transforms[:1])
    assert (result.labels.names, result.labels.colors) == ({3: "outer"}, {3: (1, 0, 0)})
    assert result.labels.grid == GRID
    assert dice(result.labels.data.numpy(), truth, 3) > 0.8


def test_a_structure_that_looks_otherwise_here_stays_where_the_scans_put_it(support, monkeypatch):
    image, truth = scene(seed=5)
    faint = np.where(truth == 7, image - 0.6, image)
    found = segment_from_support((faint, GRID), *support, contrast="same").labels.data.numpy()
    monkeypatch.setattr(support_module, "TRUST", 0.0)
    votes = segment_from_support((faint, GRID), *support, contrast="same").labels.data.numpy()
    assert dice(found, truth, 7) > dice(votes, truth, 7) - 0.05
    assert dice(found, truth, 3) > dice(votes, truth, 3)


def test_a_mouse_is_segmented_like_a_person(support):
    image, truth = scene(seed=5)
    small = replace(
        GRID, spacing=tuple(s / 10 for s in GRID.spacing), origin=tuple(o / 10 for o in GRID.origin)
    )
    steps = [small.to_physical([2.0 * n - 1.0, 0.5, 0]) - small.to_physical([0, 0, 0]) for n in (1, 2)]
    transforms = [Affine(np.block([[np.eye(3), s[:, None]], [np.zeros(3), 1]])) for s in steps]
    scans, maps = ([(array, small) for array, _ in given] for given in support[:2])
    result = segment_from_support((image, small), scans, maps, transforms).labels.data.numpy()
    plain = segment_from_support((image, GRID), *support).labels.data.numpy()
    for label in (3, 7):
        assert dice(result, truth, label) > dice(plain, truth, label) - 0.01


def test_scans_are_registered_where_no_transform_is_given(support):
    image, truth = scene(seed=5)
    told = []
    result = segment_from_support(
        (image, GRID), support[0][:1], support[1][:1], progress=lambda stage, fraction: told.append(fraction)
    )
    assert dice(result.labels.data.numpy(), truth, 3) > 0.85
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= 1


def test_large_regions_are_worked_on_in_merged_voxels(support):
    image, truth = scene(seed=5)
    result = segment_from_support((image, GRID), *support, max_voxels=1)
    assert result.scores.frame.voxels <= 20_000
    assert dice(result.labels.data.numpy(), truth, 3) > 0.85


@pytest.mark.parametrize("contrast", ["same", "other"])
def test_many_scans_are_looked_at_one_at_a_time(support, monkeypatch, contrast):
    image, _ = scene(seed=5)
    many = [part * 3 for part in support]
    monkeypatch.setattr(support_module, "FEWEST_VOXELS", 100_000)
    free = segment_from_support((image, GRID), *many, contrast=contrast)
    landed, alive, most = Support.landed, [], []

    def watched(self, grid, values):
        result = landed(self, grid, values)
        alive.append(weakref.ref(result))
        most.append(sum(one() is not None for one in alive))
        return result

    monkeypatch.setattr(Support, "landed", watched)
    monkeypatch.setattr(support_module, "MAX_VALUES", 10)
    short = segment_from_support((image, GRID), *many, contrast=contrast)
    assert max(most) <= 2
    assert short.scores.frame == free.scores.frame
    assert torch.equal(short.confidence.data, free.confidence.data)


def test_scans_are_registered_where_the_user_wants(support):
    with pytest.raises(DeviceError, match="cuda:7"):
        segment_from_support((scene(seed=5)[0], GRID), support[0][:1], support[1][:1], device="cuda:7")


def test_the_command_passes_the_device_on(support, monkeypatch, tmp_path):
    write_image(as_image(support[0][0]), tmp_path / "a.nii.gz")
    write_labels(as_labels(support[1][0]), tmp_path / "a_labels.nii.gz")
    given = {}
    monkeypatch.setattr(segmentation, "segment_from_support", lambda *_, **options: given.update(options))
    arguments = ["segment", tmp_path / "a.nii.gz", "--support", tmp_path, "-o", tmp_path / "o.nii.gz"]
    CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])
    assert given["device"] == torch.device("cpu")


def test_more_features_take_part(support):
    image, truth = scene(seed=5)
    asked = []

    def features(scan):
        asked.append(scan)
        return Image(torch.from_numpy(ndimage.gaussian_filter(scan.data.numpy(), (0, 2, 2, 2))), scan.grid)

    result = segment_from_support((image, GRID), *support, features=features)
    assert len(asked) == 3
    assert dice(result.labels.data.numpy(), truth, 7) > 0.9


def test_the_same_patches_one_voxel_off_are_found():
    volume = torch.from_numpy(np.random.default_rng(0).random((1, 12, 13, 14), dtype=np.float32))
    inside = torch.from_numpy(scene()[1][10:22, 12:25, 14:28] == 7).float()
    votes = torch.stack([1 - inside, inside])
    step = (1, 0, -1)
    found = matched_votes(volume, [shifted(volume, (-1, 0, 1))], [shifted(votes, (-1, 0, 1))])
    middle = (slice(None), slice(2, -2), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(found[middle], votes[middle], atol=1e-3, rtol=0)
    plain = shifted(shifted(votes, (-1, 0, 1)), step)
    torch.testing.assert_close(plain[middle], votes[middle])


def test_noise_is_told_from_what_varies_slowly():
    rng = np.random.default_rng(0)
    slow = torch.linspace(0, 3, 40).expand(2, 40, 40, 40)
    noise = torch.from_numpy(rng.normal(0, 0.3, (2, 40, 40, 40)).astype(np.float32))
    found = noise_of(slow + noise)[6:-6, 6:-6, 6:-6]
    torch.testing.assert_close(found, torch.full_like(found, 2 * 0.3**2), rtol=0.3, atol=0)
    assert noise_of(slow)[2:-2, 2:-2, 8:-8].max() < 1e-4


def test_where_differences_are_noise_scans_count_alike():
    """Five scans of pure noise, one of which calls all voxels a structure: it has a fifth of the votes."""
    rng = np.random.default_rng(1)
    fixed, *scans = torch.from_numpy(rng.normal(0, 1, (6, 1, 16, 16, 16)).astype(np.float32))
    votes = [
        torch.stack([torch.full((16, 16, 16), float(n != 0)), torch.full((16, 16, 16), float(n == 0))])
        for n in range(5)
    ]
    spread = [matched_votes(fixed, scans, votes, noise)[1].std() for noise in (0.0, noise_of(fixed))]
    mean = matched_votes(fixed, scans, votes, noise_of(fixed))[1].mean()
    assert spread[1] < 0.7 * spread[0]
    assert abs(mean - 0.2) < 0.02


def test_what_is_compared_ignores_shading():
    volume = torch.from_numpy(np.random.default_rng(1).random((1, 16, 16, 16), dtype=np.float32)) / 2
    shade = torch.linspace(0.6, 1.4, 16)
    plain, shaded = (comparable(v, (1.0, 1.0, 1.0), True) for v in (volume, volume * shade + 0.1 * shade))
    assert torch.corrcoef(torch.stack([plain.flatten(), shaded.flatten()]))[0, 1] > 0.99
    assert comparable(volume, (1.0, 1.0, 1.0), False).shape == (12, 16, 16, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"support_images": [], "support_labels": [], "transforms": None}, "at least one"),
        ({"support_labels": []}, "as many of each"),
        ({"transforms": []}, "0 transforms"),
        ({"support_labels": [(np.zeros(GRID.shape, int), GRID)] * 2}, "empty"),
        ({"transforms": [moved_by([900, 0, 0])] * 2}, "outside the image"),
        ({"contrast": "T1"}, "auto, same, other"),
        ({"support_images": [[(scene()[0], GRID)] * 2] * 2}, "contrasts"),
    ],
)
def test_unusable_support_is_refused(support, change, message):
    names = ("support_images", "support_labels", "transforms")
    with pytest.raises(InputError, match=message):
        segment_from_support((scene()[0], GRID), **(dict(zip(names, support, strict=True)) | change))
