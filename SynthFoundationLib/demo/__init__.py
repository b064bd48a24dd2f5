"""Two scans of one head in different contrasts, made on the spot, for trying things out without any data."""

from .pair import make_pair, make_small_pair

__all__ = ["make_pair", "make_small_pair"]
