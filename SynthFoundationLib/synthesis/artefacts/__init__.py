"""What a scanner does to an image. Each artefact samples plain parameters and applies them to a (D, H, W) volume in [0, 1]."""

from SynthFoundationLib.synthesis.artefacts.chain import ARTEFACTS, apply, sample_artefacts

__all__ = ["ARTEFACTS", "apply", "sample_artefacts"]
