"""Pictures of a segmentation from a few labelled slices, on the head of the demo.

Usage: python Testing/Benchmarks/few_slices_pictures.py -o docs/images [-k 5]

Writes few-slices.png: above, what is drawn; below, the answer. From left to right a labelled axial slice, the
axial slice furthest from labelled ones, and the coronal slice in the middle, where labelled slices are lines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from made_head import COLORS, labelled_pair

from SynthFoundationLib.files import replacing
from SynthFoundationLib.images import Image, LabelMap
from SynthFoundationLib.segmentation import evaluate_segmentation, segment

OPACITY = 0.5
DPI = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    parser.add_argument("-k", type=int, default=5, help="number of labelled slices")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scan, truth, _, _ = labelled_pair()
    slices, seeds = drawn(truth, arguments.k)
    found = segment(scan, seeds, [(0, z) for z in slices]).labels
    print(f"mean Dice on other slices {agreement(found, truth, slices):.3f}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    with replacing(arguments.output / "few-slices.png") as beside:
        figure(scan, seeds, found, slices).savefig(beside, dpi=DPI, format="png")


def drawn(truth: LabelMap, k: int) -> tuple[list[int], LabelMap]:
    """k evenly spread axial slices, and a label map of these alone."""
    held = np.flatnonzero((truth.data > 0).numpy().any(axis=(1, 2)))
    middles = held[0] + (held[-1] - held[0]) * (np.arange(k) + 0.5) / k
    slices = [int(z) for z in np.rint(middles)]
    seeds = torch.zeros_like(truth.data)
    seeds[slices] = truth.data[slices]
    return slices, LabelMap(seeds, truth.grid, truth.names, truth.colors)


def agreement(found: LabelMap, truth: LabelMap, slices: list[int]) -> float:
    """Mean Dice of the labels on slices that are not labelled."""
    kept = [labels.data.clone().index_fill_(0, torch.tensor(slices), 0) for labels in (found, truth)]
    ours, theirs = (LabelMap(data, truth.grid) for data in kept)
    return float(np.mean([score.dice for score in evaluate_segmentation(ours, theirs, truth.values)]))


def figure(scan: Image, seeds: LabelMap, found: LabelMap, slices: list[int]):
    """What is drawn above what is found."""
    from matplotlib.figure import Figure

    between = max(range(slices[0], slices[-1]), key=lambda z: min(abs(z - s) for s in slices))
    cuts = [(0, slices[len(slices) // 2]), (0, between), (1, scan.grid.shape[1] // 2)]
    titles = ["a labelled slice", "the furthest from labelled ones", "across the slices"]
    result = Figure(figsize=(9, 6.4), layout="constrained", facecolor="black")
    for row, (labels, what) in enumerate(((seeds, "drawn"), (found, "answer"))):
        for column, (axis, index) in enumerate(cuts):
            panel = result.add_subplot(2, 3, 1 + 3 * row + column)
            panel.imshow(painted(scan, labels, axis, index), origin="lower")
            panel.set_axis_off()
            panel.set_title(f"{what}: {titles[column]}", color="white", fontsize=11)
    return result


def painted(scan: Image, labels: LabelMap, axis: int, index: int) -> np.ndarray:
    """A slice in grey with its labels in colour, the front or the top of the head up → (H, W, 3)."""
    grey = scan.data[0].select(axis, index).numpy()
    cut = labels.data.select(axis, index).numpy()
    picture = np.repeat((grey / np.quantile(grey, 0.995)).clip(0, 1)[..., None], 3, axis=2)
    for label, color in COLORS.items():
        inside = cut == label
        picture[inside] = (1 - OPACITY) * picture[inside] + OPACITY * np.array(color)
    return picture if axis else picture[::-1]


if __name__ == "__main__":
    main()
