"""What a training tells: one CSV row and TensorBoard scalars per step, a line on the terminal, pictures."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

from SynthFoundationLib.files import replacing


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def past_losses(folder: Path, step: int) -> list[float]:
    """The losses of the steps before this one, as an earlier run wrote them down."""
    table = folder / "losses.csv"
    if not table.exists():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        return [float(row["total"]) for row in csv.DictReader(file) if int(row["step"]) < step]


class Journal:
    """Writes `losses.csv`, `validation.jsonl` and, when TensorBoard is installed, its event file."""

    def __init__(self, folder: Path, step: int, quiet: bool = False) -> None:
        """Continue at a step: rows that an interrupted run wrote after its last checkpoint are dropped."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.quiet = folder, quiet
        self.table = folder / "losses.csv"
        self.names = self._cut(step)
        self._cut_validation(step)
        self.started, self.first = time.monotonic(), step
        self.board = self._open_board(step)

    def _cut(self, step: int) -> list[str]:
        if not self.table.exists() or step == 0:
            self.table.unlink(missing_ok=True)
            return []
        with self.table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        kept = rows[:1] + [row for row in rows[1:] if len(row) == len(rows[0]) and int(row[0]) < step]
        with replacing(self.table) as beside, beside.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(kept)
        return rows[0] if rows else []

    def _cut_validation(self, step: int) -> None:
        path = self.folder / "validation.jsonl"
        if path.exists():
            lines = [
                line
                for line in path.read_text(encoding="utf-8").splitlines()
                if json.loads(line)["step"] <= step
            ]
            with replacing(path) as beside:
                beside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def _open_board(self, step: int) -> Any:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return None
        return SummaryWriter(str(self.folder / "tensorboard"), purge_step=step)

    def row(self, step: int, steps: int, values: dict[str, float]) -> None:
        """Record one step and, once in a while, say where the training is and how long it will take."""
        if not self.names:
            self.names = ["step", *values]
            with self.table.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(self.names)
        with self.table.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([step, *(repr(values[name]) for name in self.names[1:])])
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(name.replace("_", "/", 1), value, step)
        if not self.quiet and ((step + 1) % 20 == 0 or step == self.first):
            pace = (time.monotonic() - self.started) / (step + 1 - self.first)
            print(
                f"step {step + 1}/{steps}  loss {values['total']:.4f}  place {values.get('place', 0):.4f}  "
                f"rate {values['rate']:.2e}  gradient {values['gradient']:.2f}  {pace:.2f} s/step  "
                f"waited {100 * values['wait'] / max(values['seconds'], 1e-9):.0f} %  "
                f"left {clock(pace * (steps - step - 1))}",
                flush=True,
            )

    def validation(self, step: int, values: dict[str, float]) -> None:
        """Record a validation."""
        with (self.folder / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"validation/{name}", value, step)
        if not self.quiet:
            print(
                f"validation at {step}: " + "  ".join(f"{k} {v:.4f}" for k, v in values.items()), flush=True
            )

    def close(self) -> None:
        """Flush the event file."""
        if self.board:
            self.board.close()
