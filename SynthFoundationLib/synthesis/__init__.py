"""Synthetic pairs: random anatomies, two appearances of each, made on the fly from a seed."""

from SynthFoundationLib.synthesis.command import synthesize
from SynthFoundationLib.synthesis.engine import Pair, render, render_batch, sample
from SynthFoundationLib.synthesis.templates import open_templates

__all__ = ["Pair", "open_templates", "render", "render_batch", "sample", "synthesize"]
