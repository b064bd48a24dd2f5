"""How often a registration starts at the right pose: pairs of labelled scans, each of another person.

Usage: python Testing/Benchmarks/starts.py IMAGES LABELS [--pairs N] [--headers KIND] [--right-mm M] …

Images and labels of a scan have the same file name. Ordered pairs are drawn at random. KIND `right` leaves
headers alone, `turned` gives that of the moving scan a right-angle rotation at random, `tilted` one by 15 to
45 degrees about any axis and `rotated` any rotation, all with a shift of up to 60 mm along each axis. A start
is right if the centres of the labels that both scans have end within M mm (40, for a whole head) of each
other on average: people differ, and a wrong pose is farther off. Pairs without a label in common are passed
over.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from SynthFoundationLib.geometry import Affine, Grid
from SynthFoundationLib.images import as_image, read_labels
from SynthFoundationLib.registration.comparison import Descriptor
from SynthFoundationLib.registration.quality import Look
from SynthFoundationLib.registration.scan import Scan, prepare
from SynthFoundationLib.registration.search import right_angle_turns
from SynthFoundationLib.registration.settings import Settings
from SynthFoundationLib.registration.start import find_start

RIGHT_MM, SHIFT_MM = 40.0, 60.0
TILT_DEGREES = 15.0, 45.0
DESCRIPTOR = Descriptor("auto", None)


class Labelled(NamedTuple):
    """A scan with the centre of each label, LPS mm."""

    scan: Scan
    centres: dict[int, np.ndarray]


class Header(NamedTuple):
    """What a wrong header does to the places of a scan: p → rotation p + shift."""

    rotation: np.ndarray
    shift: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Where points (N, 3) are taken for."""
        return points @ self.rotation.T + self.shift

    def on(self, scan: Scan) -> Scan:
        """The scan with this header."""
        grid = scan.grid
        origin = self(np.array([grid.origin]))[0]
        return replace(scan, grid=Grid(grid.size, grid.spacing, origin, (self.rotation @ grid.axes).ravel()))


def drawn_header(kind: str, seed: int) -> Header:
    """A header of one of the kinds."""
    rng = np.random.default_rng(seed)
    if kind == "right":
        return Header(np.eye(3), np.zeros(3))
    if kind == "turned":
        turns = right_angle_turns()[1:]
        rotation = turns[rng.integers(len(turns))]
    elif kind == "tilted":
        axis = rng.normal(size=3)
        angle = np.deg2rad(rng.uniform(*TILT_DEGREES))
        rotation = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
    else:
        rotation = Rotation.random(rng=rng).as_matrix()
    return Header(rotation, rng.uniform(-SHIFT_MM, SHIFT_MM, 3))


@cache
def labelled(images: Path, labels: Path, name: str) -> Labelled:
    """A scan and where its labels lie."""
    found = read_labels(labels / name)
    voxels = {value: np.argwhere(found.data.numpy() == value) for value in found.values}
    centres = {value: found.grid.to_physical(at.mean(0)[::-1]) for value, at in voxels.items()}
    return Labelled(prepare(as_image(images / name), torch.device("cpu")), centres)


def drawn_pairs(images: Path, labels: Path, seed: int) -> list[tuple[str, str]]:
    """All ordered pairs of labelled scans, shuffled."""
    names = sorted(path.name for path in images.iterdir() if (labels / path.name).exists())
    pairs = [(one, other) for one in names for other in names if one != other]
    random.Random(seed).shuffle(pairs)
    return pairs


def found_start(fixed: Labelled, moving: Labelled, header: Header) -> tuple[Affine, float]:
    """Where a registration of the two would start, and how far off: mm between centres of common labels."""
    common = fixed.centres.keys() & moving.centres.keys()
    there = np.array([fixed.centres[label] for label in common])
    wanted = header(np.array([moving.centres[label] for label in common]))
    moved = header.on(moving.scan)
    look = Look(fixed.scan, moved, DESCRIPTOR)
    start = find_start(fixed.scan, moved, DESCRIPTOR.coarse, Settings().start, belief=look.belief)
    return start, float(np.linalg.norm(start.apply(there) - wanted, axis=1).mean())


def main() -> None:
    """Print each wrong start, then how many were right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--headers", choices=("right", "turned", "tilted", "rotated"), default="right")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--right-mm", type=float, default=RIGHT_MM)
    given = parser.parse_args()

    pairs = drawn_pairs(given.images, given.labels, given.seed)
    right, tried, began = 0, 0, time.perf_counter()
    for number, (one, other) in enumerate(pairs[: given.pairs]):
        fixed, moving = (labelled(given.images, given.labels, name) for name in (one, other))
        if not fixed.centres.keys() & moving.centres.keys():
            continue
        _, error = found_start(fixed, moving, drawn_header(given.headers, given.seed + number))
        tried += 1
        right += error < given.right_mm
        if error >= given.right_mm:
            print(f"{one} ← {other}: {error:.0f} mm off", flush=True)
    seconds = (time.perf_counter() - began) / max(tried, 1)
    print(
        f"headers {given.headers}: {right} of {tried} right, {seconds:.1f} s a pair with reading", flush=True
    )


if __name__ == "__main__":
    with torch.inference_mode():
        main()
