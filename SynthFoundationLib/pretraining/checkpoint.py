"""Atomic checkpoints: tensors in safetensors, the optimiser in a `weights_only` file, numbers in JSON."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.files import save_tensors


def save_checkpoint(
    folder: Path, name: str, tensors: dict[str, Tensor], optimiser: dict[str, Any], facts: dict[str, Any]
) -> Path:
    """Write `folder/name`, complete or not at all; an older one of that name is replaced."""
    target, partial = folder / name, folder / f".{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_tensors(
        {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, partial / "weights.safetensors"
    )
    torch.save(optimiser, partial / "optimiser.pt")
    (partial / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    for file in partial.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if target.exists():
        old = folder / f".{name}.old"
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(folder / f".{name}.old", ignore_errors=True)
    return target


def recover(folder: Path) -> None:
    """Put right what a killed run left: unfinished checkpoints go, one that was being replaced comes back."""
    for partial in folder.glob(".*.partial"):
        shutil.rmtree(partial, ignore_errors=True)
    for old in folder.glob(".*.old"):
        name = folder / old.name[1 : -len(".old")]
        if name.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(name)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Tensors, optimiser state and facts of a checkpoint.

    Raises:
        InputError: when a file of the checkpoint is missing.
    """
    from safetensors.torch import load_file

    try:
        facts = json.loads((path / "facts.json").read_text(encoding="utf-8"))
        optimiser = torch.load(path / "optimiser.pt", map_location="cpu", weights_only=True)
        return load_file(path / "weights.safetensors"), optimiser, facts
    except FileNotFoundError as error:
        raise InputError(
            f"{path.name} is no complete checkpoint: {Path(str(error.filename)).name} is missing"
        ) from error


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the highest step, or None."""
    found = sorted(folder.glob("step-*"), key=lambda p: int(p.name.split("-")[1]))
    return found[-1] if found else None


def prune(folder: Path, keep: int = 2) -> None:
    """Delete all but the newest checkpoints; the selected one, `best`, is kept apart."""
    found = sorted(folder.glob("step-*"), key=lambda p: int(p.name.split("-")[1]))
    for path in found[:-keep]:
        shutil.rmtree(path, ignore_errors=True)
