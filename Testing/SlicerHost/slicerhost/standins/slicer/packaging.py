"""Checking of Python packages. Nothing is installed: a test that wants it replaces `pip_install`."""

import importlib.metadata
from pathlib import Path

from packaging.requirements import Requirement


def load_requirements(path: str | Path) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def pip_check(req: object, *_: object) -> bool:
    """Whether every requirement is met by what is installed."""
    return all(_met(requirement) for requirement in _requirements(req))


def _requirements(given: object) -> list[Requirement]:
    items = given if isinstance(given, (list, tuple)) else [given]
    return [item if isinstance(item, Requirement) else Requirement(item) for item in items]


def _met(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def pip_install(requirements: object, **options: object) -> None:
    raise RuntimeError(f"a test does not install packages: {requirements}")


def pip_uninstall(requirements: object, **options: object) -> None:
    raise RuntimeError(f"a test does not remove packages: {requirements}")


def pip_ensure(
    requirements: object,
    constraints: object = None,
    prompt_install: bool = True,
    requester: str | None = None,
    prompt_restart: bool = True,
    skip_in_testing: bool = True,
    **options: object,
) -> None:
    """Ask, then install what is missing; in testing mode nothing happens, as in Slicer."""
    from slicer import app, util

    missing = [r for r in _requirements(requirements) if not _met(r)]
    if not missing or (skip_in_testing and app.testingEnabled()):
        return
    names = ", ".join(str(requirement) for requirement in missing)
    if prompt_install and not util.confirmOkCancelDisplay(f"{requester or 'This module'} needs {names}."):
        raise RuntimeError("The installation was declined")
    pip_install(missing, constraints=constraints, **options)
