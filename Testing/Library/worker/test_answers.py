"""The other methods of the real process, and the documentation's table of them."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import SynthFoundationLib.worker
from SynthFoundationLib import __version__
from SynthFoundationLib.demo import make_small_pair
from SynthFoundationLib.features.extract import extract_features
from SynthFoundationLib.features.pca import features_to_rgb
from SynthFoundationLib.worker.client import WorkerError
from SynthFoundationLib.worker.methods import TABLE

from .conftest import left, plain


def test_features_are_shown_as_the_library_colours_them(sent, pair):
    answer = sent.call("feature_picture", {"volume": "fixed", "features": "mind"})
    wanted = features_to_rgb([extract_features(pair[0], "mind").data])[0].movedim(0, -1)
    np.testing.assert_allclose(answer["array"] / 255, wanted.numpy(), atol=0.02)
    assert answer["grid"]["size"] == list(pair[0].grid.size)
    assert answer["parts"] == [["mind", 12]]
    assert sent.call("status")["feature_bytes"] > 0
    assert sent.call("clear_cache")["freed_bytes"] > 0
    assert sent.call("status")["feature_bytes"] == 0


def test_the_doctor_says_what_is_there(client):
    answer = client.call("doctor", {"self_test": False})
    assert answer["version"] == __version__
    assert answer["packages"]["torch"] == torch.__version__
    assert "cpu" in [device["name"] for device in answer["devices"]]
    assert answer["self_test"] == []


def test_samples_are_those_of_the_demo(client):
    answer = client.call("sample_pair", {"small": True, "seed": 3})
    for name, image in zip(("fixed", "moving"), make_small_pair(3)[:2], strict=True):
        np.testing.assert_array_equal(answer[name]["array"], image.data[0].numpy())
        assert answer[name]["grid"] == {k: list(v) for k, v in plain(image.grid).items()}


@pytest.mark.parametrize(
    ("method", "params", "kind"),
    [
        ("feature_picture", {"volume": "fixed", "features": "learned", "weights": "none such"}, "weights"),
        ("segment_open", {"session": "a", "volume": "fixed", "features": "mnid"}, "input"),
        ("register", {"session": "a", "fixed": "fixed", "moving": "moving", "device": "tpu"}, "input"),
        ("dance", {}, "input"),
    ],
)
def test_errors_have_their_kind(sent, method, params, kind):
    with pytest.raises(WorkerError) as error:
        sent.call(method, params)
    assert error.value.kind == kind
    assert left(sent) == []


def test_a_device_that_is_not_there_is_refused(sent):
    missing = next(name for name in ("mps", "cuda") if not getattr(torch, name).is_available())
    with pytest.raises(WorkerError, match="is not available") as error:
        sent.call("feature_picture", {"volume": "fixed", "device": missing})
    assert error.value.kind == "device"


def test_the_documentation_lists_every_method_with_its_parameters():
    text = Path(SynthFoundationLib.worker.__file__).with_name("README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*)\|", text, re.MULTILINE))
    for method, (_, takes) in TABLE.items():
        row = rows[method] + (rows["update_registration"] if method == "register" else "")
        for name in takes:
            assert f"`{name}`" in row or f"`{name} " in row or f"`{name}:" in row, (method, name)


def test_importing_the_client_loads_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys, SynthFoundationLib.worker.client; "
        "print(sorted({'torch', 'scipy', 'SimpleITK'} & set(sys.modules)))"
    )
    root = Path(SynthFoundationLib.worker.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
