"""From labelled cases to a segmenter file, in a given time."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..features.registry import Registry
from ..features.unet import UNetConfig
from ..features.weights import Weights, load_weights
from ..images import Image, LabelMap
from .intensities import Modality
from .model import Segmenter, check_name, training_tensors
from .network import SegmentationNet
from .patches import Case, prepare
from .plan import make_plan
from .probe import fit_probe
from .trainer import Budget, Progress, State, Trainer

SCRATCH = "scratch"
SMALL = UNetConfig(in_channels=12, depth=3, norm="instance", norm_eps=1e-3, stem=2)
FIVE = 5  # cases from which on one in five is held out for validation


def finetune(
    cases: Sequence[tuple[Image, LabelMap]],
    output: str | Path,
    init: str | Path | Weights | None = None,
    minutes: float = 30.0,
    *,
    resume: bool = False,
    modality: Modality = "auto",
    spacing: float | None = None,
    architecture: UNetConfig | None = None,
    device: str | torch.device = "cpu",
    seed: int = 0,
    steps: int | None = None,
    progress: Progress | None = None,
) -> Segmenter:
    """Train a segmenter on labelled cases and write it.

    With five cases or more, one in five is held out: the network that segments these best is kept, and
    training ends early when it has not improved for long. With fewer, all are learned from.

    Args:
        cases: images, or several contrasts as channels, and their label maps.
        output: .safetensors file to write.
        init: id or file of pretrained weights, loaded weights, or "scratch"; None is the registry's default.
        minutes: how long to train.
        resume: go on from `output`, to which the same images in the same order led, with its seed.
        modality: "ct" (one scale of intensities for all scans), "mr" (each has its own), or "auto".
        spacing: mm of the voxels to work on; the cases' median by default.
        architecture: of a network from scratch; by default that of the default weights.
        device: where to compute.
        seed: seeds every random number; a model that is resumed keeps its own.
        steps: train for so many steps instead of `minutes`.
        progress: called with what is being done and the fraction of the budget that is used.

    Raises:
        InputError: no cases, labels that are empty, an option or a file name that cannot be used, or other
            cases than those that are to be gone on with.
        WeightsError: the weights, or the model to resume, cannot be used.
    """
    check_name(output)
    if not cases:
        raise InputError("no case is given; at least one image with labels is needed")
    if not minutes > 0 or (steps is not None and steps < 1):
        raise InputError(f"the budget is {minutes} minutes; it must be above 0")
    path = Path(output)
    if not resume and path.exists():
        raise InputError(f"{path.name} exists; resume it, or choose another name")
    before = Segmenter.load(path) if resume else None
    digest = _digest([image for image, _ in cases])
    if before is not None:
        _check_same(before, path, cases, digest)
        seed = before.about["seed"]  # another would hold out cases that were learned from
    report = progress or (lambda stage, fraction: None)
    report("preparing the cases", 0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        segmenter = before or _fresh(cases, init, architecture, modality, spacing)
        learned, held_out = _split([prepare(*case, segmenter.plan) for case in cases], seed)
        pretrained = segmenter.about["init"] != SCRATCH
        where = torch.device(device)
        trainer = Trainer(segmenter.network, segmenter.plan, learned, held_out, where, seed, pretrained)
        if before is None:
            fit_probe(trainer.network, learned, segmenter.plan.patch, random.Random(seed))
            trainer.start_average()
        else:
            _resume(trainer, before, path)
        facts = {"cases": len(cases), "held_out": len(held_out), "seed": seed, "images_sha256": digest}
        segmenter.about |= facts
        trainer.run(Budget(60 * minutes, steps), _saver(trainer, segmenter, path), report)
    return Segmenter(trainer.kept, segmenter.plan, segmenter.about)


def _fresh(
    cases: Sequence[tuple[Image, LabelMap]],
    init: str | Path | Weights | None,
    architecture: UNetConfig | None,
    modality: Modality,
    spacing: float | None,
) -> Segmenter:
    """A segmenter that knows nothing of the labels yet."""
    weights = None if str(init) == SCRATCH else init if isinstance(init, Weights) else load_weights(init)
    config = weights.network.config if weights else architecture or _usual_architecture()
    plan = make_plan(cases, config, modality, spacing)
    network = SegmentationNet(config, len(plan.scales), len(plan.values))
    about: dict[str, Any] = {"init": SCRATCH}
    if weights is not None:
        network.adopt(weights.network)
        about = {"init": weights.id, "init_sha256": weights.sha256, "init_licence": weights.licence}
    return Segmenter(network, plan, about)


def _usual_architecture() -> UNetConfig:
    registry = Registry.read()
    return registry.weights[registry.default].architecture if registry.default else SMALL


def _split(cases: list[Case], seed: int) -> tuple[list[Case], list[Case]]:
    """Cases to learn from, and one in five, labelled, to validate on where there are five."""
    shuffled = cases[:]
    random.Random(seed).shuffle(shuffled)
    held_out = [case for case in shuffled if case.places][: len(cases) // FIVE]
    return [case for case in shuffled if case not in held_out], held_out


def _digest(images: Sequence[Image]) -> str:
    """What tells images and their order, but not what is in them."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(str(tuple(image.data.shape)).encode())
        digest.update(np.round(image.grid.matrix, 3).tobytes())
        digest.update(image.data.numpy().tobytes())
    return digest.hexdigest()


def _check_same(before: Segmenter, path: Path, cases: Sequence[tuple[Image, LabelMap]], digest: str) -> None:
    """Refuse to go on with other images, which may have been held out before, or labels not known yet."""
    about = before.about
    if about.get("cases") != len(cases):
        raise InputError(
            f"{path.name} was trained on {about.get('cases')} cases, {len(cases)} are given; "
            "give the same, or start another model"
        )
    if "images_sha256" not in about or any("elapsed" not in row for row in about["state"]["history"]):
        raise InputError(
            f"{path.name} was begun by an earlier version, which trainings cannot go on from; "
            "start another model"
        )
    known = before.plan.values[1:]
    unknown = sorted(set().union(*(labels.values for _, labels in cases)) - set(known))
    if unknown:
        raise InputError(
            f"{path.name} knows labels {_listed(known)}, but not {_listed(unknown)}; "
            "give the same labels, or start another model"
        )
    if about["images_sha256"] != digest:
        raise InputError(
            f"{path.name} was trained on other images, or on these in another order; "
            "give the same files with the same names, or start another model"
        )


def _listed(labels: Sequence[int]) -> str:
    return ", ".join(map(str, labels))


def _resume(trainer: Trainer, before: Segmenter, path: Path) -> None:
    state = State(**before.about["state"])
    tensors = training_tensors(path)
    kept = before.network.state_dict()
    trainer.resume(tensors, {k: v.clone() for k, v in kept.items()}, state)


def _saver(trainer: Trainer, segmenter: Segmenter, path: Path) -> Callable[[], None]:
    def save() -> None:
        segmenter.about["state"] = asdict(trainer.state)
        Segmenter(trainer.kept, segmenter.plan, segmenter.about).save(path, trainer.tensors())

    return save
