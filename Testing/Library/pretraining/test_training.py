import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from SynthFoundationLib.errors import InputError, SynthFoundationError
from SynthFoundationLib.features.unet import UNet
from SynthFoundationLib.features.weight_files import read_network, sha256_of
from SynthFoundationLib.features.weights import load_weights
from SynthFoundationLib.files import output_folder
from SynthFoundationLib.pretraining import export, pretrain, read_config
from SynthFoundationLib.pretraining.checkpoint import latest_checkpoint, load_checkpoint, recover
from SynthFoundationLib.pretraining.config import OptimiserConfig, from_plain
from SynthFoundationLib.pretraining.data import batch_seeds, make_batch
from SynthFoundationLib.pretraining.evaluate import load_network
from SynthFoundationLib.pretraining.export import CALIBRATION_SEED, calibrate
from SynthFoundationLib.pretraining.model import ContrastiveModel
from SynthFoundationLib.pretraining.trainer import Trainer, open_fabric

pytest.importorskip("lightning_fabric")
ROOT = Path(__file__).parents[3]
TINY = """
[data]
side = 16
margin = 8
pairs = 2
workers = {workers}
accumulate = {accumulate}
[network]
width = 4
depth = 1
out_channels = 4
norm = "{norm}"
[loss]
anchors = 32
head_width = 8
place_anchors = 32
[optimiser]
warmup = 3
rate = 1e-3
[run]
steps = {steps}
save_every = 4
validate_every = 1000
validation_pairs = 1
"""


def write(folder, steps=12, workers=0, accumulate=1, norm="batch"):
    path = folder / "tiny.toml"
    path.write_text(TINY.format(steps=steps, workers=workers, accumulate=accumulate, norm=norm))
    return path


def losses(folder):
    path = folder / "losses.csv"
    # Read at once: a training may be writing it.
    rows = csv.DictReader(path.read_text().splitlines() if path.exists() else [])
    timing = ("wait", "seconds")
    return [{k: v for k, v in row.items() if k not in timing} for row in rows]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def start(config, out, group=False):
    code = "import sys; from SynthFoundationLib.pretraining import pretrain; "
    code += "pretrain(sys.argv[1], sys.argv[2], resume=True, device='cpu', quiet=True)"
    command = [sys.executable, "-c", code, str(config), str(out)]
    return subprocess.Popen(command, env=environment(), start_new_session=group)


