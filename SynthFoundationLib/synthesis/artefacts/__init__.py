"""What a scanner does to an image: each artefact samples plain parameters and applies them to a volume."""

from SynthFoundationLib.synthesis.artefacts.chain import ARTEFACTS, apply, sample_artefacts

__all__ = ["ARTEFACTS", "apply", "sample_artefacts"]
