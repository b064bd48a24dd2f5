"""Files of weights: safetensors that describe their network, and `.pth` state dicts, read without pickle."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from SynthFoundationLib.errors import InputError, WeightsError
from SynthFoundationLib.features.unet import UNet, UNetConfig, strip_prefixes
from SynthFoundationLib.files import replacing, save_tensors

SAFE, FOREIGN = (".safetensors",), (".pth", ".pt")
# What the key and the shape of its tensors tell of a network; the other fields of `UNetConfig` they do not.
INFERABLE = ("in_channels", "out_channels", "width", "depth", "norm")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def save_network(network: UNet, path: str | Path, facts: Mapping[str, str] | None = None) -> str:
    """Write weights and `UNetConfig` to one safetensors file and return its SHA-256.

    `facts` (such as licence, version, training steps) go into the metadata. Raises `InputError` when the file
    cannot be written.
    """
    metadata = {**(facts or {}), "architecture": json.dumps(asdict(network.config))}
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    with replacing(path) as beside:
        save_tensors(state, beside, metadata)
    return sha256_of(Path(path))


def read_network(
    path: str | Path, config: UNetConfig | None = None, known: Iterable[UNetConfig] = ()
) -> tuple[UNet, dict[str, str]]:
    """Return the network of a weights file, in evaluation mode, and the file's metadata.

    `config` is the architecture the file must have; without it that of the metadata or, in a `.pth` file,
    that of the `known` ones which the tensors fit. Raises `WeightsError` when the file is missing, damaged,
    holds anything but tensors, or another architecture.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path.name}; give a .safetensors or .pth file.")
    if path.suffix.lower() in SAFE:
        state, metadata = _read_safetensors(path)
        config = _stated_config(path.name, metadata, config) or infer_config(state, known)
    elif path.suffix.lower() in FOREIGN:
        state, metadata = strip_prefixes(_read_pth(path)), {}
        config = config or infer_config(state, known)
    else:
        raise WeightsError(f"{path.name} is no weights file; allowed are {', '.join(SAFE + FOREIGN)}.")
    with torch.device("meta"):
        network = UNet(config)
    return network.to_empty(device="cpu").load(state).eval(), metadata


def infer_config(state: Mapping[str, Tensor], known: Iterable[UNetConfig] = ()) -> UNetConfig:
    """Return the architecture that a state dict fits.

    Pooling, upsampling and epsilon leave no trace in it: they are those of the first `known` architecture
    that agrees in all else, or the ICLR network's if the norm is batch norm. Raises `WeightsError` when
    neither applies or the keys are not those of a U-Net.
    """
    state = strip_prefixes(state)
    indices = [int(m[1]) for key in state if (m := re.fullmatch(r"model\.(\d+)\.weight", key))]
    last = max(indices, default=0)
    depth, rest = divmod(last - 9, 14)
    first, final = state.get("model.0.weight"), state.get(f"model.{last}.weight")
    if depth < 1 or rest or first is None or final is None or first.ndim != 5 or final.ndim != 5:
        raise WeightsError(
            "The tensors are not those of a U-Net of this library: no keys model.N.weight fit."
        )
    found = UNetConfig(
        in_channels=first.shape[1],
        out_channels=final.shape[0],
        width=first.shape[0],
        depth=depth,
        norm="batch" if "model.1.running_mean" in state else "instance",
    )
    for config in known:
        if config.stem == 1 and all(getattr(config, name) == getattr(found, name) for name in INFERABLE):
            return config
    if found.norm == "instance":
        facts = ", ".join(f"{name} {getattr(found, name)}" for name in INFERABLE)
        raise WeightsError(
            f"Weights of an unknown architecture ({facts}): they do not say which epsilon, pooling and "
            "upsampling they were trained with. State the architecture."
        )
    return found


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path.name} is damaged or no safetensors file; get it again.") from error


def _stated_config(name: str, metadata: Mapping[str, str], wanted: UNetConfig | None) -> UNetConfig | None:
    if "architecture" not in metadata:
        return wanted
    try:
        stated = UNetConfig(**json.loads(metadata["architecture"]))
    except (ValueError, TypeError, InputError) as error:
        raise WeightsError(f"{name} describes no network of this version: {error}") from error
    if wanted is not None and wanted != stated:
        raise WeightsError(f"{name} holds {stated}, not {wanted} as it should.")
    return stated


def _read_pth(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the format has many ways to be broken, each with its own exception
        raise WeightsError(
            f"{path.name} is damaged or holds more than tensors; only plain state dicts are read, "
            "because other contents could run code."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path.name} is not a plain state dict (names → tensors).")
    return state
