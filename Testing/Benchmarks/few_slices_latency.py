"""How long a few-shot session takes to answer: first answer, then edit by edit as a person would work.

Usage: python Testing/Benchmarks/few_slices_latency.py CASES -c NAME … [-k 5] [--edits 8] [--threads 2]
       python Testing/Benchmarks/few_slices_latency.py --size 512 512 300 --labels 5

CASES is laid out as for few_slices.py. Without it a volume of labelled blobs of that size is made. The first
answer includes reading and features. Then strokes are painted where the answer is wrong, every third edit
redraws a slice, every fourth labels the slice that the session proposes. Printed per case: seconds of the
first answer, median and worst seconds of an edit, processor seconds of the median edit, and peak memory; last
the median seconds of half as many further edits until the slices in view, one along each axis, are answered.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, as_image, read_labels
from SynthFoundationLib.segmentation import FewShotSession, Result
from SynthFoundationLib.segmentation.filters import smoothed

BRUSH = 3  # voxels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="?")
    parser.add_argument("-c", "--case", nargs="+", help="names of the cases")
    parser.add_argument("-k", type=int, default=5, help="number of labelled slices at the start")
    parser.add_argument("--size", type=int, nargs=3, default=(128, 128, 128), metavar=("I", "J", "K"))
    parser.add_argument("--spacing", type=float, nargs=3, default=(1.0, 1.0, 1.0), metavar="MM")
    parser.add_argument("--labels", type=int, default=5)
    parser.add_argument("--edits", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name, image, truth, axis, slices in volumes(arguments):
        row = {"case": name, "shape": list(truth.shape), "labels": int(len(np.unique(truth)) - 1)}
        print(json.dumps(row | timed(image, truth, axis, slices, arguments.edits)), flush=True)


def volumes(arguments: argparse.Namespace) -> Iterator[tuple]:
    """Name, image, truth, axis and labelled slices of each case."""
    if arguments.cases is None:
        image, truth = blobs(tuple(arguments.size), tuple(arguments.spacing), arguments.labels)
        filled = np.flatnonzero(truth.any((1, 2)))
        ends = filled[0], filled[-1]
        yield "made", image, truth, 0, [int(z) for z in np.linspace(*ends, arguments.k + 2)[1:-1].round()]
        return
    for name in arguments.case or sorted(p.parent.name for p in arguments.cases.glob("*/info.json")):
        folder = arguments.cases / name
        info = json.loads((folder / "info.json").read_text())
        truth = read_labels(folder / "truth.nii.gz").data.numpy()
        yield name, folder / "image.nii.gz", truth, info["axis"], info[f"slices_{arguments.k}"]


def blobs(
    size: tuple[int, ...], spacing: tuple[float, ...], labels: int, seed: int = 0
) -> tuple[Image, np.ndarray]:
    """An ellipsoidal body cut into cells of `labels` labels, each of its own brightness, and noise."""
    grid = Grid(size, spacing)
    generator = np.random.default_rng(seed)
    axes = np.meshgrid(
        *(np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape), indexing="ij", sparse=True
    )
    body = sum(a**2 for a in axes) < 0.8
    centres = generator.uniform(-0.6, 0.6, (labels, 3)).astype(np.float32)
    nearest, truth = np.full(grid.shape, np.inf, np.float32), np.zeros(grid.shape, np.int32)
    for label, centre in enumerate(centres, 1):
        distance = sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True))
        closer = distance < nearest
        nearest[closer], truth[closer] = distance[closer], label
    truth[~body | (nearest > 0.3)] = 0
    bright = np.concatenate([[0.4], generator.uniform(0.5, 1.0, labels)]).astype(np.float32)
    volume = bright[truth] * body + generator.standard_normal(grid.shape, np.float32) * 0.05
    return Image(smoothed(torch.from_numpy(volume), (0.6, 0.6, 0.6)), grid), truth


def timed(image: Image | Path, truth: np.ndarray, axis: int, slices: list[int], edits: int) -> dict:
    """Seconds of the first answer and of every edit, and peak memory in MB."""
    seeds, complete = np.zeros_like(truth), {(axis, z) for z in slices}
    for z in slices:
        np.moveaxis(seeds, axis, 0)[z] = np.moveaxis(truth, axis, 0)[z]
    start = time.perf_counter()
    session = FewShotSession(as_image(image))
    result = session.update((seeds, session.grid), complete)
    first = time.perf_counter() - start
    walls, processor = [], []
    generator = np.random.default_rng(0)
    for number in range(1, edits + 1):
        edit(number, seeds, complete, truth, axis, result, generator)
        start, busy = time.perf_counter(), time.process_time()
        result = session.update((seeds, session.grid), complete)
        walls.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    seen = []
    for number in range(edits + 1, edits + 1 + (edits + 1) // 2):
        edit(number, seeds, complete, truth, axis, result, generator)
        result, seconds = looked_at(session, seeds, complete)
        seen.append(seconds)
    return {
        "first_s": round(first, 2),
        "edit_median_s": round(float(np.median(walls)), 3),
        "edit_worst_s": round(max(walls), 3),
        "edit_cpu_s": round(float(np.median(processor)), 3),
        "seen_median_s": round(float(np.median(seen)), 3),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "dice": round(agreement(result.labels.data.numpy(), truth), 3),
    }


def looked_at(
    session: FewShotSession, seeds: np.ndarray, complete: set[tuple[int, int]]
) -> tuple[Result, float]:
    """An answer, and the seconds until the slices through the middle were answered."""
    start, shown = time.perf_counter(), []
    in_view = [(axis, n // 2) for axis, n in enumerate(seeds.shape)]
    result = session.update(
        (seeds, session.grid), complete, None, in_view, lambda *_: shown.append(time.perf_counter())
    )
    return result, shown[-1] - start


def edit(
    number: int,
    seeds: np.ndarray,
    complete: set[tuple[int, int]],
    truth: np.ndarray,
    axis: int,
    result: Result,
    generator: np.random.Generator,
) -> None:
    """Change the seeds as a person might: a stroke, a slice drawn again, or the proposed slice labelled."""
    if number % 4 == 0 and result.next_slice is not None:
        along, index = result.next_slice
        np.moveaxis(seeds, along, 0)[index] = np.moveaxis(truth, along, 0)[index]
        complete.add(result.next_slice)
    elif number % 3 == 0:
        plane = np.moveaxis(seeds, axis, 0)[min(z for a, z in complete if a == axis)]
        plane[:] = np.roll(plane, 1, 0)
    else:
        wrong = np.argwhere((result.labels.data.numpy() != truth) & (truth > 0))
        spot = wrong[generator.integers(len(wrong))] if len(wrong) else np.array(truth.shape) // 2
        brush = tuple(
            slice(c, c + 1) if a == axis else slice(max(0, c - BRUSH), c + BRUSH + 1)
            for a, c in enumerate(spot)
        )
        seeds[brush] = np.where(truth[brush] > 0, truth[brush], seeds[brush])


def agreement(labels: np.ndarray, truth: np.ndarray) -> float:
    """Mean Dice of the labels."""
    both = np.bincount(truth[labels == truth], minlength=truth.max() + 1)[1:]
    sizes = sum(np.bincount(a.ravel(), minlength=truth.max() + 1)[1:] for a in (labels, truth))
    return float(np.mean(2 * both[sizes > 0] / sizes[sizes > 0]))


if __name__ == "__main__":
    main()
