"""A scan that lies obliquely, painted on along the patient: mean Dice on what nobody labelled.

Usage: python Testing/Benchmarks/oblique_planes.py CASES [-k 3 5] [-c NAME …] [--degrees 0 5 15 30]
                                                   [--scans-own-axes]

CASES are those of few_slices.py. The header of each scan is turned by DEGREES about all of its axes, and K
planes across the axis of the patient that lies nearest to that of the case's slices are labelled completely,
as thick as a slice. They are left to be found. With --scans-own-axes the header stays and the planes are
turned instead, as in a slice view that follows nobody's axes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from few_slices import dice_of_each
from variants import lying_elsewhere, on_matrix

from SynthFoundationLib.geometry import grid_points
from SynthFoundationLib.images import LabelMap, as_image, read_labels
from SynthFoundationLib.segmentation import segment

ENDS = 0.1  # of the way through the structures at which the first and the last plane lie


def planes(truth: LabelMap, normal: np.ndarray, thickness: float, count: int) -> np.ndarray:
    """(D, H, W) bool: planes across a direction (x, y, z), evenly through what is labelled."""
    along = grid_points(truth.grid).numpy() @ normal
    inside = along[truth.data.numpy() > 0]
    low, high = inside.min(), inside.max()
    ends = np.linspace(ENDS, 1 - ENDS, count) if count > 1 else [0.5]
    result = np.zeros(truth.grid.shape, bool)
    for share in ends:
        result |= np.abs(along - (low + share * (high - low))) <= thickness / 2
    return result


def scored(case: Path, count: int, degrees: float, own_axes: bool) -> tuple[float, int]:
    """Mean Dice outside the planes, and how many of them were found."""
    info, image = json.loads((case / "info.json").read_text()), as_image(case / "image.nii.gz")
    truth = read_labels(case / "truth.nii.gz")
    tilt, axis = lying_elsewhere((degrees, -degrees / 2, degrees / 3)), 2 - info["axis"]
    if own_axes:
        normal = tilt[:3, :3] @ image.grid.axes[:, axis]
    else:
        normal = np.eye(3)[np.abs(image.grid.axes[:, axis]).argmax()]
        image = on_matrix(image.data, tilt @ image.grid.matrix)
        truth = LabelMap(truth.data, image.grid)
    labelled = planes(truth, normal, image.grid.spacing[axis], count)
    drawn = np.where(labelled, truth.data.numpy(), 0)
    result = segment(image, (drawn, image.grid))
    scores = dice_of_each(result.labels.data.numpy()[~labelled], truth.data.numpy()[~labelled], info["n"])
    return float(np.mean(scores)), len(result.planes)


def main() -> None:
    """Print a line per case, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("-k", type=int, nargs="+", default=[3, 5], help="numbers of labelled planes")
    parser.add_argument("-c", "--case", nargs="+", help="beginnings of the names of the cases to score")
    parser.add_argument("--degrees", type=float, nargs="+", default=[0, 5, 15, 30])
    parser.add_argument("--scans-own-axes", action="store_true")
    given = parser.parse_args()
    table: dict[str, list[float]] = defaultdict(list)
    for case in sorted(path.parent for path in given.cases.glob("*/info.json")):
        if given.case and not case.name.startswith(tuple(given.case)):
            continue
        for count in given.k:
            for degrees in given.degrees:
                dice, found = scored(case, count, degrees, given.scans_own_axes)
                print(f"{case.name}  K={count}  {degrees:g} degrees  {found} planes  {dice:.3f}", flush=True)
                table[f"{case.name.rsplit('_', 1)[0]}  K={count}  {degrees:g} degrees"].append(dice)
    for name, values in table.items():
        print(f"{name}  {np.mean(values):.3f}")


if __name__ == "__main__":
    main()
