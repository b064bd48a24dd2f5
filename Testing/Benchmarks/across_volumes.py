"""Few labelled volumes: mean Dice on other people's scans, with and without training.

Usage: python Testing/Benchmarks/across_volumes.py DATASET… -o OUT [--init WEIGHTS] [--shots 1 4 8] …

A DATASET is a folder with images and labels. Each draw takes support cases and queries at random; those of
fewer shots are the first of those of more, and all methods see the same:
  registration  labels carried over by registration alone, the most voted one taken
  head          appearance and position learned from the support scans alone, without registration
  support       `segment --support`: carried over, matched, corrected by a head; no training
  scratch, init `finetune` from random and from pretrained weights, for the same number of steps or minutes
OUT gets results.jsonl, a line per query as soon as it is done, and results.md with bootstrap confidence
intervals (95 %, draws and queries resampled). Started again, it keeps what is there.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from SynthFoundationLib.files import output_folder, replacing
from SynthFoundationLib.finetuning import finetune, predict
from SynthFoundationLib.geometry import Transform, resample
from SynthFoundationLib.images import Image, LabelMap, foreground, normalise
from SynthFoundationLib.registration import register
from SynthFoundationLib.segmentation import evaluate_segmentation, segment_from_support
from SynthFoundationLib.segmentation.appearance import describe
from SynthFoundationLib.segmentation.cases import Case, find_support
from SynthFoundationLib.segmentation.decide import decided
from SynthFoundationLib.segmentation.head import Head
from SynthFoundationLib.segmentation.learning import FIRST_STEPS

METHODS = ("registration", "head", "support", "scratch", "init")
COMPARED = (("support", "registration"), ("support", "head"), ("init", "scratch"))
RESAMPLED = 2000
HEAD_VOXELS = 200_000  # of one scan, that the head alone learns from
HEAD_NOISE = 0.15


@dataclass(eq=False)
class Draw:
    """Support cases and queries of one draw, read once; transforms are found when first asked for."""

    support: list[tuple[Image, LabelMap]]
    queries: dict[str, tuple[Image, LabelMap]]
    preset: str
    found: dict[tuple[str, int], Transform] = field(default_factory=dict)

    def transforms(self, query: str, shots: int) -> list[Transform]:
        """From the query to each of the first support scans."""
        for number, (scan, _) in enumerate(self.support[:shots]):
            if (query, number) not in self.found:
                fixed = self.queries[query][0]
                self.found[query, number] = register(fixed, scan, preset=self.preset).transform
        return [self.found[query, number] for number in range(shots)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--queries", type=int, help="of each draw; all that remain by default")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--init", help="pretrained weights; without them 'init' is left out")
    parser.add_argument("--steps", type=int, help="of each training; else --minutes")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each training")
    parser.add_argument("--device", default="cpu", help="of trainings: cpu, cuda, mps")
    parser.add_argument("--preset", default="default", help="of the registrations")
    parser.add_argument("--labels", type=int, nargs="+", help="labels to score; all of the query by default")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    with output_folder(options.output) as folder:
        rows = _read(folder / "results.jsonl")
        for dataset in options.datasets:
            for number in range(options.draws):
                for row in run_draw(dataset, number, options, folder, rows):
                    rows.append(row)
                    line = json.dumps(row)
                    print(line, flush=True)
                    with (folder / "results.jsonl").open("a", encoding="utf-8") as file:
                        print(line, file=file)
        text = summary(rows, " ".join(["across_volumes.py", *map(_shown, arguments or sys.argv[1:])]))
        with replacing(folder / "results.md") as beside:
            beside.write_text(text, encoding="utf-8")
    print(text)
    return 0


def _shown(argument: str) -> str:
    """An argument without the folders of this machine."""
    return Path(argument).name if "/" in argument else argument


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_draw(
    dataset: Path, number: int, options: argparse.Namespace, folder: Path, rows: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """One row per shots, method and query that `rows` lack."""
    cases = find_support(dataset)
    random.Random(number).shuffle(cases)
    most = max(options.shots)
    stop = None if options.queries is None else most + options.queries
    chosen = {case.name: case for case in cases[most:stop]}
    done = {(r["dataset"], r["draw"], r["shots"], r["method"], r["query"]) for r in rows}
    draw: Draw | None = None
    for shots in options.shots:
        for method in options.methods:
            key = (dataset.name, number, shots, method)
            left = [name for name in chosen if (*key, name) not in done]
            if not left or (method == "init" and options.init is None):
                continue
            draw = draw or _loaded(cases[:most], chosen, options.preset)
            model = folder / f"{'-'.join(map(str, key))}.safetensors"
            start = time.perf_counter()
            segment = _method(method, draw, shots, options, model)
            prepared = time.perf_counter() - start
            for name in left:
                start = time.perf_counter()
                labels = segment(name)
                truth = draw.queries[name][1]
                scores = evaluate_segmentation(labels, truth, options.labels or truth.values)
                yield {
                    **dict(zip(("dataset", "draw", "shots", "method"), key, strict=True)),
                    "query": name,
                    "dice": round(float(np.mean([s.dice for s in scores])), 4),
                    "surface_dice": round(float(np.nanmean([s.surface_dice for s in scores])), 4),
                    "prepared_s": round(prepared, 1),
                    "seconds": round(time.perf_counter() - start, 2),
                }


def _loaded(support: Sequence[Case], queries: dict[str, Case], preset: str) -> Draw:
    return Draw([c.read() for c in support], {name: c.read() for name, c in queries.items()}, preset)


def _method(
    method: str, draw: Draw, shots: int, options: argparse.Namespace, model: Path
) -> Callable[[str], LabelMap]:
    """What segments a query, after the training where there is one."""
    support = draw.support[:shots]
    if method == "registration":
        return lambda name: carried(draw.queries[name][0], support, draw.transforms(name, shots))
    if method == "head":
        alone = head_alone(support)
        return lambda name: alone(draw.queries[name][0])
    if method == "support":
        scans, maps = zip(*support, strict=True)
        return lambda name: (
            segment_from_support(draw.queries[name][0], scans, maps, draw.transforms(name, shots)).labels
        )
    model.unlink(missing_ok=True)
    segmenter = finetune(
        support,
        model,
        "scratch" if method == "scratch" else options.init,
        options.minutes,
        steps=options.steps,
        architecture=_architecture(options.init),
        device=options.device,
    )
    model.unlink()
    return lambda name: predict(segmenter, draw.queries[name][0], options.device)


def _architecture(init: str | None) -> Any:
    from SynthFoundationLib.features.weights import load_weights

    return None if init is None else load_weights(init).network.config


def carried(
    image: Image, support: Sequence[tuple[Image, LabelMap]], transforms: Sequence[Transform]
) -> LabelMap:
    """The label that most support scans put at a voxel."""
    values = [0, *sorted(set().union(*(labels.values for _, labels in support)))]
    votes = torch.zeros(len(values), *image.grid.shape)
    for (_, labels), to in zip(support, transforms, strict=True):
        for channel, value in enumerate(values[1:], 1):
            votes[channel] += resample((labels.data == value)[None].float(), labels.grid, image.grid, to)[0]
    votes[0] = len(support) - votes[1:].sum(0)
    return LabelMap(torch.tensor(values, dtype=torch.int32)[votes.argmax(0)], image.grid)


def head_alone(support: Sequence[tuple[Image, LabelMap]]) -> Callable[[Image], LabelMap]:
    """A head on appearance and on the position in the body, fitted to the support scans as they lie."""
    values = [0, *sorted(set().union(*(labels.values for _, labels in support)))]
    rows, classes = [], []
    for scan, labels in support:
        body = foreground(scan) | (labels.data > 0)
        thinned = slice(None, None, max(1, int(body.sum()) // HEAD_VOXELS))
        rows.append(_described(scan, body)[thinned])
        found = torch.searchsorted(torch.tensor(values, dtype=torch.int32), labels.data[body])
        classes.append(found[thinned])
    head = Head(rows[0].shape[1], len(values))
    noise = torch.full_like(head.scale, HEAD_NOISE)
    head.fit(partial(torch.cat(rows).index_select, 0), torch.cat(classes), FIRST_STEPS, noise)
    answer = head.answers()

    def segment(image: Image) -> LabelMap:
        body = foreground(image)
        found = torch.zeros(image.grid.shape, dtype=torch.int32)
        found[body] = torch.tensor(values, dtype=torch.int32)[decided(answer(_described(image, body)).exp())]
        return LabelMap(found, image.grid)

    return segment


def _described(image: Image, body: torch.Tensor) -> torch.Tensor:
    """Rows (M, F) of the voxels of the body: appearance, and the position between its ends."""
    spacing = image.grid.spacing[::-1]
    rows = describe(normalise(image, body), spacing, body)
    place = body.nonzero().float()
    place = (place - place.mean(0)) / place.std(0).clamp_min(1e-3)
    return torch.cat([rows, place.to(rows.dtype)], 1)


def summary(rows: Sequence[dict[str, Any]], command: str) -> str:
    """Markdown: the mean of each method, and paired differences, with confidence intervals."""
    parts = [f"`{command}`", "Mean Dice, 95 % confidence interval; seconds per query, preparation per draw."]
    lines = [["dataset", "shots", "method", "Dice", "queries", "seconds", "preparation"], ["---"] * 7]
    for (dataset, shots, method), chosen in _grouped(rows, "dataset", "shots", "method").items():
        values = {(r["draw"], r["query"]): r["dice"] for r in chosen}
        times = [f"{np.mean([r[key] for r in chosen]):.1f}" for key in ("seconds", "prepared_s")]
        lines.append([dataset, str(shots), method, interval(values), str(len(values)), *times])
    parts.append(_table(lines))
    lines = [["dataset", "shots", "difference", "Dice"], ["---"] * 4]
    for (dataset, shots), chosen in _grouped(rows, "dataset", "shots").items():
        by = {(r["method"], r["draw"], r["query"]): r["dice"] for r in chosen}
        for better, worse in COMPARED:
            pairs = {
                (draw, query): value - by[worse, draw, query]
                for (method, draw, query), value in by.items()
                if method == better and (worse, draw, query) in by
            }
            if pairs:
                lines.append([dataset, str(shots), f"{better} − {worse}", interval(pairs, "+")])
    parts.append(_table(lines))
    return "\n\n".join(parts) + "\n"


def interval(values: dict[tuple[int, str], float], sign: str = "") -> str:
    """Mean and 95 % interval of values by (draw, query): draws are resampled, and queries within them."""
    draws: dict[int, list[float]] = {}
    for (draw, _), value in values.items():
        draws.setdefault(draw, []).append(value)
    generator = np.random.default_rng(0)
    picked = generator.integers(len(draws), size=(RESAMPLED, len(draws)))
    sums, counts = np.zeros(RESAMPLED), np.zeros(RESAMPLED)
    for number, group in enumerate(draws.values()):
        for slot in range(len(draws)):
            drawn = np.array(group)[generator.integers(len(group), size=(RESAMPLED, len(group)))].sum(1)
            sums += np.where(picked[:, slot] == number, drawn, 0)
            counts += np.where(picked[:, slot] == number, len(group), 0)
    means = sums / counts
    low, high = np.percentile(means, (2.5, 97.5))
    mean = np.mean(list(values.values()))
    return f"{mean:{sign}.3f} ({low:{sign}.3f} … {high:{sign}.3f})"


def _grouped(rows: Sequence[dict[str, Any]], *keys: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: (r["dataset"], r["shots"], METHODS.index(r["method"]))):
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())
