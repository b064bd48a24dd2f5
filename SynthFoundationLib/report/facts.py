"""The numbers of a report as lines for a reader: what, how much, in which unit, and what it means."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .verdict import number

_FIRST = ("Landmark error", "Feature similarity", "Anatomy in place", "Overlap", "Folds", "Time")


class Fact(NamedTuple):
    """One line of the table."""

    name: str
    value: str
    meaning: str


def facts(report: Mapping[str, Any]) -> list[Fact]:
    """The lines for what a report holds; what it lacks has no line."""
    return [*_agreement(report), *_deformation(report), *_effort(report)]


def at_a_glance(report: Mapping[str, Any]) -> list[Fact]:
    """The few lines that say most."""
    return [fact for fact in facts(report) if fact.name in _FIRST]


def _agreement(report: Mapping[str, Any]) -> Iterator[Fact]:
    landmarks = _change(report, "landmark_error_mm", "{:.2f}")
    if landmarks:
        yield Fact("Landmark error", f"{landmarks} mm", "Mean distance between paired landmarks.")
    similarity = _change(report, "similarity", "{:.3f}")
    if similarity:
        meaning = "Correlation of the features, before → after; 1 is equal, 0 unrelated."
        yield Fact("Feature similarity", similarity, meaning)
    if (recognised := number(report, "recognised")) is not None:
        meaning = "The same in the eyes of the bundled network, before any deformation: mostly above 0.65."
        yield Fact("Anatomy in place", f"{recognised:.2f}", meaning)
    information = _change(report, "information", "{:.2f}")
    if information:
        meaning = "Mutual information of the grey values in nats, before the bend → after it."
        yield Fact("Grey values", information, meaning)
    if (overlap := number(report, "overlap")) is not None:
        meaning = "Share of the body in the fixed scan that the moved scan covers."
        yield Fact("Overlap", f"{100 * overlap:.0f} %", meaning)
    if (turn := number(report, "header_turn_degrees")) is not None:
        meaning = "Turn that was found, against what the headers say."
        yield Fact("Turn", f"{turn:.1f}°", meaning)
    if (stretch := number(report, "stretch")) is not None:
        meaning = "Mean length in the moving scan over that in the fixed scan, before any deformation."
        size = f"{stretch:.2f}×"
        if (not_taken := number(report, "stretch_not_taken")) is not None:
            size += f" (not {not_taken:.2f}×)"
            meaning += " Outlines fit better with the other one, grey values do not: it was not taken."
        yield Fact("Size", size, meaning)


def _deformation(report: Mapping[str, Any]) -> Iterator[Fact]:
    if (folds := number(report, "folds_percent")) is not None:
        yield Fact("Folds", f"{folds:.2f} %", "Voxels where the deformation turns inside out; should be 0.")
    if (spread := number(report, "log_jacobian_sd")) is not None:
        meaning = "Standard deviation of the log-Jacobian: 0 is rigid, above 0.5 rough."
        yield Fact("Spread of volume change", f"{spread:.3f}", meaning)
    ends = [number(report, f"log_jacobian_{end}") for end in ("min", "max")]
    if all(end is not None and math.isfinite(end) for end in ends):
        least, most = (math.exp(min(end, 50.0)) for end in ends if end is not None)
        meaning = "Volume in the moving scan over that in the fixed scan: the extremes anywhere."
        yield Fact("Volume change", f"{least:.2f}× … {most:.2f}×", meaning)
    if (error := number(report, "inverse_consistency_mm")) is not None:
        meaning = "Distance from a point to where going there and back leads."
        yield Fact("Inverse consistency", f"{error:.3f} mm", meaning)


def _effort(report: Mapping[str, Any]) -> Iterator[Fact]:
    if (seconds := number(report, "seconds")) is not None:
        yield Fact("Time", f"{seconds:.1f} s", "From reading to result.")
    if (memory := number(report, "peak_memory_mb")) is not None:
        yield Fact("Peak memory", f"{memory / 1024:.1f} GB", "Of the whole process.")


def _change(report: Mapping[str, Any], key: str, form: str) -> str:
    values = [number(report, key, when) for when in ("before", "after")]
    return " → ".join(form.format(value) for value in values if value is not None)
