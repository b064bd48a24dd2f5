"""Weights by id and by file: what is loaded, and everything that must be refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from SynthFoundationLib.errors import InputError, WeightsError
from SynthFoundationLib.features.registry import Registry
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weight_files import infer_config, read_network, save_network
from SynthFoundationLib.features.weights import load_weights

TINY = UNetConfig(out_channels=3, width=2, depth=1, stem=2)


class Bomb:
    """What a hostile pickle does: run code when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def write_registry(folder: Path, **change: str) -> Registry:
    """A registry with one bundled set of weights, `tiny`, which is the default."""
    sha256 = save_network(UNet(TINY), folder / "tiny.safetensors")
    entry = {"file": "tiny.safetensors", "sha256": sha256, "licence": "CC0-1.0", "architecture": asdict(TINY)}
    architectures = json.loads(Registry.read().folder.joinpath("weights.json").read_text())["architectures"]
    content = {"default": "tiny", "weights": {"tiny": {**entry, **change}}, "architectures": architectures}
    (folder / "weights.json").write_text(json.dumps(content))
    return Registry.read(folder / "weights.json")


def test_saved_network_comes_back_with_its_architecture(tmp_path: Path):
    network = UNet(TINY)
    sha256 = save_network(network, tmp_path / "net.safetensors", {"licence": "Apache-2.0"})
    weights = load_weights(tmp_path / "net.safetensors")
    assert weights.network.config == TINY
    assert not weights.network.training
    assert (weights.licence, weights.sha256) == ("Apache-2.0", sha256)
    assert sha256 == hashlib.sha256((tmp_path / "net.safetensors").read_bytes()).hexdigest()
    for key, value in network.state_dict().items():
        assert torch.equal(weights.network.state_dict()[key], value)


def test_file_in_half_precision_gives_a_network_in_single_precision(tmp_path: Path):
    save_network(UNet(TINY).half(), tmp_path / "net.safetensors")
    network = load_weights(tmp_path / "net.safetensors").network
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_registered_default_is_loaded_and_named(tmp_path: Path):
    registry = write_registry(tmp_path)
    assert load_weights(registry=registry).id == "tiny"
    assert load_weights("tiny", registry=registry).licence == "CC0-1.0"


def test_shipped_registry_is_sound():
    registry = Registry.read()
    assert registry.architectures["anatomix"] == UNetConfig()
    for name, entry in registry.weights.items():
        if entry.source is None:
            assert load_weights(name).network.config == entry.architecture


def test_another_file_under_a_registered_name_is_refused(tmp_path: Path):
    registry = write_registry(tmp_path)
    save_network(UNet(TINY), tmp_path / "tiny.safetensors")
    with pytest.raises(WeightsError, match="SHA-256"):
        load_weights("tiny", registry=registry)


def test_registered_file_of_another_architecture_is_refused(tmp_path: Path):
    registry = write_registry(tmp_path, architecture="anatomix")
    with pytest.raises(WeightsError, match="not UNetConfig"):
        load_weights("tiny", registry=registry)


def test_missing_weights_are_refused_with_what_there_is(tmp_path: Path):
    registry = write_registry(tmp_path)
    (tmp_path / "tiny.safetensors").unlink()
    with pytest.raises(WeightsError, match="missing"):
        load_weights("tiny", registry=registry)
    with pytest.raises(WeightsError, match="Registered: tiny"):
        load_weights("other", registry=registry)
    with pytest.raises(WeightsError, match=r"no weights file other\.pth"):
        load_weights("other.pth", registry=registry)
    with pytest.raises(WeightsError, match="no architecture 'resnet'"):
        load_weights("other.pth", "resnet", registry=registry)


@pytest.mark.parametrize("text", ["", "[]", '{"default": "gone", "weights": {}, "architectures": {}}'])
def test_damaged_registry_is_refused(tmp_path: Path, text: str):
    (tmp_path / "weights.json").write_text(text)
    with pytest.raises(WeightsError, match="registry"):
        Registry.read(tmp_path / "weights.json")


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
@pytest.mark.parametrize("size", [0, 5, 2000])
def test_truncated_file_is_refused(tmp_path: Path, name: str, size: int):
    network = UNet(UNetConfig(width=2, depth=1))
    torch.save(network.state_dict(), tmp_path / "net.pth")
    save_network(network, tmp_path / "net.safetensors")
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match="damaged"):
        read_network(path)


def test_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path):
    torch.save({"model.0.weight": Bomb(tmp_path / "exploded")}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="could run code"):
        read_network(tmp_path / "net.pth")
    assert not (tmp_path / "exploded").exists()


def test_pth_that_is_no_plain_state_dict_is_refused(tmp_path: Path):
    torch.save({"epoch": 3}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="plain state dict"):
        read_network(tmp_path / "net.pth")
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="not those of a U-Net"):
        read_network(tmp_path / "net.pth")


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module."])
def test_pth_of_a_batch_norm_network_tells_its_architecture(tmp_path: Path, prefix: str):
    config = UNetConfig(out_channels=5, width=3, depth=2)
    network = UNet(config)
    state = {prefix + key: value for key, value in network.state_dict().items()}
    torch.save(state, tmp_path / "net.pth")
    loaded = load_weights(tmp_path / "net.pth").network
    assert loaded.config == config
    assert torch.equal(loaded.model[0].weight, network.model[0].weight)


def test_known_architecture_brings_what_the_tensors_do_not_tell():
    known = Registry.read().architectures
    for config in known.values():
        with torch.device("meta"):
            state = UNet(config).state_dict()
        assert infer_config(state, known.values()) == config
        if config.norm == "instance":
            assert config.norm_eps == 1e-2
            with pytest.raises(WeightsError, match="State the architecture"):
                infer_config(state)


def test_stated_architecture_decides_for_a_pth(tmp_path: Path):
    config = UNetConfig(width=2, depth=1, norm="instance", norm_eps=0.1, pool="average")
    torch.save(UNet(config).state_dict(), tmp_path / "net.pth")
    assert load_weights(tmp_path / "net.pth", config).network.config == config
    with pytest.raises(WeightsError, match="do not fit"):
        load_weights(tmp_path / "net.pth", replace(config, width=3))


def test_unwritable_place_is_refused(tmp_path: Path):
    with pytest.raises(InputError):
        save_network(UNet(TINY), tmp_path / "none" / "net.safetensors")
