"""Registration by request: a session that is run once, updated often, and asked for what it found."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cli.devices import chosen
from ..geometry import Affine, Grid
from ..images import Image, as_labels, warp_labels
from ..registration import PRESETS, Registration, Settings
from ..registration import register as run_registration
from ..report import judge
from .desk import BACKENDS, DEVICES, release
from .maps import confidence, jacobian
from .picture import Overview, png
from .transforms import affine_and_field

if TYPE_CHECKING:
    from .desk import Desk
    from .job import Job

_KINDS = ("rigid", "affine", "deformable")
_MAPS = ("jacobian", "confidence", "moved")
_SOFTEST, _STIFFEST = 0.01, 100.0
_WORK = 0.95  # share of a request that registration itself takes


@dataclass(eq=False)
class Registering:
    """An open session, the picture drawn of it, and its last result."""

    fixed: Image
    moving: Image
    options: dict[str, Any]
    overview: Overview
    result: Registration | None = None


def register(job: Job, desk: Desk) -> dict[str, Any]:
    """Open a session and run it; one of the same name is replaced."""
    params, start = job.params, time.perf_counter()
    name = params.text("session")
    fixed, moving = (desk.volumes.get(params.text(side)) for side in ("fixed", "moving"))
    features = params.choice("features", BACKENDS, "auto")
    options = {
        "transform": params.choice("transform", _KINDS, "deformable"),
        "preset": params.choice("preset", tuple(PRESETS), "default"),
        "device": chosen(params.choice("device", DEVICES, "auto")),
        "seed": params.whole("seed", 0, 2**31 - 1, 0),
    }
    initial = params.matrix("initial")
    job.progress("start", 0.0)
    overview = Overview(fixed, moving)
    job.show("start", 0.0, png(overview.draw(Affine(initial))))
    desk.registrations.drop(name)
    options |= {
        "initial_transform": None if initial is None else Affine(initial),
        "features": features,
        "weights": desk.network(job, features),
    }
    session = Registering(fixed, moving, options, overview)
    answer = _solved(job, session, start)
    desk.registrations.put(name, session)
    return answer


def update(job: Job, desk: Desk) -> dict[str, Any]:
    """Register again with other masks, landmarks or stiffness."""
    start = time.perf_counter()
    return _solved(job, desk.registrations.get(job.params.text("session")), start)


def maps(job: Job, desk: Desk) -> dict[str, Any]:
    """Volumes that tell of the last result."""
    result = _result(job, desk)
    draw = {"jacobian": jacobian, "confidence": confidence, "moved": lambda one: one.moved}
    wanted = {what: draw[what](result) for what in job.params.choices("what", _MAPS)}
    return {what: _volume(job, image.data[0].numpy(), image.grid) for what, image in wanted.items()}


def carry_labels(job: Job, desk: Desk) -> dict[str, Any]:
    """A label map of the moving scan on the grid of the fixed one."""
    result = _result(job, desk)
    labels = as_labels((_signed(job.params.array("array")), job.params.grid("grid")))
    carried = warp_labels(labels, result.transform, result.fixed.grid)
    array = carried.data.numpy()
    return _volume(job, array.astype(np.min_scalar_type(int(array.max(initial=0)))), carried.grid)


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
    release()
    return {"closed": closed}


def _solved(job: Job, session: Registering, start: float) -> dict[str, Any]:
    guides = _guides(job, session)
    stiffness = job.params.number("stiffness", _SOFTEST, _STIFFEST, 1.0)
    settings = Settings.preset(session.options["preset"])
    deformable = replace(
        settings.deformable,
        bending=stiffness * settings.deformable.bending,
        stretching=stiffness * settings.deformable.stretching,
    )
    session.result = run_registration(
        session.fixed,
        session.moving,
        settings=replace(settings, deformable=deformable),
        progress=lambda stage, share: job.progress(stage, _WORK * share),
        **session.options,
        **guides,
    )
    job.progress("quality", _WORK)
    return _answer(job, session.result, start, lambda t: job.show("done", 1.0, png(session.overview.draw(t))))


def _guides(job: Job, session: Registering) -> dict[str, Any]:
    """Masks and landmarks."""
    guides: dict[str, Any] = {}
    for side in ("fixed", "moving"):
        mask = job.params.optional_array(f"{side}_mask")
        grid: Grid = getattr(session, side).grid
        guides[f"{side}_mask"] = None if mask is None else (_signed(mask), grid)
        guides[f"{side}_landmarks"] = job.params.points(f"{side}_landmarks")
    return guides


def _answer(job: Job, result: Registration, start: float, show: Any) -> dict[str, Any]:
    x, y, z = result.fixed.grid.spacing
    report = result.report
    verdict = judge(report, (x * y * z) ** (1 / 3))
    show(result.transform)
    affine, field = affine_and_field(result.transform)
    answer: dict[str, Any] = {"affine": affine, "displacement": None, "inverse_displacement": None}
    if field is not None:
        for name, one in (("displacement", field), ("inverse_displacement", field.inverse())):
            answer[name] = _volume(job, one.data.numpy(), one.grid)
    return answer | {
        "verdict": verdict.word,
        "reasons": verdict.reasons,
        "numbers": report,
        "seconds": round(time.perf_counter() - start, 3),
    }


def _result(job: Job, desk: Desk) -> Registration:
    result = desk.registrations.get(job.params.text("session")).result
    assert result is not None  # a session is kept once it has one
    return result


def _volume(job: Job, array: np.ndarray, grid: Grid) -> dict[str, Any]:
    fields = ("size", "spacing", "origin", "direction")
    return {"array": job.send_array(array), "grid": {name: getattr(grid, name) for name in fields}}


def _signed(array: np.ndarray) -> np.ndarray:
    """Unsigned types, of which torch knows but the smallest, as signed ones."""
    return array.astype(np.int64) if array.dtype.kind in "bu" else array
