import random

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.synthesis import open_templates, render, sample, synthesize
from SynthFoundationLib.synthesis.anatomy import Ledger, body, chain, clusters, parcels, sheets, solids, tree
from SynthFoundationLib.synthesis.paint import paint
from SynthFoundationLib.synthesis.templates import template

CPU = torch.device("cpu")
STILL = {
    "matrix": [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]],
    "shift": [0.0, 0.0, 0.0],
    "warps": [{"seed": 0, "cells": [1, 1, 1], "size": 0.0}],
    "bumps": [{"seed": 0, "cells": [2, 2, 2]}] * 3,
}


def solid(**more):
    layer = {"kind": "solid", "center": [0, 0, 0], "matrix": [[2, 0, 0], [0, 2, 0], [0, 0, 2]], "reach": 0.5}
    return {
        **layer,
        "power": 2,
        "bump": 0,
        "amplitude": 0.0,
        "shells": [1.0],
        "labels": [3],
        "inside": False,
        **more,
    }


def fraction(labels, value):
    return float((labels == value).float().mean())


def test_a_ball_has_the_volume_of_a_ball():
    labels = paint({"layers": [solid()], **STILL}, (48, 48, 48), CPU)
    assert fraction(labels, 3) == pytest.approx(4 / 3 * np.pi * 0.5**3 / 8, rel=0.02)


def test_nested_shells_share_out_the_ball():
    labels = paint({"layers": [solid(shells=[1.0, 0.5], labels=[1, 2])]} | STILL, (64, 64, 64), CPU)
    assert fraction(labels, 2) / (fraction(labels, 1) + fraction(labels, 2)) == pytest.approx(1 / 8, rel=0.05)


def test_a_shape_is_the_same_painted_in_its_box_or_in_a_larger_window():
    far = solid(center=[0.3, -0.4, 0.5])
    wide = {**STILL, "matrix": [[2.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0]]}
    small = paint({"layers": [far], **STILL}, (32, 32, 32), CPU)
    large = paint({"layers": [far], **wide}, (64, 64, 64), CPU)
    assert torch.equal(large[16:48, 16:48, 16:48], small)


def test_a_tube_has_the_volume_of_a_capsule():
    tube = {
        "kind": "tube",
        "ends": [[0.01, 0.013, -0.5], [0.01, 0.013, 0.5]],
        "radii": [0.2, 0.2],
        "label": 5,
        "inside": False,
    }
    labels = paint({"layers": [tube], **STILL}, (64, 64, 64), CPU)
    expected = (np.pi * 0.2**2 * 1.0 + 4 / 3 * np.pi * 0.2**3) / 8
    assert fraction(labels, 5) == pytest.approx(expected, rel=0.03)


def test_inside_layers_never_leave_the_body():
    organ = solid(center=[0.4, 0, 0], labels=[7], inside=True)
    labels = paint({"layers": [solid(), organ], **STILL}, (32, 32, 32), CPU)
    ball = paint({"layers": [solid()], **STILL}, (32, 32, 32), CPU)
    assert fraction(labels, 7) > 0
    assert torch.equal(labels > 0, ball > 0)


def test_a_mask_clears_everything_outside():
    mask = solid(kind="mask", width=0.1, filling=9, labels=[8])
    labels = paint({"layers": [solid(center=[0.9, 0.9, 0.9], labels=[1]), mask], **STILL}, (32, 32, 32), CPU)
    assert set(labels.unique().tolist()) == {0, 8, 9}


@pytest.mark.parametrize("family", [body, chain, clusters, parcels, sheets, solids, tree])
def test_every_family_paints_its_labels(family):
    found = set()
    for seed in range(3):
        rng = random.Random(seed)
        layers = family(rng, Ledger(rng))
        found |= set(paint({"layers": layers, **STILL}, (32, 32, 32), CPU).unique().tolist())
    assert found - {0}


def write(array, path, spacing=(1.0, 1.0, 1.0)):
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def test_template_folders_are_cached_once_and_used(tmp_path):
    block = np.zeros((10, 12, 14))
    block[2:8, 3:9, 4:10] = 1
    write(block, tmp_path / "s1" / "segmentations" / "liver.nii.gz", (1.0, 1.0, 2.0))
    write(2 * block, tmp_path / "s2" / "labels.nii.gz")
    (tmp_path / "s1" / "ct.nii.gz").write_bytes(b"an image, not a label map")
    opened = open_templates(tmp_path)
    assert opened["count"] == 2
    stamp = (tmp_path / ".shapes.safetensors").stat().st_mtime_ns
    assert open_templates(tmp_path) == opened
    assert (tmp_path / ".shapes.safetensors").stat().st_mtime_ns == stamp
    # Voxels of 2 mm along z: the box is twice as long there.
    assert tuple(template(opened["cache"], 0).shape) == (64, 32, 32)
    pair = render(sample(1, (32, 32, 32), opened))
    assert len(pair.labels.unique()) > 3


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(InputError, match="no label map"):
        open_templates(tmp_path)


def test_synthesize_writes_pairs_parameters_and_a_sheet(tmp_path):
    pytest.importorskip("matplotlib")
    sheet = synthesize(2, tmp_path / "pairs", size=24, seed=5)
    names = {p.name for p in (tmp_path / "pairs").iterdir()}
    assert sheet.name == "sheet.png"
    assert {"0001_view1.nii.gz", "0001_view2.nii.gz", "0001_labels.nii.gz", "0001_parameters.json"} <= names
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "pairs" / "0001_labels.nii.gz")))
    assert np.array_equal(written, render(sample(6, (24, 24, 24))).labels.numpy())


def test_pairs_of_an_earlier_run_make_way_and_label_maps_of_the_user_do_not(tmp_path):
    pytest.importorskip("matplotlib")
    theirs = tmp_path / "0007_labels.nii.gz"
    theirs.write_bytes(b"drawn by hand")
    synthesize(2, tmp_path, size=16)
    synthesize(1, tmp_path, size=16)
    assert theirs.read_bytes() == b"drawn by hand"
    assert not list(tmp_path.glob("0001_*"))
