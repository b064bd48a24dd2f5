import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from few_slices import AROUND, evenly, stroked

COMMAND = [sys.executable, str(Path(__file__).parents[2] / "Benchmarks" / "few_slices.py")]


@pytest.fixture
def cases(tmp_path):
    """One case: two bright blocks of one body, three slices of it labelled."""
    truth = np.zeros((16, 20, 24), np.uint8)
    truth[3:13, 6:14, 4:11], truth[3:13, 6:14, 11:18] = 1, 2
    noise = np.random.default_rng(0).normal(0, 0.05, truth.shape)
    case = tmp_path / "cases" / "blocks_1"
    case.mkdir(parents=True)
    for name, array in (("image", 1 + truth + noise), ("truth", truth)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(case / f"{name}.nii.gz"))
    (case / "info.json").write_text(json.dumps({"axis": 0, "n": 2, "slices_3": [4, 8, 11]}))
    return case.parent


def scored(cases, *options):
    command = [*COMMAND, str(cases), "-k", "3", "--features", "none", "--threads", "1", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row, means = done.stdout.splitlines()
    assert means.startswith("blocks  K=3 ")
    return json.loads(row)


@pytest.mark.parametrize("options", [(), ("--strokes",)])
def test_it_scores_the_slices_that_nobody_labelled(cases, options):
    row = scored(cases, *options)
    assert row["case"] == "blocks_1"
    assert row["K"] == 3
    assert len(row["per"]) == 2
    assert row["dice"] == pytest.approx(np.mean(row["per"]), abs=1e-3)
    assert row["dice"] > 0.8


@pytest.mark.skipif(
    importlib.util.find_spec("slicer") is None,
    reason="it is a filter of Slicer: slicer-core has wheels for some platforms only",
)
@pytest.mark.parametrize("options", [(), ("--strokes",)])
def test_it_scores_grow_from_seeds(cases, options):
    assert scored(cases, "--grow-from-seeds", *options)["dice"] > 0.8


def test_strokes_lie_inside_structures_and_around_them():
    plane = np.zeros((30, 30), np.uint8)
    plane[8:20, 8:14], plane[8:20, 14:22] = 1, 2
    strokes = stroked(plane, 9, np.random.default_rng(0))
    drawn = (strokes > 0) & (strokes < 9)
    assert (strokes[drawn] == plane[drawn]).all()
    assert 0 < (strokes == 1).sum() < (plane == 1).sum()
    rows, columns = np.nonzero(strokes == 9)
    assert (plane[rows, columns] == 0).all()
    assert rows.min() >= 8 - AROUND[1]
    assert columns.max() <= 21 + AROUND[1]


def test_nothing_is_stroked_where_there_is_no_structure():
    assert not stroked(np.zeros((9, 9), np.uint8), 9, np.random.default_rng(0)).any()


@pytest.mark.parametrize(("k", "slices"), [(1, [10]), (2, [7, 13]), (3, [6, 10, 14])])
def test_slices_are_the_middles_of_equal_parts(k, slices):
    planes = np.zeros((20, 3, 3), np.uint8)
    planes[4:17, 1, 1] = 1
    assert evenly(planes, k) == slices
