"""Registration by request: a session that is run once, updated often, and asked for what it found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..devices import chosen
from ..frugal import coarser_presets, first_that_fits
from ..geometry import Affine, Transform
from ..images import Image, as_labels, warp_labels
from ..registration import PRESETS, Registration, RegistrationSession
from ..registration.comparison import backend_for
from ..registration.session import KINDS
from ..report.verdict import findings, judge
from .desk import BACKENDS, DEVICES, release
from .interruptible import Interruptible
from .maps import confidence, jacobian
from .picture import Overview, png
from .transforms import affine_and_field

if TYPE_CHECKING:
    from .desk import Desk
    from .job import Job

_MAPS = ("jacobian", "confidence", "moved")
_SOFTEST, _STIFFEST = 0.01, 100.0
_WORK = 0.95  # share of a request that registration itself takes


@dataclass(eq=False)
class Registering:
    """An open session, the picture drawn of it, and its last result."""

    session: RegistrationSession
    overview: Overview
    result: Registration | None = None


def register(job: Job, desk: Desk) -> dict[str, Any]:
    """Open a session and run it; one of the same name is replaced."""
    params, start = job.params, time.perf_counter()
    name = params.text("session")
    fixed, moving = (desk.volumes.get(params.text(side)) for side in ("fixed", "moving"))
    initial = params.matrix("initial")
    wanted: Any = params.choice("features", BACKENDS, "auto")
    features = backend_for(wanted, params.optional_text("weights"))
    options: dict[str, Any] = {
        "transform": params.choice("transform", KINDS, "deformable"),
        "initial_transform": None if initial is None else Affine(initial),
        "features": wanted,
        "device": chosen(params.choice("device", DEVICES, "auto")),
        "seed": params.whole("seed", 0, 2**31 - 1, 0),
    }
    guides = _guides(job, fixed, moving)
    job.progress("start", 0.0)
    overview = Overview(fixed, moving)
    job.show("start", 0.0, png(overview.draw(Affine(initial))))
    desk.registrations.drop(name)
    weights, notices = desk.network(job, features), list[str]()

    def solved(preset: str) -> tuple[Registering, dict[str, Any]]:
        session = RegistrationSession(fixed, moving, weights=weights, preset=preset, **options)
        open_ = Registering(session, overview)
        return open_, _solved(job, open_, session.run, guides, start)

    presets = coarser_presets(params.choice("preset", tuple(PRESETS), "default"))
    attempts = [(f"with the preset '{preset}'", partial(solved, preset)) for preset in presets]
    open_, answer = first_that_fits(attempts, notices.append)
    answer["reasons"] = [*notices, *answer["reasons"]]
    desk.registrations.put(name, open_)
    return answer


def update(job: Job, desk: Desk) -> dict[str, Any]:
    """Bring the result up to date with other masks, landmarks or stiffness."""
    start = time.perf_counter()
    open_ = desk.registrations.get(job.params.text("session"))
    guides = _guides(job, open_.session.fixed, open_.session.moving)
    return _solved(job, open_, open_.session.update, guides, start)


def maps(job: Job, desk: Desk) -> dict[str, Any]:
    """Volumes that tell of the last result."""
    result = _result(job, desk)
    draw = {"jacobian": jacobian, "confidence": confidence, "moved": lambda one: one.moved}
    wanted = {what: draw[what](result) for what in job.params.choices("what", _MAPS)}
    return {what: job.send_volume(image.data[0].numpy(), image.grid) for what, image in wanted.items()}


def carry_labels(job: Job, desk: Desk) -> dict[str, Any]:
    """A label map of the moving scan on the grid of the fixed one."""
    result = _result(job, desk)
    labels = as_labels((_signed(job.params.array("array")), job.params.grid("grid")))
    carried = warp_labels(labels, result.transform, result.fixed.grid)
    array = carried.data.numpy()
    return job.send_volume(array.astype(np.min_scalar_type(int(array.max(initial=0)))), carried.grid)


def carry_points(job: Job, desk: Desk) -> dict[str, Any]:
    """Points of one scan in the other, by default of the moving scan in the fixed one."""
    result = _result(job, desk)
    points = job.params.points("points")
    if points is None:
        raise job.params.wrong("points", "must hold at least one point")
    to = job.params.choice("to", ("fixed", "moving"), "fixed")
    return {"points": (result.inverse if to == "fixed" else result.transform).apply(points)}


def close(job: Job, desk: Desk) -> dict[str, Any]:
    """Forget a session."""
    closed = desk.registrations.drop(job.params.text("session"))
    if closed:
        release()
    return {"closed": closed}


def _guides(job: Job, fixed: Image, moving: Image) -> dict[str, Any]:
    """Masks, landmarks and stiffness."""
    guides: dict[str, Any] = {"stiffness": job.params.number("stiffness", _SOFTEST, _STIFFEST, 1.0)}
    for side, image in (("fixed", fixed), ("moving", moving)):
        mask = job.params.optional_array(f"{side}_mask")
        guides[f"{side}_mask"] = None if mask is None else (_signed(mask), image.grid)
        guides[f"{side}_landmarks"] = job.params.points(f"{side}_landmarks")
    return guides


def _solved(
    job: Job, open_: Registering, run: Callable[..., Registration], guides: dict[str, Any], start: float
) -> dict[str, Any]:
    last = 0.0

    def progress(stage: str, share: float) -> None:
        nonlocal last
        last = max(last, _WORK * share)
        job.progress(stage, last)

    def on_state(stage: str, transform: Transform) -> None:
        job.show(stage, last, png(open_.overview.draw(transform)))

    result = run(progress=progress, on_state=on_state, **guides)
    job.progress("quality", _WORK)
    with Interruptible(job.check):
        answer = _answer(job, result, start)
    job.show("done", 1.0, png(open_.overview.draw(result.transform)))
    open_.result = result
    return answer


def _answer(job: Job, result: Registration, start: float) -> dict[str, Any]:
    x, y, z = result.fixed.grid.spacing
    report = result.report
    verdict = judge(report, (x * y * z) ** (1 / 3))
    affine, field = affine_and_field(result.transform)
    answer: dict[str, Any] = {"affine": affine, "displacement": None, "inverse_displacement": None}
    if field is not None:
        for name, one in (("displacement", field), ("inverse_displacement", field.inverse())):
            answer[name] = job.send_volume(one.data.numpy(), one.grid)
    return answer | {
        "verdict": verdict.word,
        "reasons": verdict.reasons,
        "numbers": {**report, "findings": findings(verdict.reasons)},
        "seconds": round(time.perf_counter() - start, 3),
    }


def _result(job: Job, desk: Desk) -> Registration:
    result = desk.registrations.get(job.params.text("session")).result
    assert result is not None  # a session is kept once it has one
    return result


def _signed(array: np.ndarray) -> np.ndarray:
    """Unsigned types, of which torch knows but the smallest, as signed ones."""
    return array.astype(np.int64) if array.dtype.kind in "bu" else array
