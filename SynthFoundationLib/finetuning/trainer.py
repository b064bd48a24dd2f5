"""The training loop: as long as the budget lasts, the best network kept, resumable at any time."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..errors import Cancelled
from .network import SegmentationNet
from .patches import Case, draw
from .plan import Plan
from .prediction import class_scores

RATE, DECAY, WARM_UP = 3e-3, 1e-2, 20
KEEPING = 0.33  # share of the rate at which a pretrained trunk learns, lest it forgets before heads know it
BATCH = 2
AVERAGE = 0.99  # the network that is kept is a moving average of the weights
CHECKS = 10  # validations in a budget
CHECK_SHARE = 0.15  # of the time may be spent on them
PATIENCE = 0.4  # of the budget in which validations got no better, after which training ends
SAVE_SECONDS = 60.0
NOTHING = {"step": 0, "elapsed": 0.0}

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Budget:
    """When training ends: after so many seconds, or steps where these are given."""

    seconds: float
    steps: int | None = None

    def used(self, elapsed: float, step: int) -> float:
        """The fraction that is used up."""
        return step / self.steps if self.steps else elapsed / self.seconds


@dataclass(eq=False)
class State:
    """Where a training stands.

    Attributes:
        step, elapsed: steps and seconds so far.
        history: one row per validation: step, seconds so far, mean Dice.
        best: the highest validation, or −1.
    """

    step: int = 0
    elapsed: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: float = -1.0


class Trainer:
    """Fits a `SegmentationNet` to cases."""

    def __init__(
        self,
        network: SegmentationNet,
        plan: Plan,
        cases: Sequence[Case],
        held_out: Sequence[Case],
        device: torch.device,
        seed: int = 0,
        pretrained: bool = False,
    ) -> None:
        """Take a network, pretrained or not, cases to learn from, and cases to validate on (may be none)."""
        self.network, self.plan, self.cases, self.held_out = network.to(device), plan, cases, held_out
        self.device, self.seed, self.state = device, seed, State()
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self.best = copy.deepcopy(self.average)
        trunk: list[nn.Parameter] = []
        heads: list[nn.Parameter] = []
        for name, parameter in network.named_parameters():
            (trunk if name.startswith("trunk.") else heads).append(parameter)
        groups = [{"params": trunk, "pace": KEEPING if pretrained else 1.0}, {"params": heads, "pace": 1.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=RATE, weight_decay=DECAY)
        self.loss = _loss()

    def start_average(self) -> None:
        """Let the averaged network start where the network is now."""
        self.average.load_state_dict(self.network.state_dict())
        self.best.load_state_dict(self.network.state_dict())

    def run(self, budget: Budget, save: Callable[[], None], progress: Progress) -> None:
        """Train until the budget is used up or nothing gets better; `save` is called now and then.

        Interrupted, it saves before it stops.
        """
        began, before = time.monotonic(), self.state.elapsed
        saved, checked = began, 0.0
        try:
            while (used := budget.used(self.state.elapsed, self.state.step)) < 1 and not self._stuck(budget):
                loss = self._advance(used)
                progress(f"step {self.state.step}, loss {loss:.3f}{self._told()}", used)
                self.state.elapsed = before + time.monotonic() - began
                if self.held_out and self._due(budget, checked):
                    start = time.monotonic()
                    self._validate()
                    checked += time.monotonic() - start
                self.state.elapsed = before + time.monotonic() - began
                if time.monotonic() - saved > SAVE_SECONDS:
                    save()
                    saved = time.monotonic()
            if self.held_out and (not self.state.history or self.state.history[-1]["step"] < self.state.step):
                self._validate()
        except (KeyboardInterrupt, SystemExit, Cancelled):
            save()
            raise
        save()

    @property
    def kept(self) -> SegmentationNet:
        """The network to use: the one that validated best, or the last where none was validated."""
        return self.best if self.state.history else self.average

    def tensors(self) -> dict[str, Tensor]:
        """All from which training goes on, besides `state`."""
        result = {f"net.{k}": v for k, v in self.network.state_dict().items()}
        result |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            result |= {f"adam.{number}.{name}": value.clone() for name, value in state.items()}
        return result

    def resume(self, tensors: dict[str, Tensor], kept: dict[str, Tensor], state: State) -> None:
        """Go on from the `tensors` and `state` of another trainer of the same network."""
        parts: dict[str, dict[str, Tensor]] = {"net": {}, "average": {}, "adam": {}}
        for key, value in tensors.items():
            part, name = key.split(".", 1)
            parts[part][name] = value
        self.network.load_state_dict(parts["net"])
        self.average.load_state_dict(parts["average"])
        self.best.load_state_dict(kept)
        adam: dict[int, dict[str, Tensor]] = {}
        for key, value in parts["adam"].items():
            number, name = key.split(".", 1)
            adam.setdefault(int(number), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": adam, "param_groups": groups})
        self.state = state

    def _advance(self, used: float) -> float:
        """One step on a batch that the seed and the number of the step determine; its loss."""
        rng = random.Random(f"{self.seed} {self.state.step}")
        torch.manual_seed(rng.randrange(2**31))
        drawn = [draw(self.cases, self.plan.patch, rng) for _ in range(BATCH)]
        volumes, classes = (torch.stack(part).to(self.device) for part in zip(*drawn, strict=True))
        rate = RATE * min(1.0, (self.state.step + 1) / WARM_UP) * max(0.0, 1 - used) ** 0.9
        for group in self.optimiser.param_groups:
            group["lr"] = group["pace"] * rate
        before = [buffer.clone() for buffer in self.network.buffers()]
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss(self.network(volumes), classes.float())
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
            self._follow()
        else:
            for buffer, old in zip(self.network.buffers(), before, strict=True):
                buffer.copy_(old)  # running statistics saw the bad batch
        self.state.step += 1
        return float(loss.detach())

    @torch.no_grad()
    def _follow(self) -> None:
        done = self.state.step + 1
        decay = min(AVERAGE, done / (done + 10))
        pairs = zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True)
        for slow, fast in pairs:
            if slow.is_floating_point():
                slow.lerp_(fast, 1 - decay)
            else:
                slow.copy_(fast)

    def _due(self, budget: Budget, checked: float) -> bool:
        cheap = budget.steps is not None or checked <= CHECK_SHARE * self.state.elapsed
        history = self.state.history
        return cheap and self._since(budget, history[-1] if history else NOTHING) >= 1 / CHECKS

    def _since(self, budget: Budget, row: Mapping[str, float]) -> float:
        """The share of the budget that was used since a validation."""
        return _between(budget, row, {"step": self.state.step, "elapsed": self.state.elapsed})

    @torch.no_grad()
    def _validate(self) -> None:
        score = mean_dice(self.average, self.held_out, self.plan, self.device)
        elapsed, dice = round(self.state.elapsed, 3), round(score, 4)
        self.state.history.append({"step": self.state.step, "elapsed": elapsed, "dice": dice})
        if score > self.state.best or self.state.best <= 0:  # while nothing is found, the newest knows most
            self.state.best = score
            self.best.load_state_dict(self.average.state_dict())

    def _stuck(self, budget: Budget) -> bool:
        """Whether validations long after the best were worse; while nothing is found at all, it goes on."""
        history = self.state.history
        best = max(history, key=lambda row: row["dice"], default=NOTHING | {"dice": 0.0})
        return best["dice"] > 0 and _between(budget, best, history[-1]) > PATIENCE

    def _told(self) -> str:
        return f", best Dice {self.state.best:.3f}" if self.state.history else ""


def _between(budget: Budget, one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The share of the budget that was used from one validation to another."""
    return budget.used(other["elapsed"] - one["elapsed"], int(other["step"] - one["step"]))


def _loss() -> Callable[[list[Tensor], Tensor], Tensor]:
    """Dice and cross-entropy at every level of the decoder, the finest counting most."""
    from monai.losses import DeepSupervisionLoss, DiceCELoss

    return DeepSupervisionLoss(
        DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    )


def mean_dice(network: SegmentationNet, cases: Sequence[Case], plan: Plan, device: torch.device) -> float:
    """Mean over cases and the labels in them; not a number where there are none."""
    dice = []
    for case in cases:
        found = class_scores(network, case.volume, plan.patch, device).argmax(0).cpu()
        common = case.classes[found == case.classes]
        agreed, ours, theirs = (
            torch.bincount(one.flatten(), minlength=len(plan.values))[1:]
            for one in (common, found, case.classes)
        )
        dice.append((2 * agreed / (ours + theirs))[theirs > 0].mean())
    return float(torch.stack(dice).nanmean())
