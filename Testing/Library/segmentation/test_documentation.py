"""What docs/few-shot.md shows in Python runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

PAGE = Path(__file__).parents[3] / "docs" / "few-shot.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """Two contrasts of a ball with a kernel, and seeds on some slices, in the working folder; the truth."""
    z, y, x = np.mgrid[-1:1:24j, -1:1:26j, -1:1:28j]
    radius = np.sqrt(z**2 + 1.2 * y**2 + x**2)
    truth = np.where(radius < 0.4, 2, np.where(radius < 0.75, 1, 0))
    noise = np.random.default_rng(0).normal(0, 4, truth.shape)
    monkeypatch.chdir(tmp_path)
    images = {"scan": (60, 130, 200), "t1": (60, 130, 200), "flair": (60, 220, 110)}
    for name, tones in images.items():
        _write(np.where(radius < 0.95, np.array(tones)[truth], 0) + noise, f"{name}.nii.gz")
    given = {"seeds": [5, 8, 11, 14, 18]}
    given["more_seeds"] = [*given["seeds"], 12]
    given["even_more_seeds"] = [*given["more_seeds"], 16]
    for name, slices in given.items():
        seeds = np.zeros_like(truth)
        seeds[slices] = truth[slices]
        _write(seeds, f"{name}.nii.gz")
    return truth


def _write(volume, name):
    kind = np.uint8 if volume.dtype.kind == "i" else np.float32
    sitk.WriteImage(sitk.GetImageFromArray(volume.astype(kind)), name)


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_the_page_s_python_runs_and_labels_the_ball(scans, block):
    assert len(block.strip().splitlines()) <= 10
    names = {}
    exec(block, names)
    labels = (names.get("found") or names["result"].labels).data.numpy()
    for label in (1, 2):
        ours = labels == label
        assert ours.any()
        assert (scans == label)[ours].mean() > 0.7  # how accurate is measured on scans, not here
