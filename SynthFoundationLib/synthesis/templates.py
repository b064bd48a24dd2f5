"""Shapes from label maps that the user has: cropped once into a compact cache, then composed.

A template folder is any tree of label maps. Each label of each file is one shape; in TotalSegmentator's
layout (`subject/segmentations/organ.nii.gz`) each file holds one. The cache is one file of binary boxes.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.files import replacing, save_tensors
from SynthFoundationLib.synthesis.anatomy import Ledger, mask, sample_bumps, sample_pose
from SynthFoundationLib.synthesis.draws import (
    Parameters,
    chance,
    diagonal,
    log_uniform,
    rotation,
    sign,
    times,
)

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
LARGEST = 64
SMALLEST_VOXELS = 64


def label_files(folder: Path) -> list[Path]:
    """Label maps below a folder, sorted; images of TotalSegmentator's layout (`ct.nii.gz`) left out."""
    found = [
        p
        for p in folder.rglob("*")
        if p.name.lower().endswith(SUFFIXES) and not p.name.startswith((".", "ct."))
    ]
    return sorted(found)


def _shapes(path: Path) -> Iterator[np.ndarray]:
    """Each label of a file, cropped to its box and brought to isotropic voxels, at most `LARGEST` a side."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    spacing = np.array(image.GetSpacing()[::-1])
    if array.ndim != 3 or not np.array_equal(array, np.round(array)):
        raise InputError(f"{path.name} is no 3-D label map: whole numbers on three axes are needed")
    for value in np.unique(array[array != 0])[:256]:
        where = np.argwhere(array == value)
        if len(where) < SMALLEST_VOXELS:
            continue
        low, high = where.min(0), where.max(0) + 1
        box = torch.from_numpy((array[tuple(map(slice, low, high))] == value).astype(np.float32))
        millimetres = (high - low) * spacing
        size = np.maximum(2, np.round(millimetres * LARGEST / millimetres.max())).astype(int)
        yield (
            interpolate(box[None, None], tuple(int(n) for n in size), mode="trilinear")[0, 0] > 0.5
        ).numpy()


def _fingerprint(folder: Path, files: list[Path]) -> str:
    text = "\n".join(f"{p.relative_to(folder)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files)
    return hashlib.sha256(text.encode()).hexdigest()


def open_templates(folder: str | Path, cache: str | Path | None = None) -> Parameters:
    """Read a template folder through its cache, written on first use and whenever the folder changes.

    Args:
        folder: a tree of label maps.
        cache: where the cache lives; by default `.shapes.safetensors` in the folder.

    Returns:
        Plain values for `sample`: the cache's path and the number of shapes.

    Raises:
        InputError: when the folder holds no label map or no label of at least 64 voxels.
    """
    from safetensors import safe_open

    folder = Path(folder)
    files = label_files(folder)
    if not files:
        raise InputError(f"{folder.name} holds no label map ({', '.join(SUFFIXES)})")
    target = Path(cache) if cache else folder / ".shapes.safetensors"
    mark = _fingerprint(folder, files)
    if target.exists():
        with safe_open(target, framework="pt") as file:
            facts = file.metadata() or {}
        if facts.get("fingerprint") == mark:
            return {"cache": str(target), "count": int(facts["count"])}
    shapes = [s for path in files for s in _shapes(path)]
    if not shapes:
        raise InputError(f"{folder.name}: no label of at least {SMALLEST_VOXELS} voxels was found")
    tensors = {f"{k:06d}": torch.from_numpy(np.packbits(s)) for k, s in enumerate(shapes)}
    sizes = json.dumps([list(s.shape) for s in shapes])
    with replacing(target) as beside:
        save_tensors(tensors, beside, {"fingerprint": mark, "count": str(len(shapes)), "sizes": sizes})
    template.cache_clear()
    return {"cache": str(target), "count": len(shapes)}


@lru_cache(maxsize=4096)
def template(cache: str, index: int) -> Tensor:
    """One shape of a cache, (d, h, w) bool."""
    from safetensors import safe_open

    with safe_open(cache, framework="pt") as file:
        size = json.loads(file.metadata()["sizes"])[index]
        bits = file.get_tensor(f"{index:06d}").numpy()
    return torch.from_numpy(np.unpackbits(bits, count=size[0] * size[1] * size[2]).reshape(size).astype(bool))


def sample_templates(rng: random.Random, templates: Parameters) -> Parameters:
    """An ensemble of 20 to 40 template shapes, each with an affine of its own, in the usual pose."""
    ledger = Ledger(rng)
    layers = []
    for _ in range(rng.randint(20, 40)):
        size = log_uniform(rng, 0.12, 0.6)
        scales = [sign(rng) / (size * rng.uniform(0.6, 1.5)) for _ in range(3)]
        layers.append(
            {
                "kind": "template",
                "cache": templates["cache"],
                "index": rng.randrange(templates["count"]),
                "center": [rng.uniform(-0.9, 0.9) for _ in range(3)],
                "matrix": times(diagonal(scales), rotation(rng)),
                "reach": max(abs(1 / s) for s in scales),
                "label": ledger.new(),
                "inside": False,
            }
        )
    if chance(rng, 2 / 3):
        layers.append(mask(rng, ledger))
    return {"layers": layers, "tissue_of": ledger.tissue_of, "bumps": sample_bumps(rng), **sample_pose(rng)}
