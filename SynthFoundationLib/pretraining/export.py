"""The `export` verb: a trained network as one half-precision file that the feature registry can ship."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.features.inputs import network_input
from SynthFoundationLib.features.unet import UNet
from SynthFoundationLib.features.weight_files import save_network
from SynthFoundationLib.pretraining.config import PretrainConfig, from_plain
from SynthFoundationLib.pretraining.data import VALIDATION_SEED, make_batch
from SynthFoundationLib.pretraining.evaluate import checkpoint_facts, load_network

# Batches for the running statistics start here: neither trained on nor validated on.
CALIBRATION_SEED = 2 * VALIDATION_SEED


@torch.no_grad()
def calibrate(network: UNet, config: PretrainConfig, batches: int) -> None:
    """Recompute the running statistics of batch norms as plain averages over fresh synthetic pairs.

    Statistics that followed training weights do not fit the averaged weights (Izmailov et al., UAI 2018).
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm3d)]
    if not norms or batches < 1:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    network.train()
    for k in range(batches):
        seeds = [CALIBRATION_SEED + k * config.data.pairs + i for i in range(config.data.pairs)]
        network(network_input(make_batch(config, seeds).views, network.config))
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def export(checkpoint: str | Path, out: str | Path, calibration: int = 64) -> dict[str, str]:
    """Write the averaged network of a checkpoint as half-precision safetensors with its architecture.

    Args:
        checkpoint: a checkpoint folder, such as `best`.
        out: file to write, `*.safetensors`.
        calibration: batches of fresh pairs for the running statistics; 0 keeps those of the training.

    Returns:
        `training` (settings and from which step on), `step`, and `sha256` of the file for the registry.

    Raises:
        InputError: for another suffix.
        WeightsError: when the folder holds no checkpoint.
    """
    target, folder = Path(out), Path(checkpoint)
    if target.suffix != ".safetensors":
        raise InputError(f"{target.name}: weights are written as *.safetensors")
    network = load_network(folder)
    facts = checkpoint_facts(folder)
    calibrate(network, from_plain(facts["config"]), calibration)
    told = {"training": json.dumps(facts["history"]), "step": str(facts["step"])}
    return {**told, "sha256": save_network(network.half(), target, told)}
