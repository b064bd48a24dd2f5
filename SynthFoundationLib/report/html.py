"""Verdict, pictures and numbers as one page that needs nothing beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from .facts import at_a_glance, facts
from .jpeg import jpeg
from .pictures import Picture, Scale
from .verdict import Verdict

_TITLES = {
    "good": "The registration looks good",
    "look closely": "Look closely before you use it",
    "failed": "The registration failed",
}
_SIGNS = {"good": "✓", "look closely": "!", "failed": "✕"}
# What a browser may load: the page's own style and pictures, nothing else.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(report: Mapping[str, Any], verdict: Verdict, pictures: Sequence[Picture]) -> str:
    """The page: verdict, pictures, numbers, what was brought along, stages, settings and versions."""
    sections = [
        _verdict(verdict, report),
        *(_picture(picture) for picture in pictures),
        _numbers(report),
        _labels(report.get("labels") or []),
        _stages(report.get("stages") or []),
        _details("Features and weights", _plain(report, ("features", "weights"))),
        _details("Settings", report.get("settings")),
        _details("Versions", report.get("versions")),
    ]
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Registration: {escape(verdict.word)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<main>\n{''.join(sections)}</main>\n</body>\n</html>\n"
    )


def _verdict(verdict: Verdict, report: Mapping[str, Any]) -> str:
    kind = verdict.word.replace(" ", "-")
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in verdict.reasons)
    glance = "".join(
        f"<li>{escape(fact.name)} <b>{escape(fact.value)}</b></li>" for fact in at_a_glance(report)
    )
    return (
        f'<header class="verdict {kind}"><span class="sign" aria-hidden="true">{_SIGNS[verdict.word]}</span>'
        f'<div><p class="word">{escape(verdict.word)}</p><h1>{_TITLES[verdict.word]}</h1>'
        f'<ul>{reasons}</ul><ul class="glance">{glance}</ul></div></header>\n'
    )


def _picture(picture: Picture) -> str:
    columns = " ".join(f"{plane.width_mm:.0f}fr" for plane in picture.planes)
    rows = "".join(
        f'<div class="row" style="--columns:{columns}"><h3>{escape(name)}</h3>'
        + "".join(_cut(cut, name, *about) for cut, about in _about(picture, cuts))
        + "</div>"
        for name, cuts in picture.rows
    )
    return (
        f"<section><h2>{escape(picture.title)}</h2><p>{escape(picture.explanation)}</p>"
        f'<div class="rows">{rows}</div>{_scale(picture.scale)}</section>\n'
    )


def _about(picture: Picture, cuts: Iterable[np.ndarray]) -> list[tuple[np.ndarray, tuple[str, str]]]:
    return [(cut, (plane.name, plane.edges)) for cut, plane in zip(cuts, picture.planes, strict=True)]


def _cut(rgb: np.ndarray, row: str, plane: str, edges: str) -> str:
    source = base64.b64encode(jpeg(rgb)).decode("ascii")
    letters = "".join(f'<i class="{side}">{edge}</i>' for side, edge in zip("lrtb", edges, strict=True))
    return (
        f'<figure><img alt="{escape(row)}, {escape(plane)}" width="{rgb.shape[1]}" height="{rgb.shape[0]}" '
        f'src="data:image/jpeg;base64,{source}">{letters}</figure>'
    )


def _scale(scale: Scale | None) -> str:
    if scale is None:
        return ""
    stops = ", ".join("rgb({} {} {})".format(*np.rint(255 * color).astype(int)) for color in scale.colors)
    labels = "".join(f"<span>{escape(label)}</span>" for label in scale.labels)
    return f'<div class="scale"><div style="background:linear-gradient(90deg, {stops})"></div>{labels}</div>'


def _numbers(report: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(f.name)}</th><td>{escape(f.value)}</td><td>{escape(f.meaning)}</td></tr>"
        for f in facts(report)
    )
    return f'<section><h2>Numbers</h2><table class="numbers">{rows}</table></section>\n' if rows else ""


def _labels(labels: Sequence[Mapping[str, Any]]) -> str:
    if not labels:
        return ""
    rows = "".join(
        f"<tr><th>{escape(str(one['name']))}</th>"
        f"<td>{one['ml_before']:.2f} → {one['ml_after']:.2f} ml</td></tr>"
        for one in labels
    )
    return (
        "<section><h2>Labels brought along</h2><p>Volume in the moving scan → on the fixed grid. A large "
        "change is a large deformation, or a label that leaves the fixed scan.</p>"
        f"<details><summary>Labels: {len(labels)}</summary><table>{rows}</table></details></section>\n"
    )


def _stages(stages: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><th>{escape(str(stage['name']))}</th><td>{stage['seconds']:.1f} s</td></tr>" for stage in stages
    )
    return f"<section><h2>Stages</h2><table>{rows}</table></section>\n" if rows else ""


def _plain(report: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: report[key] for key in keys if report.get(key) is not None}


def _details(title: str, content: Any) -> str:
    if not content:
        return ""
    text = escape(json.dumps(content, indent=2, ensure_ascii=False))
    return f"<section><details><summary>{escape(title)}</summary><pre>{text}</pre></details></section>\n"
