"""The benchmark across volumes: what it compares, its intervals, and that it goes on where it was."""

import json

import across_volumes
import numpy as np
import pytest
import torch

from SynthFoundationLib.geometry import Affine, Grid
from SynthFoundationLib.images import Image, LabelMap, write_image, write_labels

GRID = Grid((20, 18, 16), (1.5, 1.5, 1.5))


def scan(n):
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, k) for k in GRID.shape], indexing="ij")
    ball = torch.from_numpy((x - 0.1 * n) ** 2 + y**2 + z**2 < 0.4)
    noise = torch.randn(GRID.shape, generator=torch.Generator().manual_seed(n))
    return Image(ball * 100.0 + 15 * noise + 50, GRID), LabelMap(ball.int() * 5, GRID)


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "balls"
    for n in range(3):
        image, labels = scan(n)
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        write_image(image, folder / "images" / f"p{n}.nii.gz")
        write_labels(labels, folder / "labels" / f"p{n}.nii.gz")
    return folder


def test_every_method_is_scored_once_on_the_same_queries(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(across_volumes, "register", lambda *a, **k: type("R", (), {"transform": Affine()}))
    arguments = [
        str(dataset),
        "-o",
        str(tmp_path / "out"),
        "--shots",
        "1",
        "2",
        "--draws",
        "1",
        "--steps",
        "1",
    ]
    methods = ["registration", "head", "support", "scratch"]
    assert across_volumes.main([*arguments, "--methods", *methods, "--threads", "1"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [(r["shots"], r["method"]) for r in rows] == [(s, m) for s in (1, 2) for m in methods]
    assert len({r["query"] for r in rows}) == 1
    assert all(r["dice"] > 0.7 for r in rows if r["method"] != "scratch")
    assert "support − registration" in (tmp_path / "out" / "results.md").read_text()
    assert str(tmp_path) not in (tmp_path / "out" / "results.md").read_text()
    monkeypatch.setattr(across_volumes, "segment_from_support", None)  # nothing is left to compute
    assert across_volumes.main([*arguments, "--methods", *methods, "--threads", "1"]) == 0


def test_carried_labels_are_those_that_most_scans_vote_for():
    image, _ = scan(0)
    support = [scan(n) for n in (0, 1, 6)]
    result = across_volumes.carried(image, support, [Affine()] * 3).data.numpy()
    votes = sum((labels.data.numpy() > 0).astype(int) for _, labels in support)
    np.testing.assert_array_equal(result, np.where(votes >= 2, 5, 0))


def test_intervals_cover_the_mean_as_often_as_they_should():
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        values = {(d, str(q)): v for d in range(6) for q, v in enumerate(generator.normal(size=8))}
        low, high = (float(part) for part in across_volumes.interval(values).split("(")[1][:-1].split("…"))
        hits += low <= 0 <= high
    assert 48 <= hits <= 60
    assert across_volumes.interval({(0, "a"): 0.5, (1, "a"): 0.5}) == "0.500 (0.500 … 0.500)"
