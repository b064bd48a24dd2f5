"""`synthfoundation doctor`: what is installed, and whether it works."""

from __future__ import annotations

from typing import Annotated, Any

import typer

_EXTRAS = {"cli": ("typer", "rich", "matplotlib"), "train": ("monai", "lightning-fabric", "tensorboard")}


def doctor(
    self_test: Annotated[
        bool, typer.Option("--self-test/--no-self-test", help="Try it out, 10 seconds.")
    ] = True,
) -> None:
    """Show what is installed, the devices and weights, and try everything out for 10 seconds."""
    from ..installation import installed, version

    found = installed()
    _show("SynthFoundation", f"{found['version']}, Python {found['python']} on {found['system']}")
    for package, number in found["packages"].items():
        _show(package, number or "missing")
    for extra, packages in _EXTRAS.items():
        missing = [package for package in packages if version(package) is None]
        _show(f"extra {extra}", f"missing {', '.join(missing)}" if missing else "complete")
    if None in found["packages"].values():
        raise typer.Exit(1)  # what follows would end where the first of them is imported
    from ..health import CHECKS, equipment

    there = equipment()
    _show("devices", ", ".join(f"{device['name']} ({device['about']})" for device in there["devices"]))
    for weights in there["weights"]:
        _show(f"weights {weights['id']}", _state(weights))
    if not there["weights"]:
        _show("weights none", "features are MIND-SSC")
    if self_test and not all([_passes(name) for name in CHECKS]):
        raise typer.Exit(1)


def _show(name: str, value: str) -> None:
    typer.echo(f"{name:<24} {value}")


def _state(weights: dict[str, Any]) -> str:
    state = weights["error"] or f"ready, {weights['licence']}"
    return state + (" (default)" if weights["default"] else "")


def _passes(name: str) -> bool:
    from ..health import tried

    result = tried(name, lambda stage, done: None)
    state = f"passed in {result['seconds']:.1f} s" if result["passed"] else "FAILED"
    _show(name, f"{state}: {result['message']}")
    return bool(result["passed"])
