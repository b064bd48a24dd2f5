"""Few labelled slices: mean Dice on the slices that nobody labelled, and seconds per edit.

Usage: python Testing/Benchmarks/few_slices.py CASES [-k 3 5 8] [-c NAME …] [--features none] [-o OUT.jsonl]

CASES holds one folder per case: image.nii.gz, truth.nii.gz (labels 1 … n), seeds_K.nii.gz (0 = not labelled)
and info.json with the array axis of the labelled slices, "n" and "slices_K". Seconds: `first_s` from reading
the image to the first answer, or with features at hand in later rows; `edit_s` after one slice changed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from SynthFoundationLib.images import read_labels
from SynthFoundationLib.segmentation import FewShotSession


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("-k", type=int, nargs="+", default=[3, 5, 8], help="numbers of labelled slices")
    parser.add_argument("-c", "--case", nargs="+", help="beginnings of the names of the cases to score")
    parser.add_argument("-o", "--output", type=Path, help="a line of JSON per case and number")
    parser.add_argument("--features", choices=["auto", "learned", "none"], default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    table: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for case in sorted(p.parent for p in arguments.cases.glob("*/info.json")):
        if arguments.case and not case.name.startswith(tuple(arguments.case)):
            continue
        for row in score_case(case, arguments.k, arguments.features):
            table[case.name.rsplit("_", 1)[0]][row["K"]].append(row["dice"])
            line = json.dumps(row)
            print(line, flush=True)
            if arguments.output:
                with open(arguments.output, "a", encoding="utf-8") as file:
                    print(line, file=file)
    for name, columns in table.items():
        print(name, *(f"K={k} {np.mean(values):.3f}" for k, values in columns.items()), sep="  ")


def score_case(case: Path, numbers: list[int], features: str = "auto") -> list[dict]:
    """One row per number of labelled slices; the features are computed once, in the first row's time."""
    info = json.loads((case / "info.json").read_text())
    truth = read_labels(case / "truth.nii.gz").data.numpy()
    start = time.perf_counter()
    session = FewShotSession(case / "image.nii.gz", features)
    rows = []
    for k in numbers:
        seeds = read_labels(case / f"seeds_{k}.nii.gz")
        complete = [(info["axis"], z) for z in info[f"slices_{k}"]]
        result = session.update(seeds, complete)
        first = time.perf_counter() - start
        moved = np.moveaxis(seeds.data.numpy().copy(), info["axis"], 0)
        moved[info[f"slices_{k}"][k // 2]] = np.roll(moved[info[f"slices_{k}"][k // 2]], 1, 0)
        start = time.perf_counter()
        session.update((np.moveaxis(moved, 0, info["axis"]), seeds.grid), complete)
        edit = time.perf_counter() - start
        session.clear()
        scores = unlabelled_dice(result.labels.data.numpy(), truth, info, k)
        row = {"case": case.name, "K": k, "dice": round(float(np.mean(scores)), 4)}
        rows.append(
            row | {"per": [round(s, 3) for s in scores], "first_s": round(first, 2), "edit_s": round(edit, 2)}
        )
        start = time.perf_counter()
    return rows


def unlabelled_dice(labels: np.ndarray, truth: np.ndarray, info: dict, k: int) -> list[float]:
    """Dice of each label 1 … n over the slices that are not labelled."""
    kept = np.ones(truth.shape[info["axis"]], bool)
    kept[info[f"slices_{k}"]] = False
    ours, theirs = (np.compress(kept, a, info["axis"]) for a in (labels, truth))
    return [
        float(2 * ((ours == n) & (theirs == n)).sum() / max(1, (ours == n).sum() + (theirs == n).sum()))
        for n in range(1, info["n"] + 1)
    ]


if __name__ == "__main__":
    main()
