"""Folders of predictions against folders of labels: table, CSV, plots, the worst cases as pictures."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..files import replacing, replacing_all
from ..images import LabelMap, as_image, read_labels, warp_labels
from .cases import Case, find_pairs, images_by_name
from .disagreement import draw
from .metrics import evaluate_segmentation

Row: TypeAlias = "dict[str, Any]"
Progress: TypeAlias = Callable[[str, float], None]
_PICTURE = re.compile(r"worst_\d+_.+\.jpg")
MEASURES = {
    "dice": ("Dice", ".3f"),
    "surface_dice": ("surface Dice", ".3f"),
    "hd95_mm": ("HD95 mm", ".2f"),
    "volume_error_percent": ("volume error %", "+.1f"),
}


def evaluate_folders(
    predictions: str | Path,
    labels: str | Path,
    output: Path,
    images: str | Path | None = None,
    tolerance_mm: float = 1.0,
    worst: int = 3,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> str:
    """Score every prediction that has labels of the same name; the Markdown table of the means.

    Written into `output`, a folder that exists, together: `scores.csv` (a row per case and label),
    `scores.md`, `scores.png`, and `worst_N_NAME.jpg` of the cases with the lowest mean Dice, on their image
    where `images` has it. `tell` is called with what is in one of the folders only, if anything is.

    Raises:
        InputError: folders that hold nothing to compare, or files that cannot be read or written.
    """
    pairs = find_pairs(predictions, labels)
    pictured = images_by_name(images) if images is not None else {}
    if pairs.left_out and tell:
        tell(f"Left out: {pairs.left_out}")
    rows, names = _scored(pairs.cases, tolerance_mm, progress or (lambda stage, fraction: None))
    means = _means(rows)
    ranked = sorted(pairs.cases, key=lambda case: means.get(case[0], 1.0))  # nothing there, and none found
    parts = [
        f"# {len(pairs.cases)} cases",
        *([f"Left out: {pairs.left_out}"] if pairs.left_out else []),
        f"Surface Dice with a tolerance of {tolerance_mm:g} mm; mean ± standard deviation over the cases.",
        table(rows, names),
    ]
    text = "\n\n".join(parts)
    earlier = [path.name for path in output.iterdir() if _PICTURE.fullmatch(path.name)]
    with replacing_all(output, "scores.md", earlier) as beside:
        _write_csv(rows, names, beside / "scores.csv")
        _write_plot(rows, names, beside / "scores.png")
        for number, (name, given, known) in enumerate(ranked[:worst], 1):
            case = Case(name, pictured.get(name, ()), known)
            _write_picture(case, given, beside / f"worst_{number}_{name}.jpg")
        with replacing(beside / "scores.md") as file:
            file.write_text(text, encoding="utf-8")
    return text


def _scored(
    cases: Sequence[tuple[str, Path, Path]], tolerance_mm: float, report: Progress
) -> tuple[list[Row], dict[int, str]]:
    """A row per case and label, and the names of the labels."""
    rows: list[Row] = []
    names: dict[int, str] = {}
    for number, (name, given, known) in enumerate(cases):
        report(f"scoring {name}", number / len(cases))
        truth = read_labels(known)
        names |= truth.names
        scores = evaluate_segmentation(read_labels(given), truth, tolerance_mm=tolerance_mm)
        rows += [{"case": name} | score.as_row() for score in scores]
    return rows, names


def _means(rows: Sequence[Row]) -> dict[str, float]:
    """Mean Dice of each case that has labels, or was given some."""
    cases: dict[str, list[float]] = {}
    for row in rows:
        cases.setdefault(row["case"], []).append(row["dice"])
    return {name: float(np.mean(values)) for name, values in cases.items()}


def table(rows: Sequence[Row], names: dict[int, str]) -> str:
    """Markdown: a line per label, and one for all."""
    titles = ["label", "cases", *(title for title, _ in MEASURES.values())]
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)]]
    for label in sorted({row["label"] for row in rows}):
        chosen = [row for row in rows if row["label"] == label]
        lines.append([_called(label, names), str(len(chosen)), *(_spread(chosen, key) for key in MEASURES)])
    lines.append(["all", str(len({row["case"] for row in rows})), *(_spread(rows, key) for key in MEASURES)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _called(label: int, names: dict[int, str]) -> str:
    return f"{label} {names[label]}" if label in names else str(label)


def _known(rows: Sequence[Row], key: str) -> list[float]:
    return [row[key] for row in rows if not math.isnan(row[key])]


def _spread(rows: Sequence[Row], key: str) -> str:
    values = _known(rows, key)
    kind = MEASURES[key][1]
    return f"{np.mean(values):{kind}} ± {np.std(values):{kind.lstrip('+')}}" if values else "–"


def _write_csv(rows: Sequence[Row], names: dict[int, str], path: Path) -> None:
    columns = ["case", "label", "name", *MEASURES, "volume_ml", "reference_ml"]
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            numbers = {k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
            writer.writerow(numbers | {"name": names.get(row["label"], "")})


def _write_plot(rows: Sequence[Row], names: dict[int, str], path: Path) -> None:
    """One panel per measure: every case a dot, the median a bar, by label."""
    from matplotlib.figure import Figure

    labels = sorted({row["label"] for row in rows})
    figure = Figure(figsize=(max(4.0, 0.45 * len(labels) + 1.5), 8.5), layout="constrained")
    generator = np.random.default_rng(0)
    for panel, (key, (title, _)) in zip(
        figure.subplots(len(MEASURES), sharex=True), MEASURES.items(), strict=True
    ):
        for place, label in enumerate(labels):
            values = _known([row for row in rows if row["label"] == label], key)
            if values:
                spread = place + generator.uniform(-0.15, 0.15, len(values))
                panel.plot(spread, values, "o", ms=3, alpha=0.5, color="C0")
                panel.plot([place - 0.3, place + 0.3], [np.median(values)] * 2, lw=2, color="C1")
        panel.set_ylabel(title)
        panel.spines[["top", "right"]].set_visible(False)
        if key.endswith("dice"):
            panel.set_ylim(0, 1)
        panel.set_xticks(
            range(len(labels)), [_called(label, names) for label in labels], rotation=45, ha="right"
        )
    with replacing(path) as beside:
        figure.savefig(beside, dpi=120, format="png")


def _write_picture(case: Case, prediction: Path, path: Path) -> None:
    truth = read_labels(case.labels) if case.labels else None
    assert truth is not None
    given = _on(read_labels(prediction), truth)
    image = as_image(list(case.images), case.name) if case.images else None
    with replacing(path) as beside:
        beside.write_bytes(draw(given, truth, image))


def _on(labels: LabelMap, reference: LabelMap) -> LabelMap:
    same = labels.grid.same_space(reference.grid)
    return labels if same else warp_labels(labels, None, reference.grid, "nearest")
