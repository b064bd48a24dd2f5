"""The network for inference: norms folded into convolutions, convolutions after upsampling made cheap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor, nn

from SynthFoundationLib.features.unet import UNet


@dataclass(frozen=True)
class Convolution:
    """A 3³ convolution with what follows it; `eps` is set while an instance norm awaits its statistics."""

    weight: Tensor
    bias: Tensor
    relu: bool = False
    eps: float | None = None

    def normalised(self, mean: Tensor, variance: Tensor, eps: float) -> Convolution:
        """Return the convolution whose output is (y - mean) / sqrt(variance + eps), per channel."""
        return self.scaled((variance + eps).rsqrt(), mean)

    def scaled(self, scale: Tensor, mean: Tensor, shift: Tensor | float = 0.0) -> Convolution:
        """Return the convolution whose output is scale (y - mean) + shift, per channel."""
        weight = self.weight * scale[:, None, None, None, None]
        return replace(self, weight=weight, bias=(self.bias - mean) * scale + shift, eps=None)

    def split(self, last: int) -> tuple[Convolution, Tensor]:
        """Return what sees all but the `last` input channels, without ReLU, and the weight of those last."""
        first, others = self.weight.split((self.weight.shape[1] - last, last), dim=1)
        return replace(self, weight=first, relu=False), others


def fold(network: UNet) -> list[list[Convolution]]:
    """Return the convolutions between the network's poolings and upsamplings, in order.

    Batch norms become part of the convolution before them; instance norms leave their `eps` there.
    """
    groups: list[list[Convolution]] = [[]]
    for layer in network.model:
        group = groups[-1]
        if isinstance(layer, nn.Conv3d):
            weight = layer.weight.detach()
            bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach()
            group.append(Convolution(weight, bias))
        elif isinstance(layer, nn.BatchNorm3d):
            group[-1] = _fold_batch_norm(group[-1], layer)
        elif isinstance(layer, nn.InstanceNorm3d):
            group[-1] = replace(group[-1], eps=layer.eps)
        elif isinstance(layer, nn.ReLU):
            group[-1] = replace(group[-1], relu=True)
        else:
            groups.append([])
    return groups


def _fold_batch_norm(convolution: Convolution, norm: nn.BatchNorm3d) -> Convolution:
    mean = norm.get_buffer("running_mean")
    scale = norm.weight.detach() * (norm.get_buffer("running_var").double() + norm.eps).rsqrt()
    return convolution.scaled(scale.to(convolution.weight.dtype), mean, norm.bias.detach())


def phases(weight: Tensor) -> Tensor:
    """Return the 2³ kernels that do at half resolution what a 3³ kernel does after nearest upsampling.

    (O, C, 3, 3, 3) → (8 O, C, 2, 2, 2), the parity (z, y, x) of the output voxel slowest. An even voxel 2 i
    sees the coarse voxels i - 1, i, i; an odd one sees i, i, i + 1: two of the three taps fall together.
    """
    kernels = []
    for parity in product((0, 1), repeat=3):
        kernel = weight
        for axis, odd in enumerate(parity, start=2):
            kernel = _merge_taps(kernel, axis, (2, 1) if odd else (1, 2))
        kernels.append(kernel)
    return torch.cat(kernels)


def _merge_taps(kernel: Tensor, axis: int, lengths: Sequence[int]) -> Tensor:
    return torch.cat([part.sum(axis, keepdim=True) for part in kernel.split(lengths, axis)], axis)
