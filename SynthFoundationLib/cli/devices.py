"""Which device a verb computes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DeviceError

if TYPE_CHECKING:
    import torch


def available() -> list[str]:
    """The devices that torch can use here, fastest first."""
    import torch

    cuda = ["cuda"] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def chosen(name: str) -> torch.device:
    """The device of that name; "auto" is the fastest there is.

    Raises:
        DeviceError: it is not there.
    """
    import torch

    here = available()
    if name == "auto":
        return torch.device(here[0])
    if name not in here:
        raise DeviceError(f"device {name} is not available; available here: {', '.join(here)}")
    return torch.device(name)
