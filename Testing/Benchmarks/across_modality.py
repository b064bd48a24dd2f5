"""Labels drawn in one modality, the result in another: mean Dice on the other scan.

Usage: python Testing/Benchmarks/across_modality.py SCAN LABELS OTHER_SCAN OTHER_LABELS [-k 5] [--axis j]
       python Testing/Benchmarks/across_modality.py --made [-k 5] [-o OUT.jsonl]

Of SCAN either k slices across AXIS are labelled, from which a session labels the rest, or all of it. Its
labels then go to OTHER_SCAN (of the same or of another person) in two ways: `registration` carries them over
alone, `support` is `segment OTHER_SCAN --support`. Scored are the labels that both scans have. `--made` scans
the head of the demo twice, T1- and T2-weighted, in another pose: one person, with labels that are known.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from across_volumes import carried
from made_head import labelled_pair

from SynthFoundationLib.images import Image, LabelMap, as_image, read_labels
from SynthFoundationLib.registration import register
from SynthFoundationLib.segmentation import evaluate_segmentation, segment, segment_from_support

AXES = "kji"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE")
    parser.add_argument("--made", action="store_true", help="the demo's head instead of files")
    parser.add_argument("-k", type=int, nargs="*", default=[5], help="numbers of labelled slices")
    parser.add_argument(
        "--axis", choices=list(AXES), default="k", help="voxel axis that the slices lie across"
    )
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if len(arguments.files) != (0 if arguments.made else 4):
        parser.error("give SCAN LABELS OTHER_SCAN OTHER_LABELS, or --made")
    name = "made" if arguments.made else f"{arguments.files[0].name} to {arguments.files[2].name}"
    for row in rows(*_read(arguments), arguments.k, AXES.index(arguments.axis)):
        line = json.dumps({"pair": name} | row)
        print(line, flush=True)
        if arguments.output:
            with open(arguments.output, "a", encoding="utf-8") as file:
                print(line, file=file)


def _read(arguments: argparse.Namespace) -> tuple[Image, LabelMap, Image, LabelMap]:
    if arguments.made:
        return labelled_pair()
    scan, labels, other, truth = arguments.files
    return as_image(scan), read_labels(labels), as_image(other), read_labels(truth)


def rows(
    scan: Image, labels: LabelMap, other: Image, truth: LabelMap, numbers: list[int], axis: int
) -> list[dict]:
    """One row per number of labelled slices, and one for a scan that is labelled completely."""
    shared = sorted(set(labels.values) & set(truth.values))
    start = time.perf_counter()
    transform = register(other, scan).transform
    registering = time.perf_counter() - start
    found = []
    for k in [None, *numbers]:
        drawn = labels if k is None else drawn_on_slices(scan, labels, shared, k, axis)
        start = time.perf_counter()
        matched = segment_from_support(other, [scan], [drawn], [transform]).labels
        seconds = registering + time.perf_counter() - start
        row = {
            "slices": k or "all",
            "labels": len(shared),
            "dice_on_scan": mean_dice(drawn, labels, shared),
            "registration": mean_dice(carried(other, [(scan, drawn)], [transform]), truth, shared),
            "support": mean_dice(matched, truth, shared),
            "seconds": round(seconds, 1),
        }
        found.append(row)
    return found


def mean_dice(found: LabelMap, truth: LabelMap, labels: list[int]) -> float:
    """Mean over labels."""
    return round(float(np.mean([score.dice for score in evaluate_segmentation(found, truth, labels)])), 3)


def drawn_on_slices(scan: Image, labels: LabelMap, wanted: list[int], k: int, axis: int) -> LabelMap:
    """All labels of a scan from those of k slices, evenly spread over what is labelled."""
    volume = np.where(np.isin(labels.data.numpy(), wanted), labels.data.numpy(), 0)
    held = np.flatnonzero(volume.any(axis=tuple({0, 1, 2} - {axis})))
    length = held[-1] - held[0]
    slices = np.unique(np.rint(held[0] + length * (np.arange(k) + 0.5) / k).astype(int))
    seeds = np.zeros_like(volume)
    np.moveaxis(seeds, axis, 0)[slices] = np.moveaxis(volume, axis, 0)[slices]
    return segment(scan, (seeds, labels.grid), [(axis, int(z)) for z in slices]).labels


if __name__ == "__main__":
    main()
