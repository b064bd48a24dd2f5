"""Write every kind of file with ever more space on a disk: it is there whole, or the old one is.

    python Testing/Trust/full_disk.py FOLDER [limit]

FOLDER has to be a small disk of its own; with `limit`, files may not grow beyond a size instead, which is how
a quota looks to a program. Prints a line for each try: WRITTEN, REFUSED or what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.image import imread

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weight_files import read_network, save_network
from SynthFoundationLib.geometry import (
    Affine,
    Composite,
    DisplacementField,
    Grid,
    read_transform,
    write_transform,
)
from SynthFoundationLib.images import Image, LabelMap, read_image, read_labels, write_image, write_labels
from SynthFoundationLib.points import Points, read_points, write_points
from SynthFoundationLib.synthesis.sheet import contact_sheet

PAGE = 4096
OLD = "the old result"
Way = tuple[Callable[[Path], Any], Callable[[Path], Any]]


def ways() -> dict[str, Way]:
    """By file name how such a file is written and read."""
    rng, grid = np.random.default_rng(0), Grid((16, 12, 10))
    image = Image(torch.from_numpy(rng.normal(size=grid.shape).astype(np.float32)), grid)
    labels = LabelMap(torch.from_numpy(rng.integers(0, 300, grid.shape)), grid)
    field = DisplacementField(torch.from_numpy(rng.normal(size=(3, *grid.shape)).astype(np.float32)), grid)
    affine, probe = Affine(np.diag((1.1, 0.9, 1.0, 1.0))), rng.uniform(0, 9, (50, 3))
    chain, points = Composite([field, affine]), Points(rng.normal(size=(300, 3)))
    picture = rng.random((60, 90, 3))
    network = UNet(UNetConfig(width=4, depth=1, out_channels=4, norm="instance"))
    found: dict[str, Way] = {}
    for end in (".nii", ".nii.gz", ".nrrd", ".mha"):
        found[f"image{end}"] = (lambda p: write_image(image, p), lambda p: read_image(p).data)
    for end in (".seg.nrrd", ".nii.gz"):
        found[f"labels{end}"] = (lambda p: write_labels(labels, p), lambda p: read_labels(p).data)
    for end in (".h5", ".tfm", ".txt"):
        found[f"chain{end}"] = (lambda p: write_transform(chain, p), lambda p: read_transform(p).apply(probe))
    for end in (".mat", ".xfm"):
        found[f"affine{end}"] = (
            lambda p: write_transform(affine, p),
            lambda p: read_transform(p).apply(probe),
        )
    for end in (".mrk.json", ".fcsv", ".csv"):
        found[f"points{end}"] = (lambda p: write_points(points, p), lambda p: read_points(p).positions)
    found["sheet.png"] = (lambda p: contact_sheet([picture], p, ["a pair"]), imread)
    found["network.safetensors"] = (
        lambda p: save_network(network, p),
        lambda p: next(read_network(p)[0].parameters()).detach(),
    )
    return found


@contextmanager
def space(folder: Path, pages: int) -> Iterator[None]:
    """A disk with so many pages free."""
    reserve = folder / "reserve"
    with reserve.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(PAGE)):
                pass
        except OSError:
            file.truncate((file.tell() // PAGE - pages) * PAGE)
    yield
    reserve.unlink()


@contextmanager
def limit(folder: Path, pages: int) -> Iterator[None]:
    """Files that may not have more pages."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (pages * PAGE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def tried(path: Path, way: Way, wanted: np.ndarray, short: Any) -> str:
    """What came of writing to a path where an old result is."""
    path.write_text(OLD)
    try:
        with short:
            try:
                way[0](path)
                refusal = ""
            except InputError as error:
                refusal = str(error)
        if refusal:
            result = f"REFUSED {path.name} {refusal}"
            return result if path.read_text(errors="replace") == OLD else f"CHANGED {path.name}"
        found = np.asarray(way[1](path))
        return f"{'WRITTEN' if np.array_equal(found, wanted) else 'CORRUPT'} {path.name}"
    finally:
        path.unlink()


def main() -> None:
    """Try every kind of file."""
    folder = Path(sys.argv[1])
    shorten = limit if "limit" in sys.argv[2:] else space
    for name, way in ways().items():
        path = folder / name
        way[0](path)
        wanted, pages = np.asarray(way[1](path)), -(-path.stat().st_size // PAGE)
        path.unlink()
        for free in sorted({1, pages // 2, *range(max(1, pages - 2), pages + 4)}):
            print(tried(path, way, wanted, shorten(folder, max(free, 1))))
            for left in folder.glob(".*"):
                print(f"LEFT {left.name}")


if __name__ == "__main__":
    main()
