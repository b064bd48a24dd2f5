"""Pretrained networks by id or file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from SynthFoundationLib.errors import WeightsError
from SynthFoundationLib.features.download import Progress, downloaded
from SynthFoundationLib.features.registry import Registry, WeightsEntry
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weight_files import FOREIGN, SAFE, read_network, sha256_of


@dataclass(frozen=True, eq=False)
class Weights:
    """A pretrained network in evaluation mode, and what a report says of it."""

    network: UNet
    id: str
    sha256: str
    licence: str


def load_weights(
    name: str | Path | None = None,
    architecture: str | UNetConfig | None = None,
    consent: bool = False,
    registry: Registry | None = None,
    progress: Progress | None = None,
) -> Weights:
    """Load weights by registry id, or from a .safetensors or .pth file; None is the registry's default.

    `architecture`, a registered name or a config, is what a file must hold; it is needed only for `.pth`
    files whose tensors leave it open. `consent` allows a download. Registered files are checked against their
    SHA-256 at each load. Raises `WeightsError` for whatever is missing, damaged or of another architecture.
    """
    registry = registry or Registry.read()
    name = registry.default if name is None else name
    if name is None:
        raise WeightsError("No default weights are installed; name weights or use the MIND features.")
    if str(name) in registry.weights:
        return _registered(registry, registry.weights[str(name)], consent, progress)
    path = Path(name)
    if path.suffix.lower() not in SAFE + FOREIGN:
        available = ", ".join(registry.weights) or "none"
        raise WeightsError(
            f"There are no weights {str(name)!r}. Registered: {available}. "
            "Name one of these, or give a .safetensors or .pth file."
        )
    config = _architecture(registry, architecture)
    network, metadata = read_network(path, config, registry.architectures.values())
    return Weights(network, path.name, sha256_of(path), metadata.get("licence", "unknown"))


def _registered(registry: Registry, entry: WeightsEntry, consent: bool, progress: Progress | None) -> Weights:
    path = registry.folder / entry.file
    if entry.source is not None:
        path = downloaded(entry, consent, progress=progress)
    if not path.is_file():
        raise WeightsError(
            f"The file {entry.file} of weights {entry.id!r} is missing; install the package again."
        )
    found = sha256_of(path)
    if found != entry.sha256:
        raise WeightsError(
            f"{path.name} is not the registered file of {entry.id!r}: its SHA-256 is {found}, "
            f"not {entry.sha256}. Delete it and get it again."
        )
    network, _ = read_network(path, entry.architecture)
    return Weights(network, entry.id, found, entry.licence)


def _architecture(registry: Registry, given: str | UNetConfig | None) -> UNetConfig | None:
    if not isinstance(given, str):
        return given
    if given not in registry.architectures:
        known = ", ".join(registry.architectures)
        raise WeightsError(f"There is no architecture {given!r}; registered are {known}.")
    return registry.architectures[given]
