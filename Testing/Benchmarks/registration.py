"""Registration: TRE, Dice, folds, seconds and memory on pairs with a known truth.

Usage: python Testing/Benchmarks/registration.py PAIRS -o OUT [--features mind] [--peer identity] …

PAIRS is a folder of pair folders (fixed.nii.gz, moving.nii.gz, info.json and either points.npz or
fixed_seg.nii.gz and moving_seg.nii.gz), or a Learn2Reg dataset: its folder or its NAME_dataset.json.
info.json: {"kind": "known"} for points x → y in LPS mm, {"kind": "dice", "labels": [1, 2]} for label maps.

OUT gets results.jsonl, one line per pair as soon as it is done, then results.md, .csv and .png. Started
again, it keeps what the same code reached with the same settings. Seconds are from reading the images to the
transform. Numbers of folds and of log-Jacobians are central differences on the fixed voxels inside the body.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import SimpleITK as sitk
import torch
from datasets import SPLITS, Pair, find_pairs
from scoring import bright, carried, deformation, dice, moving_positions, target_registration_error
from tables import markdown, write_csv, write_plot

import SynthFoundationLib
from SynthFoundationLib.errors import SynthFoundationError
from SynthFoundationLib.features.extract import Backend
from SynthFoundationLib.files import output_folder, replacing
from SynthFoundationLib.geometry import Affine, Transform
from SynthFoundationLib.images import read_image
from SynthFoundationLib.registration import PRESETS, Settings, register
from SynthFoundationLib.registration.quality import peak_memory_mb, versions

Method = Callable[[Pair], Transform]
CODE = (".py", ".json", ".safetensors")
PEERS: dict[str, Method] = {"identity": lambda pair: Affine()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 1 if a pair failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    if options.threads:
        torch.set_num_threads(options.threads)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    try:
        pairs = find_pairs(options.pairs, options.split, options.only, options.limit)
        with output_folder(options.output) as folder:
            rows = _run(pairs, options, folder / "results.jsonl")
            header = _header(given, options)
            with replacing(folder / "results.md") as beside:
                beside.write_text(markdown(rows, header), encoding="utf-8")
            write_csv(rows, folder / "results.csv")
            write_plot(rows, folder / "results.png")
    except SynthFoundationError as error:
        sys.exit(f"error: {error}")
    print((folder / "results.md").read_text(encoding="utf-8").split("\n## ")[1])
    return int(any("error" in row for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = _names("beginnings of the names of the pairs to score, with commas: A,D")
    parser.add_argument("pairs", type=Path, metavar="PAIRS")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for results")
    parser.add_argument("--features", choices=get_args(Backend), default="mind", help="default: mind")
    parser.add_argument("--weights", help="id or file of learned features")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--masks", action="store_true", help="compare the images inside their masks only")
    parser.add_argument("--only", default=(), **names)
    parser.add_argument("--limit", type=int, metavar="N", help="the first N pairs of each group")
    splits = _names(f"lists of a Learn2Reg dataset: {','.join(SPLITS)}; default: val,test")
    parser.add_argument("--split", default=("val", "test"), **splits)
    parser.add_argument("--peer", choices=sorted(PEERS), action="append", default=[], help="score this too")
    return parser


def _names(text: str) -> dict[str, Any]:
    return {"type": lambda names: tuple(names.split(",")), "metavar": "NAMES", "help": text}


def _run(pairs: Sequence[Pair], options: argparse.Namespace, path: Path) -> list[dict[str, Any]]:
    """Rows of all pairs and methods; those that are not in the file yet are computed and added to it."""
    settings = _settings(options)
    known = {(row["pair"], row["method"], row["settings"]): row for row in _read(path) if "error" not in row}
    rows = []
    with path.open("a", encoding="utf-8") as file:
        for pair in pairs:
            for name, (method, fingerprint) in _methods(options, settings).items():
                row = known.get((pair.name, name, fingerprint))
                if row is None:
                    row = {"group": pair.group, "pair": pair.name, "method": name, "settings": fingerprint}
                    row |= _attempt(pair, method)
                    print(json.dumps(row), file=file, flush=True)
                print(_line(row), flush=True)
                rows.append(row)
    return rows


def _methods(options: argparse.Namespace, settings: dict[str, Any]) -> dict[str, tuple[Method, str]]:
    """Name → what finds the transform, and a fingerprint of all that its result depends on."""

    def ours(pair: Pair) -> Transform:
        masks: dict[str, Any] = {}
        if options.masks:
            if pair.masks is None:
                raise SynthFoundationError(f"{pair.name} has no masks; leave out --masks")
            images = read_image(pair.fixed).grid, read_image(pair.moving).grid
            masks = dict(zip(("fixed_mask", "moving_mask"), pair.read_maps(pair.masks, images), strict=True))
        return register(
            pair.fixed,
            pair.moving,
            preset=options.preset,
            features=options.features,
            weights=options.weights,
            device=options.device,
            **masks,
        ).transform

    named = {f"{options.features}, {options.preset}": (ours, _fingerprint(settings))}
    return {name: (PEERS[name], "") for name in options.peer} | named


def _attempt(pair: Pair, method: Method) -> dict[str, Any]:
    """The scores of one method on one pair, or why there are none."""
    try:
        _forget_peak_memory()
        start = time.perf_counter()
        transform = method(pair)
        spent = {"seconds": round(time.perf_counter() - start, 2), "peak_memory_mb": _peak_memory()}
        return _score(pair, transform) | spent
    except Exception as error:  # one bad pair must not end a run of hours
        without_folders = re.sub(r"(?<![^\s:'\"(])(?:[A-Za-z]:)?(?:[/\\][^/\\\s:'\"]+)+[/\\]", "", str(error))
        return {"error": f"{type(error).__name__}: {without_folders[:300]}"}


def _score(pair: Pair, transform: Transform) -> dict[str, Any]:
    fixed = read_image(pair.fixed)
    grids = fixed.grid, read_image(pair.moving).grid
    positions = moving_positions(transform, fixed.grid)
    scores: dict[str, Any] = deformation(positions, fixed.grid, bright(fixed))
    if pair.points:
        scores |= target_registration_error(transform, *pair.read_points(grids))
    if pair.labels:
        truth, moving = pair.read_maps(pair.labels, grids)
        if not truth.grid.same_space(fixed.grid):
            positions = moving_positions(transform, truth.grid)
        both = sorted(set(truth.values) & set(moving.values))
        labels = both if pair.label_values is None else pair.label_values
        if not labels:
            raise SynthFoundationError(f"{pair.name}: the two label maps have no label in common")
        each = dice(carried(moving, positions), truth.data.numpy(), labels)
        scores |= {"dice": sum(each.values()) / len(each)}
        scores["dice_of"] = {str(label): round(value, 4) for label, value in each.items()}
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in scores.items()}


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    names = ("features", "weights", "preset", "device", "masks")
    weights = Path(options.weights or "")
    return {
        **{name: getattr(options, name) for name in names},
        "threads": torch.get_num_threads(),
        "parameters": Settings.preset(options.preset).as_dict(),
        "versions": versions(),
        "code": _code(),
        "content": _digest([weights]) if weights.is_file() else "",
    }


@cache
def _code() -> str:
    """Digest of the library with what it brings, as this process has it."""
    library = Path(SynthFoundationLib.__file__).parent
    return _digest(sorted(file for file in library.rglob("*") if file.suffix in CODE and file.is_file()))


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _fingerprint(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def _read(path: Path) -> list[dict[str, Any]]:
    """Rows of an earlier run; a line that it was killed in is taken out of the file."""
    if not path.exists():
        return []
    rows, lines = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
            lines.append(line + "\n")
        except json.JSONDecodeError:
            continue
    with replacing(path) as beside:
        beside.write_text("".join(lines), encoding="utf-8")
    return rows


def _header(given: Sequence[str], options: argparse.Namespace) -> list[str]:
    """The command, with files and folders by their names only, and what it ran on."""
    command = shlex.join(["python", "Testing/Benchmarks/registration.py", *map(_without_folder, given)])
    machine = f"{torch.get_num_threads()} threads on {os.cpu_count()} CPU cores, device {options.device}"
    software = ", ".join(f"{name} {version}" for name, version in versions().items())
    return [
        f"    {command}",
        f"Preset {options.preset}, features {options.features}, weights "
        f"{Path(options.weights).name if options.weights else 'none given'}; {machine}; {software}.",
        "Dice and TRE are means over labels and points; folds and log-Jacobians are central "
        "differences on the fixed voxels inside the body; seconds include reading the images.",
    ]


def _without_folder(argument: str) -> str:
    option, equals, value = argument.rpartition("=")
    return option + equals + (Path(value).name or value)


def _line(row: dict[str, Any]) -> str:
    told = ("error",) if "error" in row else ("dice", "tre_mm", "folds_percent", "seconds")
    return "  ".join([row["pair"], row["method"], *(f"{key} {row[key]}" for key in told if key in row)])


def _forget_peak_memory() -> None:
    """Let the peak start anew where the system can (Linux); elsewhere it is that of the whole run."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory() -> float | None:
    """Largest memory held since then, in MB."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return peak_memory_mb()
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return round(int(found[1]) / 1024, 1) if found else peak_memory_mb()


if __name__ == "__main__":
    sys.exit(main())
