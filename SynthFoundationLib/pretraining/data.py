"""The endless stream of pairs: batch k of a training is a function of the training's seed and k alone."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from SynthFoundationLib.pretraining.config import LAST_SEED, PretrainConfig
from SynthFoundationLib.pretraining.windows import Windows, look, sample_window
from SynthFoundationLib.synthesis import render_batch, sample

# Seeds of pairs that a training of one seed may use.
PAIRS_OF_A_SEED = 10**9
# Seeds of validation pairs start here; training never gets that far.
VALIDATION_SEED = (LAST_SEED + 1) * PAIRS_OF_A_SEED


def batch_seeds(config: PretrainConfig, index: int) -> list[int]:
    """Seeds of the pairs of one batch."""
    first = config.run.seed * PAIRS_OF_A_SEED + index * config.data.pairs
    return [first + k for k in range(config.data.pairs)]


def make_batch(
    config: PretrainConfig, seeds: list[int], device: torch.device | str = "cpu", turn: float = 1.0
) -> Windows:
    """Render pairs and look at each through two windows; `turn` 0 shifts the second without rotating it."""
    whole = config.data.side + config.data.margin
    templates = _templates(config.data.templates)
    pair = render_batch([sample(seed, (whole,) * 3, templates) for seed in seeds], device)
    windows = [sample_window(seed, whole, config.data.side, turn, config.data.bend) for seed in seeds]
    return look(pair.view1, pair.view2, pair.labels, windows, config.data.side)


@cache
def _templates(folder: str) -> dict[str, Any] | None:
    """What `sample` takes shapes from; a folder of many thousand files is looked through once a process."""
    if not folder:
        return None
    from SynthFoundationLib.synthesis.templates import open_templates

    return open_templates(folder)


class Batches(Dataset[Windows]):
    """Batches by number, from `start` on, every `stride`-th."""

    def __init__(self, config: PretrainConfig, numbers: range, device: torch.device | str = "cpu") -> None:
        self.config, self.numbers, self.device = config, numbers, device

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, k: int) -> Windows:
        batch = make_batch(self.config, batch_seeds(self.config, self.numbers[k]), self.device)
        return Windows(*(part.cpu() for part in batch))


def stream(
    config: PretrainConfig, step: int, rank: int, world: int, device: torch.device
) -> Iterator[Windows]:
    """Batches of this process from a step on, rendered ahead by other processes or by this one."""
    per_step = config.data.accumulate * world
    numbers = range(step * per_step + rank, config.run.steps * per_step, world)
    if config.data.workers == 0:
        for number in numbers:
            yield make_batch(config, batch_seeds(config, number), device)
        return
    _templates(config.data.templates)  # the cache of shapes is there when the workers ask for it
    loader = DataLoader(
        Batches(config, numbers, device if config.data.render == "device" else "cpu"),
        batch_size=None,
        num_workers=config.data.workers,
        prefetch_factor=3,
        multiprocessing_context="spawn",
        pin_memory=device.type == "cuda",
        worker_init_fn=_ends_with_its_parent,
    )
    for batch in loader:
        yield Windows(*(part.to(device, non_blocking=True) for part in batch))


def _ends_with_its_parent(_worker: int) -> None:
    """End a worker process with the training; torch misses one that is killed while workers are starting."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
