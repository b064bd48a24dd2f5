"""Which weights there are: the file `weights.json` beside this one.

    {"default": id or null,
     "weights": {id: {"file", "sha256", "licence", "architecture", "source", "about"}},
     "architectures": {name: fields of UNetConfig}}

`architecture` is a name or the fields themselves. Weights without `source` are bundled: `file` lies beside
the registry. Others are downloaded from `source` when the user agrees. `architectures` also serve to tell
which network a state dict is of: it says nothing of pooling, upsampling and epsilon.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from SynthFoundationLib.errors import InputError, WeightsError
from SynthFoundationLib.features.unet import UNetConfig

BUNDLED = Path(__file__).with_name("weights.json")


@dataclass(frozen=True)
class WeightsEntry:
    """One set of weights; `source` is a URL, or None where the file is bundled."""

    id: str
    file: str
    sha256: str
    licence: str
    architecture: UNetConfig
    source: str | None = None
    about: str = ""


@dataclass(frozen=True)
class Registry:
    """The content of a registry file; `folder` holds it and the bundled weights."""

    folder: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path = BUNDLED) -> Registry:
        """Read a registry file; raises `WeightsError` when it is missing or damaged."""
        try:
            registry = cls(path.parent, json.loads(path.read_text(encoding="utf-8")))
            if registry.default not in (None, *registry.weights):
                raise KeyError(registry.default)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
            raise WeightsError(f"The registry of weights {path.name} cannot be read: {error!r}.") from error
        return registry

    @cached_property
    def architectures(self) -> dict[str, UNetConfig]:
        """The named architectures."""
        return {name: UNetConfig(**fields) for name, fields in self.content["architectures"].items()}

    @cached_property
    def weights(self) -> dict[str, WeightsEntry]:
        """The weights by id."""
        return {name: self._entry(name, dict(fields)) for name, fields in self.content["weights"].items()}

    @property
    def default(self) -> str | None:
        """The id of the weights used when none are named, or None."""
        return self.content["default"]

    def _entry(self, name: str, fields: dict[str, Any]) -> WeightsEntry:
        architecture = fields.pop("architecture")
        config = (
            self.architectures[architecture] if isinstance(architecture, str) else UNetConfig(**architecture)
        )
        return WeightsEntry(id=name, architecture=config, **fields)
