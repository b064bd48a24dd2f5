"""What each choice of the pretraining is worth: variants of the smoke training, on the same fresh pairs.

python Testing/Benchmarks/pretraining_ablation.py [--steps 300] [--pairs 32] [--only NAME …]

Every variant takes one to three minutes of one core. Writes `pretraining_ablation.md` beside this file.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from SynthFoundationLib.pretraining.config import PretrainConfig, from_plain, read_config
from SynthFoundationLib.pretraining.trainer import Trainer, open_fabric
from SynthFoundationLib.pretraining.validate import validate

ROOT = Path(__file__).parents[2]
VARIANTS: dict[str, dict[str, dict[str, object]]] = {
    "smoke": {},
    "MIND-SSC as input": {"network": {"in_channels": 12}},
    "batch norm": {"network": {"norm": "batch", "norm_eps": 1e-5}},
    "label loss alone": {"loss": {"place_weight": 0.0}},
    "place loss alone": {"loss": {"label_weight": 0.0}},
    "place temperature 0.15": {"loss": {"place_temperature": 0.15}},
    "average pooling, trilinear": {"network": {"pool": "average", "upsample": "trilinear"}},
    "twice the rate": {"optimiser": {"rate": 6e-3}},
}


def varied(
    base: PretrainConfig, changes: dict[str, dict[str, object]], steps: int, pairs: int
) -> PretrainConfig:
    tables = base.plain()
    for name, values in changes.items():
        tables[name].update(values)
    run = {
        "steps": steps,
        "validate_every": steps,
        "save_every": steps,
        "validation_pairs": pairs,
        "target": 0.0,
    }
    tables["run"].update(run)
    return from_plain(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    base = read_config(ROOT / "Resources" / "Configs" / "smoke.toml")
    rows = {}
    for name in options.only:
        config = varied(base, VARIANTS[name], options.steps, options.pairs)
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(config, Path(folder) / "run", open_fabric("cpu", "32-true"), quiet=True)
            trainer.run()
            rows[name] = validate(config, trainer.average, torch.device("cpu"))
        print(name, rows[name], flush=True)
    config = varied(base, {"network": {"in_channels": 12}}, 1, options.pairs)
    pooled = torch.nn.AvgPool3d(config.network.stem)
    rows["MIND-SSC itself"] = validate(config, pooled, torch.device("cpu"))
    lines = [f"# Choices of the pretraining after {options.steps} steps of the smoke configuration", ""]
    lines += [
        f"Retrieval on {options.pairs} synthetic pairs, both views through windows of their own; a voxel is"
    ]
    lines += ["1 mm. Written by `pretraining_ablation.py`.", ""]
    lines += ["| variant | within 5 mm | median mm | local mm | by chance |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        values = f"{row['within']:.3f} | {row['median_mm']:.1f} | {row['local_mm']:.2f} | {row['chance']:.3f}"
        lines.append(f"| {name} | {values} |")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
