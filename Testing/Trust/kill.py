"""Kill runs at random moments and look at what they leave.

    python Testing/Trust/kill.py OUT.md [--times 50] [--seed 0] [--verbs register segment …]

So many runs of each verb are ended by SIGKILL and as many by SIGTERM. After each, files in the folder of
results are those of the run before or of this one, byte for byte; a report means that all of them are of one
run; a model can be loaded and has forgotten no step; nothing of the run's process group lives on. A run that
then goes on to the end leaves no unfinished file, and a training that was killed again and again ends with
the same bits as one that was not. A worker that is killed is replaced, and leaves no file to anybody.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from killing import Killer, Tally, completed, hashes, leftovers, mixed
from scans import make_scan, make_seeds

from SynthFoundationLib.features.unet import UNetConfig
from SynthFoundationLib.files import replacing
from SynthFoundationLib.finetuning import Segmenter, finetune
from SynthFoundationLib.finetuning.model import training_tensors
from SynthFoundationLib.geometry import Affine, Grid, write_transform
from SynthFoundationLib.images import LabelMap, write_image, write_labels
from SynthFoundationLib.worker.client import WorkerClient, WorkerError

SIZE = (24, 20, 16)
LAST = "step-0000024"
TRAINING = """
[data]
side = 16
margin = 8
pairs = 1
workers = 1
[network]
width = 4
depth = 1
stem = 1
norm = "instance"
norm_eps = 1e-3
[loss]
anchors = 16
head_width = 8
place_anchors = 16
place_neighbours = 4
[run]
steps = 24
threads = 1
save_every = 2
validate_every = 12
validation_pairs = 1
"""


def main() -> None:
    """Kill and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--times", type=int, default=50, help="with each of the two signals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", nargs="+", default=list(VERBS), choices=list(VERBS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        f"{options.times} runs each with SIGKILL and SIGTERM, seed {options.seed}, "
        f"{platform.system()} {platform.machine()}",
        "",
        "| run | SIGKILL | SIGTERM | ended before | faults |",
        "|---|---:|---:|---:|---|",
    ]
    for verb in options.verbs:
        with tempfile.TemporaryDirectory() as folder:
            killer = Killer(Path(folder), options.times, random.Random(options.seed))
            tally = VERBS[verb](killer)
        cell = "; ".join(sorted(set(tally.faults))) or "none"
        lines.append(
            f"| {verb} | {tally.killed} | {tally.ended} | "
            f"{2 * options.times - tally.killed - tally.ended} | {cell} |"
        )
        print(lines[-1], flush=True)
        with replacing(options.output) as beside:
            beside.write_text("\n".join(lines) + "\n", encoding="utf-8")


def kill_register(killer: Killer) -> Tally:
    """Over the results of another registration."""
    folder = killer.folder
    for name, contrast in {"fixed": 0, "moving": 1, "other": 2}.items():
        write_image(make_scan(SIZE, contrast, 6.0 * contrast), folder / f"{name}.nii.gz")
    write_transform(Affine(np.eye(4)), folder / "start.tfm")  # to search for one would be most of the time
    options = ["-o", "out", "--preset", "fast", "--features", "mind", "--initial-transform", "start.tfm"]
    before = ["register", "fixed.nii.gz", "other.nii.gz", *options]
    return _over_another(killer, before, ["register", "fixed.nii.gz", "moving.nii.gz", *options])


def kill_segment(killer: Killer) -> Tally:
    """Over the label map of another segmentation."""
    folder = killer.folder
    (folder / "out").mkdir()
    write_image(make_scan(SIZE), folder / "scan.nii.gz")
    for name, slices in {"few": 2, "more": 4}.items():
        write_labels(make_seeds(SIZE, slices), folder / f"{name}.nii.gz")
    options = ["-o", "out/labels.nii.gz", "--confidence", "out/sure.nii.gz", "--features", "none"]
    before = ["segment", "scan.nii.gz", "few.nii.gz", *options]
    return _over_another(killer, before, ["segment", "scan.nii.gz", "more.nii.gz", *options])


def kill_predict(killer: Killer) -> Tally:
    """A batch of files, over the label maps of another model."""
    folder = killer.folder
    (folder / "images").mkdir()
    for number in range(4):
        write_image(make_scan(SIZE, number), folder / "images" / f"case{number}.nii.gz")
    for seed, name in enumerate(("first", "second")):
        _train(folder / f"{name}.safetensors", seed)
    before = ["predict", "first.safetensors", "images", "-o", "out"]
    return _over_another(killer, before, ["predict", "second.safetensors", "images", "-o", "out"])


def kill_finetune(killer: Killer) -> Tally:
    """A training that goes on with a model."""
    folder = killer.folder
    for part in ("images", "labels", "out"):
        (folder / part).mkdir()
    write_image(make_scan(SIZE), folder / "images" / "case.nii.gz")
    write_labels(_labels(0), folder / "labels" / "case.nii.gz")
    model = folder / "out" / "model.safetensors"
    _train(folder / "before.safetensors", 0)
    steps = Segmenter.load(folder / "before.safetensors").about["state"]["step"]
    command = ["finetune", "--images", "images", "--labels", "labels", "-o", "out/model.safetensors"]
    command += ["--resume", "--budget", "0.05"]

    def look() -> Iterator[str]:
        try:
            found = Segmenter.load(model)
            training_tensors(model)
        except Exception as error:
            yield f"the model cannot be loaded: {type(error).__name__}"
        else:
            if found.about["state"]["step"] < steps:
                yield "the model has forgotten steps"

    shutil.copy(folder / "before.safetensors", model)
    seconds = killer.timed(command)
    killer.kill(command, seconds, lambda: shutil.copy(folder / "before.safetensors", model), look)
    completed(folder, command)
    killer.tally.faults += leftovers(folder)
    return killer.tally


