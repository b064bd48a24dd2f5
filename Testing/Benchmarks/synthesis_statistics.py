"""Statistics of synthetic pairs beside those of real label maps and scans, as a Markdown table and a CSV.

SYNTHFOUNDATION_DATA=<folder> python Testing/Benchmarks/synthesis_statistics.py [--samples 1000] [--side 64]

The folder holds `<set>/images/*` with `<set>/labels/*` of the same names, or `<set>/<name>.nii.gz` with
`<set>/<name>_labels.nii.gz`. Writes `synthesis_statistics.md` and `.csv` beside this file.
"""

import argparse
import csv
import os
from pathlib import Path

import numpy as np
import torch

from SynthFoundationLib.images import foreground, normalise, read_image, read_labels
from SynthFoundationLib.synthesis import render, sample
from SynthFoundationLib.synthesis.statistics import image_statistics, label_statistics

NAMES = (
    "labels",
    "median_volume",
    "smallest_volume",
    "background",
    "spread",
    "contrast",
    "contrast_to_noise",
)


def synthetic(count: int, side: int) -> list[dict[str, float]]:
    rows = []
    for seed in range(count):
        pair = render(sample(seed, (side,) * 3))
        background = float((pair.labels == 0).float().mean())
        rows += [
            {**label_statistics(pair.labels), "background": background, **image_statistics(view, pair.labels)}
            for view in (pair.view1, pair.view2)
        ]
    return rows


def real_files(folder: Path) -> list[tuple[str, Path, Path]]:
    found = []
    for labels in sorted(folder.rglob("*.nii.gz")):
        if labels.parent.name == "labels":
            image = labels.parent.with_name("images") / labels.name
            found.append((labels.parent.parent.name, image, labels))
        elif labels.name.endswith("_labels.nii.gz"):
            image = labels.with_name(labels.name.replace("_labels", ""))
            found.append((f"{labels.parent.name} {image.name.split('.')[0]}", image, labels))
    return [entry for entry in found if entry[1].exists()]


def real(folder: Path) -> dict[str, list[dict[str, float]]]:
    sets: dict[str, list[dict[str, float]]] = {}
    for name, image_path, label_path in real_files(folder):
        image = read_image(image_path)
        labels = torch.as_tensor(np.asarray(read_labels(label_path).data)).reshape(image.grid.shape)
        inside = foreground(image)
        # Unlabelled tissue and air are two things: background is air, what is unlabelled counts as one label.
        apart = torch.where(inside, labels.long() + 1, 0)
        row = {**label_statistics(apart), "background": 1 - float(inside.float().mean())}
        sets.setdefault(name, []).append({**row, **image_statistics(normalise(image)[0], apart)})
    return sets


def spread(rows: list[dict[str, float]], name: str) -> list[float]:
    values = [row[name] for row in rows if name in row]
    return [float(v) for v in np.percentile(values, [0, 5, 50, 95, 100])] if values else [float("nan")] * 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--side", type=int, default=80)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets = {f"synthetic ({options.samples} pairs, {options.side}³)": synthetic(options.samples, options.side)}
    if "SYNTHFOUNDATION_DATA" in os.environ:
        sets |= real(Path(os.environ["SYNTHFOUNDATION_DATA"]))
    ours = next(iter(sets.values()))
    lines = ["# Statistics of synthetic pairs and of real scans", ""]
    lines += [
        "Minimum / median / maximum of each number; **bold** where the real range leaves the synthetic one."
    ]
    lines += ["Written by `synthesis_statistics.py`, which says how.", ""]
    lines += ["| set | " + " | ".join(NAMES) + " |", "|---" * (len(NAMES) + 1) + "|"]
    table = []
    for label, rows in sets.items():
        cells = []
        for name in NAMES:
            low, five, middle, most, high = spread(rows, name)
            table.append([label, name, low, five, middle, most, high])
            bounds = spread(ours, name)
            cell = f"{low:.3g} / {middle:.3g} / {high:.3g}"
            cells.append(f"**{cell}**" if low < bounds[0] or high > bounds[4] else cell)
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    target = Path(__file__).with_suffix(".md")
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with target.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["set", "statistic", "minimum", "5 %", "median", "95 %", "maximum"])
        writer.writerows([[*row[:2], *(f"{v:.6g}" for v in row[2:])] for row in table])
    print("\n".join(lines))


if __name__ == "__main__":
    main()
