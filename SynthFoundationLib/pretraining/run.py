"""The `pretrain` verb."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from SynthFoundationLib.errors import InputError, SynthFoundationError
from SynthFoundationLib.files import called, output_folder
from SynthFoundationLib.pretraining.checkpoint import latest_checkpoint, recover
from SynthFoundationLib.pretraining.config import PretrainConfig, read_config


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
        InputError: for an impossible configuration, a folder that holds a run when `resume` is not given or
            that another run is writing to, or a disk that is full.
        SynthFoundationError: when the configuration states a target loss that was not reached.
    """
    config, folder = read_config(config_path), Path(out)
    first = os.environ.get("RANK", "0") == "0"
    try:
        with output_folder(folder) if first else nullcontext():
            if first:
                recover(folder)
                checkpoint = latest_checkpoint(folder)
                if resume and not checkpoint and not quiet:
                    print(f"No checkpoint in {called(folder)}, starting anew", file=sys.stderr, flush=True)
                if checkpoint and not resume:
                    raise InputError(
                        f"{called(folder)} already holds a training; resume it, or choose another folder"
                    )
            result = _train(config, folder, device, quiet)
    except OSError as error:
        raise InputError(
            f"cannot write to {called(folder)}: {error.strerror or error}; "
            "what was saved is whole: make room and resume"
        ) from error
    if config.run.target and result["loss"] > config.run.target:
        raise SynthFoundationError(
            f"the loss ended at {result['loss']:.3f}, above the target {config.run.target}"
        )
    return result


def _train(config: PretrainConfig, folder: Path, device: str, quiet: bool) -> dict[str, float]:
    from SynthFoundationLib.pretraining.trainer import Trainer, open_fabric

    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    return Trainer(config, folder, open_fabric(device, config.run.precision), quiet).run()
