"""Random headers and files with random bytes changed: every reader gives something usable or one line.

`SYNTHFOUNDATION_FUZZ_SEED=7` makes other ones; `pytest -m slow -s` runs 2,000 headers and 500 files.
"""

import json
import os
import random
import struct
import time

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.errors import InputError, MemoryShortage, WeightsError
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weight_files import read_network, save_network
from SynthFoundationLib.geometry import Grid, read_transform
from SynthFoundationLib.images import LabelMap, read_image, read_labels, write_labels
from SynthFoundationLib.points import read_points
from SynthFoundationLib.pretraining.config import read_config

SEED = int(os.environ.get("SYNTHFOUNDATION_FUZZ_SEED", "0"))

LONGEST = 20.0  # seconds that one file may take on a busy machine
ODD_NUMBERS = (0, 1, -1, 2, 3, 7, 255, 32767, -32768, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"))
NIFTI_FIELDS = [  # offset, type, count of what matters in a NIfTI-1 header
    (0, "i", 1), (40, "h", 8), (56, "f", 3), (68, "h", 3), (76, "f", 8), (108, "f", 3), (120, "h", 1),
    (123, "b", 1), (252, "h", 2), (256, "f", 6), (280, "f", 12), (344, "b", 4),
]  # fmt: skip
AXES = ("(1,0,0)", "(0,1,0)", "(0,0,1)")
CODES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 511, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304)


def number(rng):
    return rng.choice(ODD_NUMBERS) if rng.random() < 0.5 else rng.uniform(-1, 1) * 10 ** rng.randint(-3, 5)


def random_nifti(rng, path):
    image = sitk.GetImageFromArray(np.arange(1000, dtype=np.int16).reshape(10, 10, 10))
    sitk.WriteImage(image, str(path))
    content = bytearray(path.read_bytes())
    for offset, kind, count in rng.sample(NIFTI_FIELDS, rng.randint(1, 4)):
        place = offset + rng.randrange(count) * struct.calcsize(kind)
        value = number(rng)
        if kind != "f":
            bound = 256 ** struct.calcsize(kind) // 2
            value = int(max(-bound, min(bound - 1, value))) if np.isfinite(value) else 0
        struct.pack_into("<" + kind, content, place, value)
    if rng.random() < 0.3:
        struct.pack_into("<h", content, 70, rng.choice(CODES))
    path.write_bytes(content)


def random_nrrd(rng, path):
    rank = rng.choice((1, 2, 3, 3, 3, 3, 4))
    vector = "(" + ",".join(f"{number(rng):g}" for _ in range(3)) + ")"
    fields = {
        "type": rng.choice(("short", "float", "double", "uchar", "block", "complex", "")),
        "dimension": str(rank),
        "space": rng.choice(("left-posterior-superior", "RAS", "scanner-xyz-time", "nowhere")),
        "sizes": " ".join(str(rng.choice((8, 8, 8, 1, 0, -3, 10**9))) for _ in range(rank)),
        "space directions": " ".join(rng.choice((*AXES, vector)) for _ in range(rank)),
        "kinds": " ".join(["domain"] * rank),
        "endian": rng.choice(("little", "big", "middle")),
        "encoding": rng.choice(("raw", "gzip", "ascii", "hex", "bzip2", "none")),
        "space origin": vector,
    }  # fmt: skip
    for key in rng.sample(list(fields), rng.randint(0, 2)):
        del fields[key]
    header = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in fields.items())
    path.write_bytes(header.encode() + b"\n" + rng.randbytes(rng.choice((0, 100, 1024, 4096))))


def random_meta(rng, path):
    fields = {
        "ObjectType": "Image",
        "NDims": rng.choice(("3", "3", "3", "2", "4", "0", "-1", "x")),
        "BinaryData": rng.choice(("True", "False")),
        "CompressedData": rng.choice(("True", "False")),
        "TransformMatrix": " ".join(str(rng.choice((0, 1, 1, 0, -1, 0.5))) for _ in range(9)),
        "Offset": " ".join(f"{number(rng):g}" for _ in range(3)),
        "ElementSpacing": " ".join(f"{rng.choice((1, 1, 1, 0, -1, 1e30)):g}" for _ in range(3)),
        "DimSize": " ".join(str(rng.choice((8, 8, 8, 1, 0, -3, 10**9))) for _ in range(3)),
        "ElementNumberOfChannels": rng.choice(("1", "1", "3", "0", "1000000000")),
        "ElementType": rng.choice(("MET_SHORT", "MET_FLOAT", "MET_DOUBLE", "MET_UCHAR", "MET_OTHER", "")),
    }
    for key in rng.sample(list(fields)[1:], rng.randint(0, 2)):
        del fields[key]
    header = "".join(f"{key} = {value}\n" for key, value in fields.items()) + "ElementDataFile = LOCAL\n"
    path.write_bytes(header.encode() + rng.randbytes(rng.choice((0, 100, 1024, 4096))))


