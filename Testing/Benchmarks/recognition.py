"""Does the bundled network know a right pose from a wrong one? Pairs of labelled scans of different people.

Usage: python Testing/Benchmarks/recognition.py IMAGES LABELS [--pairs N] [--seed N] [--right-mm MM]

Pairs are drawn as in starts.py, and poses that start right are refined. Wrong poses of the same pair turn
the moving scan about the patient by right angles, two draws each, and are refined alike. Printed are the
quantiles of what the report calls `recognised`, and how many of each kind the verdict lets pass.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from starts import RIGHT_MM, drawn_header, drawn_pairs, found_start, labelled

from SynthFoundationLib.geometry import Affine
from SynthFoundationLib.registration.comparison import Descriptor
from SynthFoundationLib.registration.course import silent
from SynthFoundationLib.registration.pose import Pose, refine_pose
from SynthFoundationLib.registration.quality import Look
from SynthFoundationLib.registration.scan import Scan
from SynthFoundationLib.registration.search import right_angle_turns
from SynthFoundationLib.registration.settings import Settings
from SynthFoundationLib.report.verdict import Thresholds

WRONG = 2  # wrong poses a pair


def recognised(fixed: Scan, moving: Scan, start: Affine, descriptor: Descriptor) -> float:
    """What the report of a registration from this start says."""
    settings = Settings()
    pose = refine_pose(fixed, moving, descriptor, settings, "affine", Pose(start), None, silent)
    return Look(fixed, moving, descriptor).recognised(pose.transform)


def turned_about(start: Affine, rotation: np.ndarray, centre: np.ndarray) -> Affine:
    """The start after a rotation of the fixed space about a point."""
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = rotation, centre - rotation @ centre
    return Affine(start.matrix @ turn)


def main() -> None:
    """Print each pair, then the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--right-mm", type=float, default=RIGHT_MM, help="worse starts are passed over")
    given = parser.parse_args()
    descriptor = Descriptor("auto", None)
    rng, turns = np.random.default_rng(given.seed), right_angle_turns()[1:]
    right: list[float] = []
    wrong: list[float] = []
    for one, other in drawn_pairs(given.images, given.labels, given.seed)[: given.pairs]:
        fixed, moving = (labelled(given.images, given.labels, name) for name in (one, other))
        if not fixed.centres.keys() & moving.centres.keys():
            continue
        start, error = found_start(fixed, moving, drawn_header("right", given.seed))
        if error > given.right_mm:
            continue
        right.append(recognised(fixed.scan, moving.scan, start, descriptor))
        centre = fixed.scan.cropped(0.0).center
        for turn in rng.choice(len(turns), WRONG, replace=False):
            away = turned_about(start, turns[turn], centre)
            wrong.append(recognised(fixed.scan, moving.scan, away, descriptor))
        print(one, other, *(f"{value:.3f}" for value in (right[-1], *wrong[-WRONG:])), flush=True)
    limit = Thresholds().recognised
    for name, values in (("right", right), ("wrong", wrong)):
        shown = ", ".join(f"{q:.3f}" for q in np.quantile(values, (0, 0.05, 0.5, 0.95, 1)))
        passed = sum(value >= limit for value in values)
        print(f"{name}: {passed} of {len(values)} reach {limit}; least, 5 %, median, 95 %, most: {shown}")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
