"""A few corrected slices of a segmentation that is there already: mean Dice on the slices nobody corrected.

Usage: python Testing/Benchmarks/corrected_drafts.py DATASET… [-k 1 3 5 8] [--draws 8] [--labels 1 2 …]

A DATASET is a folder with images and labels. Each draw takes two people at random: `segment --support`
carries the labels of one to the scan of the other, which is the draft. Then K slices, the middles of K equal
parts of what is labelled, are set right. *draft* is scored as it is, *slices* is what these slices alone lead
to, *corrected* what they lead to with the draft. Labels that a scan lacks are not scored in it.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from few_slices import dice_of_each, evenly

from SynthFoundationLib.images import Image, LabelMap
from SynthFoundationLib.segmentation import FewShotSession, segment_from_support
from SynthFoundationLib.segmentation.cases import find_support

AXIS = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("-k", type=int, nargs="+", default=[1, 3, 5, 8], help="numbers of corrected slices")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labels", type=int, nargs="+", help="labels to use; all by default")
    parser.add_argument("--features", choices=["auto", "learned", "none"], default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for dataset in arguments.datasets:
        table: dict[int, list[dict[str, float]]] = defaultdict(list)
        cases, chosen = find_support(dataset), random.Random(arguments.seed)
        for _ in range(arguments.draws):
            query, support = chosen.sample(cases, 2)
            scan, truth = query.read()
            truth = only(truth, arguments.labels)
            other, labels = support.read()
            draft = segment_from_support(scan, [other], [only(labels, arguments.labels)]).labels
            for k in arguments.k:
                table[k].append(scores(scan, truth, draft, k, arguments.features))
                numbers = "  ".join(f"{name} {value:.3f}" for name, value in table[k][-1].items())
                print(f"{query.name} from {support.name}  K={k}  {numbers}", flush=True)
        for k, rows in table.items():
            means = "  ".join(f"{name} {np.mean([row[name] for row in rows]):.3f}" for name in rows[0])
            print(f"{dataset.name}  K={k}  {means}")


def only(labels: LabelMap, wanted: list[int] | None) -> LabelMap:
    """A label map without the labels that are not wanted."""
    if wanted is None:
        return labels
    data = torch.where(torch.isin(labels.data, torch.tensor(wanted, dtype=torch.int32)), labels.data, 0)
    return LabelMap(data, labels.grid)


def scores(scan: Image, truth: LabelMap, draft: LabelMap, k: int, features: str) -> dict[str, float]:
    """Mean Dice of the draft, of K slices alone, and of the draft that they correct; seconds of the last."""
    right = truth.data.numpy()
    slices = evenly(np.moveaxis(right, AXIS, 0), k)
    seeds, copy = np.zeros_like(right), draft.data.numpy().copy()
    for z in slices:
        np.moveaxis(seeds, AXIS, 0)[z] = np.moveaxis(right, AXIS, 0)[z]
        np.moveaxis(copy, AXIS, 0)[z] = np.moveaxis(right, AXIS, 0)[z]
    complete = [(AXIS, z) for z in slices]
    alone = FewShotSession(scan, features).update((seeds, truth.grid), complete).labels
    session = FewShotSession(scan, features, draft=draft)
    start = time.perf_counter()
    corrected = session.update((copy, truth.grid), complete).labels
    seconds = time.perf_counter() - start
    kept = np.ones(right.shape, bool)
    np.moveaxis(kept, AXIS, 0)[slices] = False

    def dice(labels: LabelMap) -> float:
        each = dice_of_each(labels.data.numpy()[kept], right[kept], max(truth.values))
        return float(np.mean([each[n - 1] for n in truth.values]))

    return {"draft": dice(draft), "slices": dice(alone), "corrected": dice(corrected), "seconds": seconds}


if __name__ == "__main__":
    main()
