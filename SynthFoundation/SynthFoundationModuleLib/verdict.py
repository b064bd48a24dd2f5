"""The verdict on a registration and its numbers, in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from slicer.i18n import tr as _

from .panel import rich


def verdict_text(verdict: str, reasons: list[str], numbers: Mapping[str, Any], seconds: float) -> str:
    """Rich text: the word, why, and the numbers.

    Args:
        verdict: good, look closely or failed.
        reasons: sentences of the library.
        numbers: of the report; `findings` are what the sentences were made of.
        seconds: what it took.
    """
    words = {"good": _("Good"), "look closely": _("Look closely"), "failed": _("Failed")}
    found = {finding["sentence"]: finding for finding in numbers.get("findings", ())}
    lines = [f"<b>{rich(words.get(verdict, verdict))}</b>"]
    lines += [rich(translated(found[reason]) if reason in found else reason) for reason in reasons]
    lines += ["• " + rich(line) for line in plain_numbers(numbers)]
    lines.append("• " + rich(_("Took {seconds:.1f} s").format(seconds=seconds)))
    return "<br>".join(lines)


def translated(finding: Mapping[str, Any]) -> str:
    """A finding of the library in the user's language; its English sentence where there is no text for it."""
    numbers = {name: math.nan if value is None else value for name, value in finding["numbers"].items()}
    try:
        return texts()[finding["code"]].format(**numbers)
    except KeyError:
        return finding["sentence"]


def texts() -> dict[str, str]:
    """The sentences of `SynthFoundationLib.report.verdict`, in the user's language."""
    return {
        "nothing": _("None of the checks found anything unusual. Confirm it in the pictures."),
        "landmarks-worse": _(
            "The landmarks lie farther apart than before ({before:.1f} mm → {after:.1f} mm)."
        ),
        "landmarks-apart": _("The landmarks are still {after:.1f} mm apart on average."),
        "similarity-worse": _("The scans resemble each other less than before ({before:.2f} → {after:.2f})."),
        "similarity-none": _("Hardly anything in the scans corresponds (feature similarity {after:.2f})."),
        "similarity-faint": _("The scans resemble each other only faintly (feature similarity {after:.2f})."),
        "recognised-little": _(
            "Where the scans were placed, the network recognises little of one in the other "
            "({recognised:.2f} of 1). Check head and foot, left and right."
        ),
        "information-lost": _(
            "After the bend the grey values of the scans tell less of each other than before it "
            "({before:.2f} → {after:.2f}). Compare with the affine transform alone."
        ),
        "overlap-part": _(
            "The scans share at most {percent:.0f} % of what either shows; judge only where both are seen."
        ),
        "overlap-little": _(
            "The scans share at most {percent:.0f} % of what either shows: too little to align by."
        ),
        "folds": _("The deformation folds over itself in {percent:.2g} % of the voxels."),
        "rough": _("The deformation is rough (log-Jacobian spread {spread:.2f})."),
        "volume-change": _("Somewhere tissue changes its volume more than {factor:.0f}-fold."),
        "inverse": _(
            "Going there and back misses by {error:.2f} mm; do not use the inverse for fine detail."
        ),
        "headers": _(
            "The headers disagree: the moving scan was found turned by {degrees:.0f}°. "
            "Check left and right, and where the scans come from."
        ),
    }


def plain_numbers(numbers: Mapping[str, Any]) -> Iterator[str]:
    """The numbers that say most, one line each; what was not measured has no line."""
    before, after = _pair(numbers.get("landmark_error_mm"))
    if before is not None and after is not None:
        yield _("Landmarks {before:.1f} mm apart before, {after:.1f} mm now").format(
            before=before, after=after
        )
    before, after = _pair(numbers.get("similarity"))
    if before is not None and after is not None:
        text = _("Resemblance {before:.2f} before, {after:.2f} now (1 is equal, 0 unrelated)")
        yield text.format(before=before, after=after)
    if (recognised := _number(numbers.get("recognised"))) is not None:
        text = _("Anatomy recognised in its place: {recognised:.2f} (mostly above 0.65)")
        yield text.format(recognised=recognised)
    if (overlap := _number(numbers.get("overlap"))) is not None:
        yield _("{percent:.0f} % of the body in the fixed volume is covered").format(percent=100 * overlap)
    if (folds := _number(numbers.get("folds_percent"))) is not None:
        if folds > 0:
            yield _("Tissue folds over itself in {percent:.2g} % of the voxels").format(percent=folds)
        else:
            yield _("Tissue folds over itself nowhere")
    if (error := _number(numbers.get("inverse_consistency_mm"))) is not None:
        yield _("Going there and back misses by {error:.2f} mm").format(error=error)


def _pair(value: Any) -> tuple[float | None, float | None]:
    if not isinstance(value, Mapping):
        return None, None
    return _number(value.get("before")), _number(value.get("after"))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
