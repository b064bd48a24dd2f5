"""What the network is shown: the image, or its MIND-SSC descriptor.

A network of twelve input channels is shown MIND-SSC, which knows no contrast: what remains to be learned is
the anatomy around a voxel, and a few hundred steps teach it.
"""

from __future__ import annotations

from torch import Tensor

from SynthFoundationLib.features.mind import CHANNELS, MindConfig, mind_ssc
from SynthFoundationLib.features.unet import UNetConfig

# Air is noise of about this strength in volumes of range [0, 1]: its descriptor shall say nothing.
INPUT_MIND = MindConfig(noise_floor=0.02)


def network_input(volumes: Tensor, config: UNetConfig) -> Tensor:
    """What a network of this description takes, from volumes in [0, 1], (B, 1, D, H, W)."""
    return mind_ssc(volumes, *INPUT_MIND) if config.in_channels == CHANNELS else volumes