MAKERS = {".nii": random_nifti, ".nrrd": random_nrrd, ".mha": random_meta}


def outcome(reader, path):
    """Whether the file was read, having checked what came of it."""
    start, refusal = time.monotonic(), ""
    try:
        result = reader(path)
    except (InputError, MemoryShortage, WeightsError) as error:
        refusal = str(error)
    assert time.monotonic() - start < LONGEST
    if refusal:
        assert "\n" not in refusal
        assert str(path.parent) not in refusal
        return False
    if hasattr(result, "grid") and hasattr(result, "data"):
        assert np.isfinite(result.data.numpy()).all()
        assert np.isfinite(result.grid.matrix).all()
    elif hasattr(result, "positions"):
        assert np.isfinite(result.positions).all()
    elif hasattr(result, "apply"):
        assert np.isfinite(result.apply(np.array([[1.0, 2.0, 3.0]]))).all()
    return True


@pytest.mark.parametrize("count", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_random_header_crashes_a_reader(tmp_path, count):
    rng, read = random.Random(count + SEED), 0
    for n in range(count):
        suffix = list(MAKERS)[n % len(MAKERS)]
        path = tmp_path / f"scan{suffix}"
        MAKERS[suffix](rng, path)
        read += sum(outcome(reader, path) for reader in (read_image, read_labels))
    print(f"{count} random headers through 2 readers: {read} reads, {2 * count - read} refusals")
    assert read > 0


def originals(folder):
    """One file of each kind that holds points or a transform, and its reader."""
    field = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(6, 6, 6, 3)), isVector=True)
    spline = sitk.BSplineTransform(3, 3)
    spline.SetTransformDomainMeshSize((2, 2, 2))
    spline.SetTransformDomainPhysicalDimensions((30.0, 30.0, 30.0))
    composite = sitk.CompositeTransform([sitk.Euler3DTransform(), sitk.DisplacementFieldTransform(field)])
    sitk.WriteTransform(composite, str(folder / "a.h5"))
    sitk.WriteTransform(sitk.AffineTransform(3), str(folder / "b.tfm"))
    sitk.WriteTransform(spline, str(folder / "c.txt"))
    sitk.WriteTransform(sitk.AffineTransform(3), str(folder / "d.mat"))
    point = {"label": "P", "position": [1.0, 2.0, 3.0], "positionStatus": "defined"}
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": [point, point]}
    (folder / "e.mrk.json").write_text(json.dumps({"markups": [markup]}))
    (folder / "f.fcsv").write_text("# CoordinateSystem = LPS\n# columns = id,x,y,z,label\n1,1.5,2.5,3.5,P\n")
    (folder / "g.csv").write_text("label,x,y,z\nP,1.5,2.5,3.5\nQ,2,3,4\n")
    network = UNet(UNetConfig(width=4, depth=1, out_channels=4, norm="batch"))
    save_network(network, folder / "h.safetensors")
    torch.save(network.state_dict(), folder / "i.pth")
    (folder / "j.toml").write_text("[data]\nside = 32\n[run]\nsteps = 9\n[optimiser]\nrate = 1e-3\n")
    labels = LabelMap(torch.arange(512).reshape(8, 8, 8), Grid((8, 8, 8)), {1: "liver", 2: "spleen"})
    write_labels(labels, folder / "k.seg.nrrd")
    readers = dict.fromkeys("abcd", read_transform) | dict.fromkeys("efg", read_points)
    readers |= {"h": read_network, "i": read_network, "j": read_config, "k": read_labels}
    return [(path, readers[path.name[0]]) for path in sorted(folder.iterdir())]


def mutated(content, rng):
    changed = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(max(1, len(changed)))
        what = rng.random()
        if what < 0.6:
            changed[place : place + 1] = rng.randbytes(1)
        elif what < 0.8:
            del changed[place : place + rng.randint(1, 20)]
        else:
            changed[place:place] = rng.randbytes(rng.randint(1, 8))
    return bytes(changed)


@pytest.mark.parametrize("count", [110, pytest.param(500, marks=pytest.mark.slow)])
def test_no_mutated_file_crashes_its_reader(tmp_path, count):
    (tmp_path / "whole").mkdir()
    kinds = [(path.read_bytes(), path.name, reader) for path, reader in originals(tmp_path / "whole")]
    rng, read = random.Random(count + SEED), 0
    for n in range(count):
        content, name, reader = kinds[n % len(kinds)]
        path = tmp_path / name
        path.write_bytes(mutated(content, rng))
        read += outcome(reader, path)
    print(
        f"{count} mutated files through the readers of transforms, points, weights, settings, labels: "
        f"{read} reads"
    )
    assert 0 < read < count
