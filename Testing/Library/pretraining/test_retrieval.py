import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.errors import InputError, WeightsError
from SynthFoundationLib.pretraining.evaluate import evaluate_features, load_network
from SynthFoundationLib.pretraining.retrieval import retrieval


def noise(seed, channels=8, side=12):
    return torch.randn((channels, side, side, side), generator=torch.Generator().manual_seed(seed))


def test_a_volume_finds_itself_everywhere():
    features = noise(0)
    found = retrieval(features, features, torch.ones(12, 12, 12, dtype=torch.bool), (2.0, 2.0, 2.0))
    assert found["within"] == 1.0
    assert found["median_mm"] == 0.0
    assert found["local_mm"] == 0.0


def test_unrelated_features_are_found_by_chance_alone():
    mask = torch.ones(12, 12, 12, dtype=torch.bool)
    found = retrieval(noise(0), noise(1), mask, (2.0, 2.0, 2.0))
    assert found["within"] == pytest.approx(found["chance"], abs=0.02)
    # The mean distance to a random place of a ball is 3/4 of its radius, a little less at edges.
    assert found["local_mm"] == pytest.approx(0.75 * 12, abs=0.8)


@pytest.mark.parametrize(("shift", "within"), [(2, 1.0), (3, 0.0)])
def test_the_error_is_measured_in_millimetres(shift, within):
    features = noise(0)
    mask = torch.zeros(12, 12, 12, dtype=torch.bool)
    mask[3:-3, 3:-3, 3:-3] = True
    moved = features.roll(shift, 1)
    everywhere = torch.ones_like(mask)
    found = retrieval(features, moved, everywhere, (2.0, 2.0, 2.0), queries=10**6)
    inside = retrieval(
        features[:, : 12 - shift], moved[:, : 12 - shift], everywhere[: 12 - shift], (2.0, 2.0, 2.0)
    )
    assert found["median_mm"] == pytest.approx(2.0 * shift)
    assert (found["within"] > 0.8) == bool(within)
    assert inside["within"] < 1


def test_another_grid_or_an_empty_mask_is_refused():
    with pytest.raises(InputError, match="one grid"):
        retrieval(noise(0), noise(0, side=10), torch.ones(12, 12, 12, dtype=torch.bool), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="empty"):
        retrieval(noise(0), noise(0), torch.zeros(12, 12, 12, dtype=torch.bool), (1.0, 1.0, 1.0))


def test_hand_made_features_are_compared_on_files(tmp_path):
    z, y, x = torch.meshgrid(*(torch.arange(32.0),) * 3, indexing="ij")
    ball = ((z - 16) ** 2 + (y - 15) ** 2 + (x - 17) ** 2).sqrt()
    texture = torch.rand((32, 32, 32), generator=torch.Generator().manual_seed(0))
    scan = torch.where(ball < 11, 100 + 40 * texture, 0.0)
    for name, volume in (("a", scan), ("b", 300 - scan)):
        sitk.WriteImage(sitk.GetImageFromArray(volume.numpy()), str(tmp_path / f"{name}.nii.gz"))
    pair = (tmp_path / "a.nii.gz", tmp_path / "a.nii.gz")
    rows = evaluate_features(None, tmp_path / "rows.csv", [pair], queries=200)
    assert {row["features"] for row in rows} == {"mind", "intensity"}
    assert next(row for row in rows if row["features"] == "mind")["within"] == 1.0
    assert (tmp_path / "rows.csv").read_text().startswith("pair,features,within")


def test_nothing_to_evaluate_and_files_without_a_network_are_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate_features(None)
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="damaged"):
        load_network(tmp_path / "x.safetensors")
