"""Few labelled slices: mean Dice on the slices that nobody labelled, and seconds per edit.

Usage: python Testing/Benchmarks/few_slices.py CASES [-k 3 5 8] [-c NAME …] [--strokes] [--across]
                                               [--features none] [--grow-from-seeds] [-o OUT.jsonl]

CASES holds one folder per case: image.nii.gz, truth.nii.gz (labels 1 … n) and info.json with the array axis
of the labelled slices, "n" and "slices_K"; without the latter, slices are the middles of K equal parts. With
--strokes only the inner part of each structure is labelled in these slices, and a quarter of the voxels
around structures as background. With --across a slice of each of the other two axes is labelled as well,
and which slices are complete is left to be found. Seconds: `first_s` from reading the image to the first
answer, or with features at hand in later rows; `edit_s` after one slice changed. --grow-from-seeds scores 3D
Slicer's effect of that name.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from grow_from_seeds import grow_from_seeds
from scipy import ndimage

from SynthFoundationLib.images import LabelMap, as_labels, read_labels
from SynthFoundationLib.segmentation import FewShotSession

CORE = 0.6  # of a structure's depth in a slice: what lies deeper is stroked
AROUND = (2, 6)  # voxels away from structures where background is stroked
SHARE = 4  # one voxel of so many there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("-k", type=int, nargs="+", default=[3, 5, 8], help="numbers of labelled slices")
    parser.add_argument("-c", "--case", nargs="+", help="beginnings of the names of the cases to score")
    parser.add_argument("-o", "--output", type=Path, help="a line of JSON per case and number")
    parser.add_argument("--strokes", action="store_true", help="label parts of the slices")
    parser.add_argument("--across", action="store_true", help="label slices of the other axes, too")
    parser.add_argument("--grow-from-seeds", action="store_true", help="score Slicer's effect instead")
    parser.add_argument("--features", choices=["auto", "learned", "none"], default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    table: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for case in sorted(p.parent for p in arguments.cases.glob("*/info.json")):
        if arguments.case and not case.name.startswith(tuple(arguments.case)):
            continue
        drawn = [Drawn.read(case, k, arguments.strokes, arguments.across) for k in arguments.k]
        rows = grown(case, drawn) if arguments.grow_from_seeds else answered(case, drawn, arguments.features)
        for row in rows:
            table[case.name.rsplit("_", 1)[0]][row["K"]].append(row["dice"])
            line = json.dumps(row)
            print(line, flush=True)
            if arguments.output:
                with open(arguments.output, "a", encoding="utf-8") as file:
                    print(line, file=file)
    for name, columns in table.items():
        print(name, *(f"K={k} {np.mean(values):.3f}" for k, values in columns.items()), sep="  ")


@dataclass(frozen=True)
class Drawn:
    """What is drawn in K slices of a case: seeds (D, H, W), 0 = not labelled, and what is to be found."""

    seeds: LabelMap
    truth: np.ndarray
    axis: int
    slices: list[int]
    across: list[tuple[int, int]]
    labels: int
    strokes: bool

    @classmethod
    def read(cls, case: Path, k: int, strokes: bool, across: bool) -> Drawn:
        """The seeds of K slices, or strokes in them; `across` adds a slice of each of the other axes."""
        info = json.loads((case / "info.json").read_text())
        truth, axis, labels = read_labels(case / "truth.nii.gz"), info["axis"], info["n"]
        planes = np.moveaxis(truth.data.numpy(), axis, 0)
        slices = info.get(f"slices_{k}") or evenly(planes, k)
        drawn, generator = np.zeros_like(planes), np.random.default_rng(0)
        for z in slices:
            drawn[z] = stroked(planes[z], labels + 1, generator) if strokes else planes[z]
        seeds, whole = np.ascontiguousarray(np.moveaxis(drawn, 0, axis)), truth.data.numpy()
        others = [(a, evenly(np.moveaxis(whole, a, 0), 1)[0]) for a in {0, 1, 2} - {axis} if across]
        for a, index in others:
            np.moveaxis(seeds, a, 0)[index] = np.moveaxis(whole, a, 0)[index]
        return cls(as_labels((seeds, truth.grid)), whole, axis, slices, others, labels, strokes)

    @property
    def background(self) -> int:
        """The label of strokes on background."""
        return self.labels + 1

    def scored(self, labels: np.ndarray, **more: float) -> dict:
        """A row of the table: Dice of each label over the slices that are not labelled, and the mean."""
        kept = np.ones(self.truth.shape, bool)
        for axis, index in [(self.axis, z) for z in self.slices] + self.across:
            np.moveaxis(kept, axis, 0)[index] = False
        scores = dice_of_each(labels[kept], self.truth[kept], self.labels)
        row = {"K": len(self.slices), "dice": round(float(np.mean(scores)), 4)}
        return row | {"per": [round(s, 3) for s in scores]} | more


def dice_of_each(ours: np.ndarray, theirs: np.ndarray, labels: int) -> list[float]:
    """Dice of the labels 1 … `labels`; 0 where neither has one."""
    pairs = [(ours == n, theirs == n) for n in range(1, labels + 1)]
    return [float(2 * (a & b).sum() / max(1, a.sum() + b.sum())) for a, b in pairs]


def evenly(planes: np.ndarray, k: int) -> list[int]:
    """The middle slices of k equal parts of what is labelled in (slices, H, W)."""
    filled = np.flatnonzero(planes.any((1, 2)))
    ends = np.linspace(filled[0], filled[-1], 2 * k + 1)
    return sorted({int(z) for z in ends[1::2].round()})


def stroked(plane: np.ndarray, background: int, generator: np.random.Generator) -> np.ndarray:
    """Strokes in a completely labelled slice (H, W): inside of its structures, and around them."""
    result = np.zeros_like(plane)
    for label in np.unique(plane[plane > 0]):
        depth = ndimage.distance_transform_edt(plane == label)
        result[depth >= CORE * depth.max()] = label
    if (plane > 0).any():
        away = ndimage.distance_transform_cdt(plane == 0, "taxicab")
        around = np.argwhere((away > AROUND[0]) & (away <= AROUND[1]))
        result[tuple(generator.permutation(around)[: len(around) // SHARE].T)] = background
    return result


def answered(case: Path, drawn: list[Drawn], features: str) -> Iterator[dict]:
    """One row per number of labelled slices; the features are computed once, in the first row's time."""
    start = time.perf_counter()
    session = FewShotSession(case / "image.nii.gz", features)
    for one in drawn:
        complete = "none" if one.strokes else "auto" if one.across else [(one.axis, z) for z in one.slices]
        background = one.background if one.strokes else None
        result = session.update(one.seeds, complete, background)
        first = time.perf_counter() - start
        moved = np.moveaxis(one.seeds.data.numpy().copy(), one.axis, 0)
        middle = moved[one.slices[len(one.slices) // 2]]
        middle[:] = np.roll(middle, 1, 0)
        start = time.perf_counter()
        session.update((np.moveaxis(moved, 0, one.axis), one.seeds.grid), complete, background)
        edit = time.perf_counter() - start
        session.clear()
        row = one.scored(result.labels.data.numpy(), first_s=round(first, 2), edit_s=round(edit, 2))
        yield {"case": case.name} | row
        start = time.perf_counter()


def grown(case: Path, drawn: list[Drawn]) -> Iterator[dict]:
    """The same for *Grow from seeds*, which takes what is not structure in a complete slice as background."""
    for one in drawn:
        seeds = one.seeds.data.numpy().copy()
        if not one.strokes:
            planes = np.moveaxis(seeds, one.axis, 0)
            planes[one.slices] = np.where(planes[one.slices] > 0, planes[one.slices], one.background)
        start = time.perf_counter()
        labels = grow_from_seeds(case / "image.nii.gz", seeds, one.background)
        yield {"case": case.name} | one.scored(labels, first_s=round(time.perf_counter() - start, 2))


if __name__ == "__main__":
    main()
    if "slicer" in sys.modules:  # its own clean-up at the end fails without its application
        sys.stdout.flush()
        os._exit(0)
