"""The verdict on a registration and its numbers, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from slicer.i18n import tr as _

from .panel import rich


def verdict_text(verdict: str, reasons: list[str], numbers: Mapping[str, Any], seconds: float) -> str:
    """Rich text: the word, why, and the numbers."""
    words = {"good": _("Good"), "look closely": _("Look closely"), "failed": _("Failed")}
    lines = [f"<b>{rich(words.get(verdict, verdict))}</b>", *map(rich, reasons)]
    lines += ["• " + rich(line) for line in plain_numbers(numbers)]
    lines.append("• " + rich(_("Took {seconds:.1f} s").format(seconds=seconds)))
    return "<br>".join(lines)


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
