"""What a network is shown: the contrasts of the image, or each contrast's MIND-SSC descriptor.

A network of twelve input channels is shown MIND-SSC, which knows no contrast: what remains to be learned is
the anatomy around a voxel, and a few hundred steps teach it.
"""

from __future__ import annotations

from torch import Tensor

from SynthFoundationLib.features.mind import CHANNELS, MindConfig, mind_ssc
from SynthFoundationLib.features.unet import UNetConfig

# Air is noise of about this strength in volumes of range [0, 1]: its descriptor shall say nothing.
INPUT_MIND = MindConfig(noise_floor=0.02)


def shown_mind(config: UNetConfig) -> bool:
    """Whether a network of this description takes MIND-SSC instead of intensities."""
    return config.in_channels == CHANNELS


def contrasts_taken(config: UNetConfig) -> int:
    """How many contrasts a network of this description sees at once."""
    return 1 if shown_mind(config) else config.in_channels


def network_input(volumes: Tensor, config: UNetConfig) -> Tensor:
    """What a network of this description takes, from volumes in [0, 1], (B, contrasts taken, D, H, W)."""
    if not shown_mind(config):
        return volumes
    return mind_ssc(volumes.float(), *INPUT_MIND).to(volumes.dtype)
