"""Synthetic pairs: random anatomies, two appearances of each, made on the fly from a seed."""

from SynthFoundationLib.synthesis.engine import Pair, render, render_batch, sample

__all__ = ["Pair", "render", "render_batch", "sample"]
