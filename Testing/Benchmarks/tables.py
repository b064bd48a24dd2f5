"""Rows of scores as a Markdown table per group, a .csv and a plot."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from SynthFoundationLib.files import replacing

Row = Mapping[str, Any]
COLUMNS = {
    "dice": ("Dice", ".3f"),
    "tre_mm": ("TRE mm", ".2f"),
    "tre_p95_mm": ("TRE p95 mm", ".2f"),
    "folds_percent": ("folds %", ".4f"),
    "log_jacobian_sd": ("sd log J", ".3f"),
    "seconds": ("seconds", ".1f"),
    "peak_memory_mb": ("memory MB", ".0f"),
}
PLOTTED = ("dice", "tre_mm", "seconds")


def markdown(rows: Sequence[Row], header: Sequence[str]) -> str:
    """Means per group and method, then a table per group with a line per pair."""
    parts = ["# Registration benchmark", *header, "## Means per group", _table(_means(rows), "group (pairs)")]
    for group, members in _by(rows, "group").items():
        parts += [f"## {group}", _table([dict(row, what=row["pair"]) for row in members], "pair")]
    failed = [f"- {row['pair']} by {row['method']}: {row['error']}" for row in rows if "error" in row]
    if failed:
        parts += ["## Failed", "\n".join(failed)]
    return "\n\n".join(parts) + "\n"


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One line per pair and method."""
    columns = ["group", "pair", "method", *COLUMNS, "error"]
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_plot(rows: Sequence[Row], path: Path) -> None:
    """One panel per measure: every pair a dot, every mean a bar, by group and method."""
    from matplotlib.figure import Figure

    done = [row for row in rows if "error" not in row]
    measures = [key for key in PLOTTED if any(key in row for row in done)]
    groups, methods = list(_by(rows, "group")), list(_by(rows, "method"))
    width = max(4.0, 0.5 * len(groups) * len(methods) + 1.5)
    figure = Figure(figsize=(width, 2.6 * max(1, len(measures))), layout="constrained")
    panels = figure.subplots(max(1, len(measures)), squeeze=False)[:, 0]
    for panel, measure in zip(panels, measures, strict=False):
        for number, method in enumerate(methods):
            chosen = [row for row in done if row["method"] == method and measure in row]
            offset = (number + 0.5) / len(methods) - 0.5
            _draw(panel, chosen, measure, groups, 0.8 * offset, f"C{number}", method)
        panel.set_xticks(range(len(groups)), groups)
        panel.set_ylabel(COLUMNS[measure][0])
        panel.set_ylim(bottom=0)
        panel.spines[["top", "right"]].set_visible(False)
    if measures:
        panels[0].legend(frameon=False, fontsize="small")
    with replacing(path) as beside:
        figure.savefig(beside, dpi=150, format="png")


def _draw(
    panel: Any, rows: Sequence[Row], measure: str, groups: list[str], offset: float, color: str, name: str
) -> None:
    places = np.array([groups.index(row["group"]) + offset for row in rows])
    values = np.array([row[measure] for row in rows])
    panel.plot(places, values, "o", ms=3, alpha=0.5, color=color, label=name)
    for place in np.unique(places):
        panel.plot([place - 0.12, place + 0.12], [values[places == place].mean()] * 2, lw=2, color=color)


def _means(rows: Sequence[Row]) -> list[dict[str, Any]]:
    means = []
    for group, members in _by(rows, "group").items():
        for method, ours in _by(members, "method").items():
            done = [row for row in ours if "error" not in row]
            count = str(len(ours)) if len(done) == len(ours) else f"{len(done)} of {len(ours)}"
            known = {key: [row[key] for row in done if row.get(key) is not None] for key in COLUMNS}
            average = {key: float(np.mean(values)) for key, values in known.items() if values}
            means.append({"what": f"{group} ({count})", "method": method} | average)
    return means


def _table(rows: Sequence[Row], first: str) -> str:
    """Markdown with the columns that any row has."""
    keys = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    titles = [first, "method", *(COLUMNS[key][0] for key in keys)]
    lines = [titles, ["---", "---", *("---:" for _ in keys)]]
    for row in rows:
        numbers = [format(row[key], COLUMNS[key][1]) if row.get(key) is not None else "" for key in keys]
        lines.append([row["what"], row["method"], *numbers])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _by(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return dict(groups)
