"""Where to compute."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .errors import DeviceError

if TYPE_CHECKING:
    import torch


def available() -> list[str]:
    """The kinds of device that can do everything that is needed here, fastest first."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [*(kind for kind, there in present.items() if there and _works(kind)), "cpu"]


def chosen(device: str | torch.device) -> torch.device:
    """The device of that name, such as "cpu" or "cuda:1"; "auto" is the fastest there is.

    Raises:
        DeviceError: it is not there.
    """
    import torch

    here = available()
    if device == "auto":
        return torch.device(here[0])
    kind, _, number = str(device).partition(":")
    present = kind in here and (not number or (number.isdigit() and int(number) < _count(kind)))
    if not present:
        raise DeviceError(f"device {device} is not available; available here: {', '.join(['auto', *here])}")
    return torch.device(device)


def _count(kind: str) -> int:
    import torch

    return torch.cuda.device_count() if kind == "cuda" else 1


@cache
def _works(kind: str) -> bool:
    """Whether convolution and sampling of volumes work; on Macs that depends on torch's version."""
    import torch
    from torch.nn import functional as F

    try:
        volume = torch.ones(1, 1, 3, 3, 3, device=kind)
        lattice = torch.zeros(1, 3, 3, 3, 3, device=kind)
        sampled = F.grid_sample(F.conv3d(volume, volume, padding=1), lattice, align_corners=False)
        return float(sampled.sum()) > 0
    except (NotImplementedError, RuntimeError):
        return False
