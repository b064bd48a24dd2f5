"""The `pretrain` verb."""

from __future__ import annotations

from pathlib import Path

import torch

from SynthFoundationLib.errors import InputError, SynthFoundationError
from SynthFoundationLib.pretraining.checkpoint import latest_checkpoint
from SynthFoundationLib.pretraining.config import read_config


def pretrain(
    config_path: str | Path, out: str | Path, resume: bool = False, device: str = "auto", quiet: bool = False
) -> dict[str, float]:
    """Train a feature extractor on synthetic pairs as a TOML file describes.

    Writes checkpoints (`step-*`, `best`), `losses.csv`, `validation.jsonl`, TensorBoard events and pictures
    to `out`. Under `torchrun` all its processes take part.

    Args:
        config_path: a file such as those in `Resources/Configs`.
        out: folder of the run.
        resume: continue the newest checkpoint in `out`.
        device: "auto", "cpu", "cuda" or "mps".
        quiet: print nothing.

    Returns:
        `loss` (mean of the last tenth of the steps), `skipped` (non-finite steps), `best` (retrieval).

    Raises:
        InputError: for an impossible configuration, or a folder that holds a run when `resume` is not given.
        SynthFoundationError: when the configuration states a target loss that was not reached.
    """
    from SynthFoundationLib.pretraining.trainer import Trainer, open_fabric

    config, folder = read_config(config_path), Path(out)
    if not resume and latest_checkpoint(folder):
        raise InputError(f"{folder.name} already holds a training; resume it, or choose another folder")
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    fabric = open_fabric(device, config.run.precision)
    result = Trainer(config, folder, fabric, quiet).run()
    if config.run.target and result["loss"] > config.run.target:
        raise SynthFoundationError(
            f"the loss ended at {result['loss']:.3f}, above the target {config.run.target}"
        )
    return result
