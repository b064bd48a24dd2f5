"""Which device a verb computes on."""

from ..devices import available, chosen

__all__ = ["available", "chosen"]
