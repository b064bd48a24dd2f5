"""The training loop on Lightning Fabric: one process or many, exact resume, non-finite steps skipped."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.features.unet import UNet
from SynthFoundationLib.features.weights import load_weights
from SynthFoundationLib.pretraining.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    prune,
    save_checkpoint,
)
from SynthFoundationLib.pretraining.config import PretrainConfig
from SynthFoundationLib.pretraining.data import stream
from SynthFoundationLib.pretraining.journal import Journal, past_losses
from SynthFoundationLib.pretraining.model import ContrastiveModel, Unrounded
from SynthFoundationLib.pretraining.schedule import Length, rate_at
from SynthFoundationLib.pretraining.validate import draw_pictures, validate
from SynthFoundationLib.pretraining.windows import Windows
from SynthFoundationLib.synthesis.engine import VERSION


def open_fabric(device: str, precision: str) -> Any:
    """A launched Fabric; under `torchrun` its processes and nodes are used, data-parallel."""
    from lightning_fabric import Fabric

    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    strategy = "ddp" if world > 1 else "auto"
    accelerator = device if device in ("cpu", "cuda", "mps") else "auto"
    fabric = Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=max(1, world // local),
        strategy=strategy,
        precision=precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


class Trainer:
    """State of a training: model, its moving average, optimiser, step."""

    def __init__(self, config: PretrainConfig, folder: Path, fabric: Any, quiet: bool = False) -> None:
        """Build, or take up the newest checkpoint in `folder`."""
        self.config, self.folder, self.fabric, self.quiet = config, folder, fabric, quiet
        torch.manual_seed(config.run.seed)
        model = ContrastiveModel(config.network, config.loss)
        if config.run.start:
            _go_on_from(config, model.net)
        model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # a quarter faster
        self.average = copy.deepcopy(model.net).requires_grad_(False).eval().to(fabric.device)
        self.step, self.skipped, self.best = 0, 0, -1.0
        self.length = Length(config.run.steps, config.run.minutes)
        # Settings may change when a training is resumed; what was in force from which step on stays known.
        self.history = [self._stage()]
        optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=config.optimiser.rate,
            betas=config.optimiser.betas,
            weight_decay=config.optimiser.weight_decay,
        )
        self.raw = model
        self.model, self.optimiser = fabric.setup(model, optimiser)
        found = latest_checkpoint(folder)
        if found:
            self._resume(found)

    def _resume(self, path: Path) -> None:
        tensors, optimiser, facts = load_checkpoint(path)
        now, before = _json(self.config.plain()), facts["config"]
        if before["network"] != now["network"] or before["loss"]["head_width"] != now["loss"]["head_width"]:
            raise InputError(f"{path.name} was trained with another [network]; use another output folder")
        self.history = facts["history"]
        last_engine = self.history[-1]["engine"]
        stage = self._stage(facts["step"])
        if stage != {**self.history[-1], "from_step": facts["step"]}:
            self.history.append(stage)
        split: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}}
        for key, value in tensors.items():
            part, name = key.split(".", 1)
            split[part][name] = value
        self.raw.load_state_dict(split["model"])
        self.average.load_state_dict(split["average"])
        self.optimiser.load_state_dict(optimiser)
        self.step, self.skipped = facts["step"], facts["skipped"]
        # Another version of the engine draws other validation pairs: older scores do not compare.
        self.best = facts["best"] if self.history[-1]["engine"] == last_engine else -1.0

    def _stage(self, step: int = 0) -> dict[str, Any]:
        return {"from_step": step, "engine": VERSION, "config": _json(self.config.plain())}

    def save(self, name: str) -> None:
        """Write a checkpoint from the first process."""
        if self.fabric.global_rank == 0:
            tensors = {f"model.{k}": v for k, v in self.raw.state_dict().items()}
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
            facts = {
                "step": self.step,
                "skipped": self.skipped,
                "best": self.best,
                "config": _json(self.config.plain()),
                "history": self.history,
                "torch": torch.__version__,
            }
            save_checkpoint(self.folder, name, tensors, self.optimiser.state_dict(), facts)
            prune(self.folder)
        self.fabric.barrier()

    def run(self) -> dict[str, float]:
        """Train to the end; mean loss of the last tenth, skipped steps and the best validation."""
        run, fabric, chief = self.config.run, self.fabric, self.fabric.global_rank == 0
        journal = Journal(self.folder, self.step, self.quiet) if chief else None
        batches = stream(self.config, self.step, fabric.global_rank, fabric.world_size, fabric.device)
        recent = past_losses(self.folder, self.step) if chief else []
        while self.step < self.length.steps:
            values = self.advance(batches)
            recent.append(values["total"])
            if run.minutes:
                self.length.steps = fabric.broadcast(self.length.measured(self.step))
            if journal:
                journal.row(self.step - 1, self.length.steps, values)
            last = self.step >= self.length.steps
            if self.step % run.validate_every == 0 or last:
                self._validate(journal)
            if run.picture_every and self.step % run.picture_every == 0 and chief:
                draw_pictures(self.config, self.average, self.folder / "pictures", self.step, fabric.device)
            if self.step % run.save_every == 0 or last:
                self.save(f"step-{self.step:07d}")
        if journal:
            journal.close()
        tail = recent[-max(1, self.length.steps // 10) :]
        return {"loss": sum(tail) / max(1, len(tail)), "skipped": self.skipped, "best": self.best}

    def advance(self, batches: Iterator[Windows]) -> dict[str, float]:
        """One optimiser step; what happened, as plain numbers."""
        config, fabric = self.config, self.fabric
        began, waited = time.monotonic(), 0.0
        rate = rate_at(self.step, self.length.steps, config.optimiser)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.model.train()
        before = [buffer.clone() for buffer in self.raw.buffers()]
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        parts = config.data.accumulate
        for part in range(parts):
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            number = (self.step * parts + part) * fabric.world_size + fabric.global_rank
            views = batch.views.contiguous(memory_format=torch.channels_last_3d)
            with fabric.no_backward_sync(self.model, enabled=part < parts - 1):
                losses = self.model(Unrounded(batch._replace(views=views)), anchor_seed(config, number))
                fabric.backward(losses["total"] / parts)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / parts
        norm = nn.utils.clip_grad_norm_(self.raw.parameters(), config.optimiser.clip)
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
            self._follow()
        else:
            self.skipped += 1
            for buffer, old in zip(self.raw.buffers(), before, strict=True):
                buffer.copy_(old)  # running statistics saw the bad batch
        self.step += 1
        seconds = time.monotonic() - began
        return {
            **sums,
            "rate": rate,
            "gradient": float(norm),
            "skipped": float(self.skipped),
            "wait": waited,
            "seconds": seconds,
        }

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights; a young average follows faster."""
        decay = min(self.config.optimiser.average, (1 + self.step) / (10 + self.step))
        for slow, fast in zip(
            self.average.state_dict().values(), self.raw.net.state_dict().values(), strict=True
        ):
            if slow.is_floating_point():
                slow.lerp_(fast, 1 - decay)
            else:
                slow.copy_(fast)

    def _validate(self, journal: Journal | None) -> None:
        if journal:
            values = validate(self.config, self.average, self.fabric.device)
            journal.validation(self.step, values)
            if values["within"] > self.best:
                self.best = values["within"]
                self._keep_best()
        self.fabric.barrier()

    def _keep_best(self) -> None:
        tensors = {f"average.{k}": v for k, v in self.average.state_dict().items()}
        config = _json(self.config.plain())
        facts = {"step": self.step, "best": self.best, "config": config, "history": self.history}
        save_checkpoint(self.folder, "best", tensors, {}, facts)


def _go_on_from(config: PretrainConfig, network: UNet) -> None:
    """Take the numbers of weights of the same network; the projection heads, never exported, start anew."""
    weights = load_weights(config.run.start)
    if weights.network.config != config.network:
        raise InputError(f"{config.run.start} holds another [network]; its own is {weights.network.config}")
    network.load_state_dict(weights.network.state_dict())


def anchor_seed(config: PretrainConfig, number: int) -> int:
    """Seed of the anchors of a batch."""
    return (config.run.seed * 1_000_003 + number * 7919 + 17) % 2**31


def _json(value: Any) -> Any:
    """Tuples as lists, the way JSON gives them back."""
    if isinstance(value, dict):
        return {k: _json(v) for k, v in value.items()}
    return [_json(v) for v in value] if isinstance(value, tuple | list) else value