def kill_pretrain(killer: Killer) -> Tally:
    """A training, which goes on from what the killed run left."""
    folder = killer.folder
    (folder / "tiny.toml").write_text(TRAINING)
    start = time.monotonic()
    completed(folder, ["pretrain", "-c", "tiny.toml", "-o", "whole"])
    seconds = time.monotonic() - start
    wanted = hashes(folder / "whole" / LAST)["weights.safetensors"]
    command = ["pretrain", "-c", "tiny.toml", "-o", "out", "--resume"]
    last = folder / "out" / LAST

    def look() -> Iterator[str]:
        if last.exists() or killer.left == 0:
            completed(folder, command)
            if hashes(last)["weights.safetensors"] != wanted:
                yield "the resumed training ended with other weights"
            yield from leftovers(folder)
            shutil.rmtree(folder / "out")

    killer.kill(command, seconds, lambda: None, look)
    return killer.tally


def kill_worker(killer: Killer) -> Tally:
    """A worker at any moment of sending, registering and segmenting."""
    with WorkerClient(sys.executable, killer.folder, {"OMP_NUM_THREADS": "1"}) as client:
        _work(client)
        start = time.monotonic()
        _work(client)
        usual = time.monotonic() - start
        for number in range(2 * killer.times):
            gently = number % 2 == 1
            _ready(client)
            pid = client.pid or 0
            after = 1.5 * usual * killer.rng.random()
            executioner = threading.Timer(after, os.kill, (pid, signal.SIGTERM if gently else signal.SIGKILL))
            executioner.start()
            killer.tally.count(gently)
            killer.tally.faults += _worked_until_dead(client)
            executioner.join()
            if Path(f"/proc/{pid}").exists():
                killer.tally.faults.append("a worker lived on")
            files = [path for path in killer.folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
            killer.tally.faults += [f"{path.suffix} is left" for path in files]
    killer.tally.faults += [f"{path.name} is left" for path in killer.folder.iterdir()]
    return killer.tally


VERBS: dict[str, Callable[[Killer], Tally]] = {
    "register": kill_register,
    "segment": kill_segment,
    "predict": kill_predict,
    "finetune": kill_finetune,
    "pretrain": kill_pretrain,
    "worker": kill_worker,
}


def _over_another(killer: Killer, other: list[str], command: list[str]) -> Tally:
    """Kill a run that writes to `out`, where another one has written before."""
    folder = killer.folder
    completed(folder, other)
    shutil.copytree(folder / "out", folder / "before")
    before = hashes(folder / "before")
    seconds = killer.timed(command)
    after = hashes(folder / "out")

    def reset() -> None:
        shutil.rmtree(folder / "out")
        shutil.copytree(folder / "before", folder / "out")

    killer.kill(command, seconds, reset, lambda: mixed(hashes(folder / "out"), before, after))
    completed(folder, command)
    killer.tally.faults += leftovers(folder)
    return killer.tally


def _labels(contrast: int) -> LabelMap:
    data = make_scan(SIZE, contrast).data[0]
    return LabelMap((data > 250).int(), make_seeds(SIZE).grid)


def _train(path: Path, seed: int) -> None:
    tiny = UNetConfig(width=4, depth=1, norm="instance")
    case = (make_scan(SIZE), _labels(0))
    finetune([case], path, "scratch", architecture=tiny, steps=2, seed=seed)


def _ready(client: WorkerClient) -> None:
    client.start()
    end = time.monotonic() + 120
    while not client.hello and time.monotonic() < end:
        client.poll()
        time.sleep(0.01)


def _worked_until_dead(client: WorkerClient) -> list[str]:
    while True:
        try:
            _work(client)
        except WorkerError as error:
            return [] if error.kind == "died" else [f"a request ended with {error.kind}"]


def _work(client: WorkerClient) -> None:
    """The requests of a short session."""
    for key, contrast in {"fixed": 0, "moving": 1}.items():
        scan = make_scan(SIZE, contrast, 6.0 * contrast)
        client.call("put_volume", {"key": key, "array": scan.data[0].numpy(), "grid": _plain(scan.grid)})
    pair = {"session": "a", "fixed": "fixed", "moving": "moving"}
    client.call("register", pair | {"preset": "fast", "features": "mind", "initial": np.eye(4).tolist()})
    client.call("segment_open", {"session": "a", "volume": "fixed", "features": "none"})
    client.call("segment_update", {"session": "a", "seeds": make_seeds(SIZE).data.numpy().astype(np.uint8)})


def _plain(grid: Grid) -> dict[str, list[float]]:
    return {name: list(getattr(grid, name)) for name in ("size", "spacing", "origin", "direction")}


if __name__ == "__main__":
    main()
