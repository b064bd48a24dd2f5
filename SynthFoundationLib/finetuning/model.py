"""A trained segmenter: one safetensors file holds the network, its plan, and what is needed to train on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import InputError, WeightsError
from ..features.unet import UNetConfig
from ..files import check_place, replacing, save_tensors
from .network import SegmentationNet
from .plan import Plan

FORMAT = "SynthFoundation segmenter 1"
_NETWORK, _TRAINING = "network.", "training."


@dataclass(eq=False)
class Segmenter:
    """A network and all that is needed to use it.

    Attributes:
        network: in evaluation mode.
        plan: spacing, patch, intensities and labels.
        about: facts of the training as plain JSON values.
    """

    network: SegmentationNet
    plan: Plan
    about: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path, training: Mapping[str, Tensor] | None = None) -> None:
        """Write the file whole or not at all; `training` are the tensors from which training goes on.

        Raises:
            InputError: another ending than .safetensors, or the folder cannot be written to.
        """
        check_name(path)
        described = {
            "architecture": asdict(self.network.config),
            "plan": self.plan.plain(),
            "about": self.about,
        }
        tensors = {_NETWORK + k: v for k, v in self.network.state_dict().items()}
        tensors |= {_TRAINING + k: v for k, v in (training or {}).items()}
        kept = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        with replacing(path) as beside:
            save_tensors(kept, beside, {"format": FORMAT, "segmenter": json.dumps(described)})

    @classmethod
    def load(cls, path: str | Path) -> Segmenter:
        """Read a file of `save`.

        Raises:
            WeightsError: the file is missing, damaged or no segmenter.
        """
        tensors, described = _read(Path(path), _NETWORK)
        try:
            plan = Plan.from_plain(described["plan"])
            config = UNetConfig(**described["architecture"])
            network = SegmentationNet(config, len(plan.scales), len(plan.values))
            network.load_state_dict(tensors)
        except (KeyError, TypeError, ValueError, RuntimeError, InputError) as error:
            raise WeightsError(
                f"{Path(path).name} describes no segmenter of this version: {error}"
            ) from error
        return cls(network.eval(), plan, described.get("about", {}))


def check_name(path: str | Path) -> None:
    """Refuse a place that no model can be written to, before the work."""
    check_place(path, (".safetensors",))


def training_tensors(path: str | Path) -> dict[str, Tensor]:
    """What `Segmenter.save` was given to train on from.

    Raises:
        WeightsError: the file is missing, damaged or no segmenter.
    """
    return _read(Path(path), _TRAINING)[0]


def _read(path: Path, prefix: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors whose names begin with `prefix`, and the description."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsError(f"There is no model {path.name}; give a .safetensors file that finetune wrote.")
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            names = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
            tensors = {key.removeprefix(prefix): file.get_tensor(key) for key in names}
        if facts.get("format") != FORMAT:
            raise ValueError("another format")
        return tensors, json.loads(facts["segmenter"])
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path.name} is damaged or no model that finetune wrote; give one, or make it again."
        ) from error
