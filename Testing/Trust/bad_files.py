"""One good pair of scans with seeds, and every kind of file that cannot be used, made in one folder."""

from __future__ import annotations

import gzip
import hashlib
import json
import locale
import pickle
import shutil
import struct
from dataclasses import asdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weight_files import save_network

SIZE = (20, 18, 16)
UID = "1.2.826.0.1.3680043.2.1125."
TINY_NETWORK = UNetConfig(width=4, depth=1, out_channels=4, norm="instance")


def make_files(folder: Path) -> None:
    """Fill the folder; the names are those that the table uses."""
    _scans(folder)
    _headers(folder)
    _dicom(folder)
    _labels(folder)
    _points(folder)
    _transforms(folder)
    _weights(folder)
    _segmenters(folder)
    _settings(folder)


def scan(size: tuple[int, int, int] = SIZE, seed: int = 0, kind: type = np.int16) -> sitk.Image:
    """A bright, marbled block in air."""
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 5, size[::-1])
    inner = tuple(slice(n // 4, n - n // 4) for n in array.shape)
    array[inner] += 60 + rng.integers(0, 3, [s.stop - s.start for s in inner]) * 20
    image = sitk.GetImageFromArray(array.astype(kind))
    image.SetSpacing((1.0, 1.2, 1.5))
    return image


def _scans(folder: Path) -> None:
    good = scan()

    def save(image: sitk.Image, name: str) -> Path:
        sitk.WriteImage(image, str(folder / name), useCompression=not name.endswith(".nii"))
        return folder / name

    save(good, "good.nii.gz")
    save(scan(seed=1), "other.nii.gz")
    (folder / "empty.nii.gz").touch()
    whole = (folder / "good.nii.gz").read_bytes()
    (folder / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes(b ^ 0x55 for b in whole[middle : middle + 30]) + whole[middle + 30 :]
    (folder / "corrupted.nii.gz").write_bytes(flipped)
    raw = save(good, "raw.nii").read_bytes()
    (folder / "short.nii").write_bytes(raw[: len(raw) * 2 // 3])
    for name in ("text.nii", "text.nii.gz", "text.h5", "photo.xyz"):
        (folder / name).write_text("Dear colleague,\n" * 40)
    (folder / "nodicom").mkdir()
    save(good[:, :, 3], "flat.nii.gz")
    save(sitk.JoinSeries([good, good, good]), "frames.nii.gz")
    save(sitk.Compose([good, good, good]), "colours.nrrd")
    save(good[:, :, 3:4], "oneslice.nii.gz")
    save(good[3:4, 3:4, 3:4], "onevoxel.nii.gz")
    save(good * 0 + 7, "constant.nii.gz")
    save(good * 0, "zero.nii.gz")
    for name, value in {"nan": np.nan, "infinite": np.inf, "beyond": 1e38, "huge": 1e30}.items():
        odd = sitk.Cast(good, sitk.sitkFloat32)
        odd[4, 5, 6] = float(value)
        save(odd, f"{name}.nii.gz")
    save(good - 2000, "negative.nii.gz")
    for kind in (np.uint8, np.uint32, np.float64):
        save(scan(kind=kind), f"{kind.__name__}.nii.gz")
    save(scan((10, 10, 10)), "small.nii.gz")
    far = scan(seed=1)
    far.SetOrigin((5000.0, 0.0, 0.0))
    save(far, "far.nii.gz")


def _headers(folder: Path) -> None:
    def edited(name: str, *changes: tuple[int, str, tuple[float, ...]]) -> None:
        content = bytearray((folder / "raw.nii").read_bytes())
        for offset, layout, values in changes:
            struct.pack_into(layout, content, offset, *values)
        (folder / name).write_bytes(content)

    def with_sform(
        rows: tuple[float, ...], qform: int = 0, sform: int = 1
    ) -> tuple[tuple[int, str, tuple[float, ...]], ...]:
        return (252, "<2h", (qform, sform)), (280, "<12f", rows)

    edited("promise.nii", (42, "<3h", (1000, 1000, 1000)))
    edited("nospacing.nii", (80, "<f", (0.0,)))
    edited("negspacing.nii", (80, "<f", (-1.0,)))
    edited("sheared.nii", *with_sform((1, 0.4, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)))
    edited("singular.nii", *with_sform((1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0)))
    edited("shearedsform.nii", *with_sform((1, 0.3, 0, 100, 0, 1.2, 0, 0, 0, 0, 1.5, 0), qform=1, sform=2))
    edited("aligned.nii", *with_sform((0, -1.2, 0, 9, 1, 0, 0, 9, 0, 0, 1.5, 9), qform=1, sform=2))
    edited("twoforms.nii", *with_sform((0, -1.2, 0, 9, 1, 0, 0, 9, 0, 0, 1.5, 9), qform=1))
    (folder / "sheared.nrrd").write_bytes(
        b"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 8 8 8\n"
        b"space directions: (1,0,0) (0.5,1,0) (0,0,1)\nkinds: domain domain domain\nendian: little\n"
        b"encoding: raw\nspace origin: (0,0,0)\n\n" + np.arange(512, dtype="<i2").tobytes()
    )


def write_series(folder: Path, positions: list[tuple[float, float, float]], tags: dict[str, str]) -> None:
    """A DICOM series, a 20×16 slice for each position."""
    folder.mkdir(exist_ok=True)
    spoken = locale.setlocale(locale.LC_ALL)  # writing DICOM sets it to "C"
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number, position in enumerate(positions):
        image = scan((20, 16, len(positions)))[:, :, number : number + 1]
        image.SetOrigin(position)
        place = {"0020|0013": str(number), "0020|0032": "\\".join(map(str, position))}
        fixed = {"0008|0060": "MR", "0020|000d": UID + "9", "0020|0037": "1\\0\\0\\0\\1\\0"}
        for tag, value in (fixed | place | tags).items():
            image.SetMetaData(tag, value)
        series = tags["0020|000e"].rpartition(".")[2]
        writer.SetFileName(str(folder / f"s{series}-{number:02d}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, spoken)


def _dicom(folder: Path) -> None:
    straight = [(0.0, 0.0, 2.0 * n) for n in range(8)]
    write_series(folder / "series", straight, {"0020|000e": UID + "1"})
    write_series(folder / "twoseries", straight, {"0020|000e": UID + "1"})
    write_series(folder / "twoseries", straight[:5], {"0020|000e": UID + "2"})
    write_series(folder / "missingslices", straight[:3] + straight[5:], {"0020|000e": UID + "1"})
    write_series(folder / "doubled", straight + straight[:1], {"0020|000e": UID + "1"})
    tilted = [(0.0, 0.3 * n, 2.0 * n) for n in range(8)]
    write_series(folder / "tilted", tilted, {"0020|000e": UID + "1"})
    write_series(folder / "damaged", straight, {"0020|000e": UID + "1"})
    last = sorted((folder / "damaged").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-300])


def _labels(folder: Path) -> None:
    def save(array: np.ndarray, name: str, like: sitk.Image | None = None) -> None:
        image = sitk.GetImageFromArray(array)
        image.CopyInformation(scan() if like is None else like)
        sitk.WriteImage(image, str(folder / name), useCompression=True)

    empty = np.zeros(SIZE[::-1], np.uint8)
    save(empty, "nothing.nii.gz")
    seeds = empty.copy()
    seeds[8, 3:15, 3:17], seeds[8, 6:12, 6:14] = 1, 2
    save(seeds, "seeds.nii.gz")
    save(np.where(seeds > 0, 0.5, 0).astype(np.float32), "fractions.nii.gz")
    save(seeds.astype(np.int16) - 1, "neglabels.nii.gz")
    save(seeds.astype(np.uint32) * 40_000, "manylabels.nii.gz")
    body = sitk.GetArrayFromImage(scan()) > 30
    save((~body).astype(np.uint8), "inverted.nii.gz")
    far = scan()
    far.SetOrigin((5000.0, 0.0, 0.0))
    save(seeds, "farseeds.nii.gz", far)
    shifted = scan()
    shifted.SetOrigin((1.3, -0.7, 0.4))
    save(seeds, "shiftedseeds.nii.gz", shifted)


def _points(folder: Path) -> None:
    rows = {
        "three": [(5, 5, 5), (12, 6, 7), (6, 14, 12)],
        "two": [(5, 5, 5), (12, 6, 7)],
        "outside": [(5, 5, 5), (12, 6, 7), (9000, 14, 12)],
        "doubled": [(5, 5, 5), (5, 5, 5), (5, 5, 5)],
        "line": [(4, 4, 4), (8, 8, 8), (12, 12, 12)],
        "nan": [(5, 5, 5), (12, 6, "nan")],
        "words": [("here", "and", "there")],
    }
    for name, points in rows.items():
        text = "x,y,z\n" + "".join(",".join(map(str, point)) + "\n" for point in points)
        (folder / f"{name}.csv").write_text(text)
    (folder / "nopoints.csv").write_text("x,y,z\n")
    (folder / "broken.mrk.json").write_text('{"markups": [')


def _transforms(folder: Path) -> None:
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 0.0, 0.0)), str(folder / "shift.h5"))
    sitk.WriteTransform(sitk.TranslationTransform(2, (1.0, 0.0)), str(folder / "plane.h5"))
    flat = sitk.AffineTransform(3)
    flat.SetMatrix((1, 0, 0, 0, 1, 0, 0, 0, 1e-12))
    sitk.WriteTransform(flat, str(folder / "singular.tfm"))
    fold = np.zeros((16, 18, 20, 3))
    fold[..., 0] = -2.5 * np.arange(20)
    field = sitk.GetImageFromArray(fold, isVector=True)
    sitk.WriteImage(field, str(folder / "folded.nrrd"))
    fold[3, 4, 5, 1] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(fold, isVector=True), str(folder / "nanfield.nrrd"))
    whole = (folder / "shift.h5").read_bytes()
    (folder / "truncated.h5").write_bytes(whole[: len(whole) // 2])
    (folder / "spline.tfm").write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: ThinPlateSplineKernelTransform_double_3_3\n"
        "Parameters: 0 0 0 9 0 0 0 9 0 0 0 9\nFixedParameters: 0 0 0 9 0 0 0 9 0 0 0 9\n"
    )


class _Bomb:
    """What runs code when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.place,))


def _weights(folder: Path) -> None:
    network = UNet(TINY_NETWORK)
    save_network(network, folder / "network.safetensors")
    whole = (folder / "network.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    torch.save({"weight": _Bomb(folder / "exploded")}, folder / "bomb.pth")
    (folder / "bomb2.pth").write_bytes(pickle.dumps(_Bomb(folder / "exploded")))
    torch.save({"encoder.weight": torch.zeros(3, 3)}, folder / "resnet.pth")
    other = UNet(UNetConfig(in_channels=3, width=4, depth=1, out_channels=4, norm="instance"))
    save_network(other, folder / "threechannels.safetensors")
    torch.save({"weight": _Bomb(folder / "exploded")}, folder / "bomb.safetensors")
    (folder / "changed").mkdir()
    (folder / "changed" / "small.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    entry = {"file": "small.safetensors", "sha256": hashlib.sha256(whole).hexdigest(), "licence": "none"}
    registry = {"default": "small", "weights": {"small": entry | {"architecture": asdict(TINY_NETWORK)}}}
    (folder / "changed" / "weights.json").write_text(json.dumps(registry | {"architectures": {}}))


def _segmenters(folder: Path) -> None:
    """Folders of scans and label maps as `finetune`, `predict` and `evaluate` take them."""
    contents = {
        "images": {"a.nii.gz": "good.nii.gz"},
        "labels": {"a.nii.gz": "seeds.nii.gz"},
        "predictions": {"b.nii.gz": "seeds.nii.gz"},
        "blank": {"a.nii.gz": "nothing.nii.gz"},
        "mixed": {"a.nii.gz": "good.nii.gz", "b.nii.gz": "truncated.nii.gz"},
        "both": {"a.nii.gz": "seeds.nii.gz", "b.nii.gz": "seeds.nii.gz"},
    }
    for name, files in contents.items():
        (folder / name).mkdir()
        for file, source in files.items():
            shutil.copy(folder / source, folder / name / file)


def _settings(folder: Path) -> None:
    (folder / "broken.toml").write_text("[data\nside = 32\n")
    (folder / "unknown.toml").write_text("[data]\nsides = 32\n")
    (folder / "range.toml").write_text("[data]\nside = 32\n[optimiser]\nrate = -1.0\n")
    (folder / "kind.toml").write_text('[data]\nside = "large"\n')
    (folder / "afile").write_text("already here")
    (folder / "results").mkdir()
    (folder / "results" / "report.html").write_text("of an earlier run")
    shutil.copy(folder / "other.nii.gz", folder / "results" / "moved.nii.gz")
    (folder / "notes.json").write_text(json.dumps({"a": 1}))
    (folder / "text.gz").write_bytes(gzip.compress(b"text"))