def test_a_killed_training_continues_bit_by_bit(tmp_path):
    config = write(tmp_path, steps=30)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert start(config, straight).wait(120) == 0
    with start(config, killed) as process:
        try:
            while len(losses(killed)) < 6:
                assert process.poll() is None, "the training ended before it could be killed"
                time.sleep(0.002)
        finally:
            process.send_signal(signal.SIGKILL)
    assert latest_checkpoint(killed) is not None
    assert len(losses(killed)) < 30
    assert start(config, killed).wait(120) == 0
    assert losses(killed) == losses(straight)
    a, b = (load_checkpoint(folder / "step-0000030") for folder in (straight, killed))
    assert all(torch.equal(a[0][key], b[0][key]) for key in a[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_workers_that_were_starting_end_with_a_training_that_is_killed(tmp_path):
    config = write(tmp_path, steps=30, workers=1)
    with start(config, tmp_path / "run", group=True) as process:
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            while not any("spawn_main" in told(pid) for pid in children.read_text().split()):
                assert process.poll() is None
                time.sleep(0.01)
        finally:
            process.kill()
    end = time.monotonic() + 60
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        if time.monotonic() > end:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail("a process of the training lives on")
        time.sleep(0.1)


def told(pid):
    """The command line of a process, empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


STEP = """
import sys, torch
from pathlib import Path
from SynthFoundationLib.pretraining.config import read_config
from SynthFoundationLib.pretraining.data import stream
from SynthFoundationLib.pretraining.trainer import Trainer, open_fabric
config, out = read_config(sys.argv[1]), Path(sys.argv[2])
fabric = open_fabric("cpu", "32-true")
trainer = Trainer(config, out, fabric, quiet=True)
batches = stream(config, 0, fabric.global_rank, fabric.world_size, fabric.device)
seen = []
def watched():
    for batch in batches:
        seen.append(batch.views.double().sum().item())
        yield batch
values = trainer.advance(watched())
gradients = {k: p.grad for k, p in trainer.raw.named_parameters()}
torch.save({"gradients": gradients, "seen": seen}, out / f"rank{fabric.global_rank}.pt")
"""


def one_step(folder, processes, accumulate):
    folder.mkdir()
    script = folder / "step.py"
    script.write_text(STEP)
    config = write(folder, accumulate=accumulate)
    launch = [sys.executable]
    if processes > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    subprocess.run(
        [*launch, str(script), str(config), str(folder)],
        env=environment(),
        check=True,
        timeout=180,
        capture_output=True,
    )
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(processes)]


def test_two_processes_see_different_data_and_share_the_gradient_of_the_joint_batch(tmp_path):
    first, second = one_step(tmp_path / "two", 2, 1)
    (joint,) = one_step(tmp_path / "one", 1, 2)
    assert joint["seen"] == first["seen"] + second["seen"]
    assert first["seen"] != second["seen"]
    for name, gradient in joint["gradients"].items():
        assert torch.equal(first["gradients"][name], second["gradients"][name])
        torch.testing.assert_close(first["gradients"][name], gradient, rtol=1e-4, atol=1e-6)


def test_a_non_finite_step_is_skipped_and_counted(tmp_path):
    from SynthFoundationLib.pretraining.trainer import Trainer, open_fabric

    config = read_config(write(tmp_path))
    trainer = Trainer(config, tmp_path / "run", open_fabric("cpu", "32-true"), quiet=True)
    before = {k: v.clone() for k, v in trainer.raw.state_dict().items()}
    batch = make_batch(config, [0, 1])
    values = trainer.advance(iter([batch._replace(views=batch.views * math.nan)]))
    assert values["skipped"] == 1
    assert all(torch.equal(v, before[k]) for k, v in trainer.raw.state_dict().items())
    assert trainer.advance(iter([batch]))["skipped"] == 1
    assert not torch.equal(trainer.raw.net.model[0].weight, before["net.model.0.weight"])


def test_half_precision_gives_nearly_the_same_loss(tmp_path):
    from SynthFoundationLib.pretraining.trainer import Trainer, open_fabric

    config = read_config(write(tmp_path))
    batch = make_batch(config, [0, 1])
    totals = []
    for precision in ("32-true", "bf16-mixed"):
        trainer = Trainer(config, tmp_path / precision, open_fabric("cpu", precision), quiet=True)
        totals.append(trainer.advance(iter([batch]))["total"])
    assert totals[1] == pytest.approx(totals[0], rel=0.03)
    assert totals[1] != totals[0]


def test_training_lowers_the_loss_and_leaves_few_files(tmp_path):
    config = write(tmp_path, steps=40, workers=1)
    result = pretrain(config, tmp_path / "run", device="cpu", quiet=True)
    rows = losses(tmp_path / "run")
    mean = [sum(float(r["total"]) for r in part) / 8 for part in (rows[:8], rows[-8:])]
    assert mean[1] < mean[0] - 0.1
    assert result["skipped"] == 0
    kept = sorted(p.name for p in (tmp_path / "run").iterdir() if p.is_dir() and p.name != "tensorboard")
    assert kept == ["best", "step-0000036", "step-0000040"]
    network = load_network(tmp_path / "run" / "best")
    assert network(torch.rand(1, 1, 16, 16, 16)).shape == (1, 4, 16, 16, 16)
    facts = export(tmp_path / "run" / "best", tmp_path / "net.safetensors", calibration=4)
    shipped, _ = read_network(tmp_path / "net.safetensors")
    assert facts["sha256"] == sha256_of(tmp_path / "net.safetensors")
    assert shipped.config == network.config
    assert torch.allclose(shipped.model[0].weight, network.model[0].weight, atol=2e-3)


def test_calibration_gives_the_statistics_of_the_data():
    config = from_plain({"data": {"side": 16, "margin": 8, "pairs": 1}, "network": {"width": 4, "depth": 1}})
    network = UNet(config.network)
    calibrate(network, config, 3)
    inputs = [make_batch(config, [CALIBRATION_SEED + k]).views for k in range(3)]
    means = torch.stack([network.model[0](x).mean((0, 2, 3, 4)) for x in inputs]).mean(0)
    assert torch.allclose(network.model[1].running_mean, means, atol=1e-5)
    assert not network.training


def test_an_old_run_is_neither_overwritten_nor_continued_with_another_network(tmp_path):
    pretrain(write(tmp_path, steps=4), tmp_path / "run", device="cpu", quiet=True)
    with pytest.raises(InputError, match="already holds"):
        pretrain(write(tmp_path, steps=4), tmp_path / "run", device="cpu", quiet=True)
    with pytest.raises(InputError, match=r"another \[network\]"):
        pretrain(write(tmp_path, norm="instance"), tmp_path / "run", resume=True, device="cpu", quiet=True)


def test_a_finished_run_that_is_resumed_is_judged_by_the_losses_it_had(tmp_path):
    config = write(tmp_path, steps=4)
    whole = pretrain(config, tmp_path / "run", device="cpu", quiet=True)
    assert pretrain(config, tmp_path / "run", resume=True, device="cpu", quiet=True) == whole
    config.write_text(config.read_text().replace("steps = 4", "steps = 4\ntarget = 0.01"))
    with pytest.raises(SynthFoundationError, match="above the target"):
        pretrain(config, tmp_path / "run", resume=True, device="cpu", quiet=True)


def test_settings_that_change_on_resuming_are_remembered(tmp_path):
    config = write(tmp_path, steps=4)
    pretrain(config, tmp_path / "run", device="cpu", quiet=True)
    config.write_text(config.read_text().replace("steps = 4", "steps = 6").replace("1e-3", "5e-4"))
    pretrain(config, tmp_path / "run", resume=True, device="cpu", quiet=True)
    _, _, facts = load_checkpoint(tmp_path / "run" / "step-0000006")
    assert [stage["from_step"] for stage in facts["history"]] == [0, 4]
    assert [stage["config"]["optimiser"]["rate"] for stage in facts["history"]] == [1e-3, 5e-4]
    assert facts["history"][0]["engine"] >= 1


def test_the_validation_pairs_are_never_trained_on():
    config = from_plain({"data": {"pairs": 3}, "run": {"seed": 5}})
    seeds = [s for k in (0, 1, 10**6) for s in batch_seeds(config, k)]
    assert len(set(seeds)) == len(seeds)
    assert max(seeds) < 10**12
    with pytest.raises(InputError, match="seed is 1000; it must be 0 to 999"):
        from_plain({"run": {"seed": 1000}})


@pytest.mark.parametrize(
    "path", sorted((ROOT / "Resources" / "Configs").glob("*.toml")), ids=lambda p: p.stem
)
def test_shipped_configurations_are_valid(path):
    config = read_config(path)
    assert json.dumps(config.plain())
    ContrastiveModel(config.network, replace(config.loss, head_width=8))


@pytest.mark.parametrize(
    ("text", "message"),
    [("[nerves]\nx=1", "unknown table"), ("[data]\nsides=3", "unknown key"), ("[data\n", "malformed")],
)
def test_wrong_configurations_are_refused(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_config(path)


def test_a_side_the_network_cannot_halve_is_refused():
    with pytest.raises(InputError, match="multiple of 16"):
        from_plain({"data": {"side": 40}})


def test_the_rate_warms_up_stays_and_falls_to_zero():
    from SynthFoundationLib.pretraining.schedule import rate_at

    config = OptimiserConfig(rate=1.0, warmup=10, decay=0.5)
    rates = [rate_at(step, 100, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:50] == pytest.approx([1.0] * 41)
    assert rates[75] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.02)


@pytest.mark.slow
def test_the_smoke_configuration_reaches_its_stated_loss(tmp_path):
    result = pretrain(
        ROOT / "Resources" / "Configs" / "smoke.toml", tmp_path / "smoke", device="cpu", quiet=True
    )
    assert result["skipped"] == 0
    assert result["best"] > 0.05


def test_a_folder_belongs_to_one_training(tmp_path):
    with (
        output_folder(tmp_path / "run"),
        pytest.raises(InputError, match="another run is writing to run"),
    ):
        pretrain(write(tmp_path), tmp_path / "run", quiet=True)


def test_what_a_killed_run_left_is_put_right(tmp_path):
    for name in (".best.old", ".step-0000004.partial", ".step-0000008.old", "step-0000008"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "facts.json").write_text("{}")
    recover(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "step-0000008"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[optimiser]\nrate = -1.0", r"\[optimiser\] rate is -1.0; it must be greater than 0"),
        ('[data]\nside = "large"', r"\[data\] side is 'large'; it must be of the kind of 128"),
        ("[run]\nsteps = true", r"\[run\] steps is True"),
        ("[run]\nsave_every = 0", r"save_every is 0; it must be greater than 0"),
    ],
)
def test_impossible_values_of_a_configuration_are_named(tmp_path, text, told):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_config(path)


def test_configuration_must_be_text(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_config(path)


def test_a_training_goes_on_from_weights_of_the_same_network(tmp_path):
    first, later = write(tmp_path, steps=2, norm="instance"), tmp_path / "later.toml"
    pretrain(first, tmp_path / "first", device="cpu", quiet=True)
    weights = tmp_path / "first.safetensors"
    export(latest_checkpoint(tmp_path / "first"), weights, calibration=1)
    name = f'start = "{weights.as_posix()}"'
    later.write_text(first.read_text().replace("[run]", f"[run]\n{name}"))
    taken = Trainer(read_config(later), tmp_path / "later", open_fabric("cpu", "32-true"), quiet=True)
    expected = load_weights(weights).network.state_dict()
    assert all(torch.equal(taken.raw.net.state_dict()[key], value) for key, value in expected.items())
    later.write_text(later.read_text().replace("out_channels = 4", "out_channels = 8"))
    with pytest.raises(InputError, match="holds another"):
        Trainer(read_config(later), tmp_path / "other", open_fabric("cpu", "32-true"), quiet=True)
