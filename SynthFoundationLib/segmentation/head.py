"""A small network that tells labels apart by appearance and position, fitted while the user waits."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..features.tiling import preferred_dtype

HIDDEN = (64, 32)  # width of the layers between
BATCH = 512
RATE, DECAY = 0.015, 1e-3
RISE = 0.3  # share of the descent in which its rate rises
HIDE_INPUTS = 0.15  # share of them that each training voxel does without
BALANCE = 0.5  # 0 draws voxels as they come, 1 draws every label as often


class Head:
    """Labels 0 … n-1 of voxels described by (N, F) rows; goes on from its weights at each fit."""

    def __init__(self, features: int, labels: int, seed: int = 0) -> None:
        """Draw the first weights from `seed`."""
        self.generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList(
            nn.Linear(n_in, n_out) for n_in, n_out in pairwise((features, *HIDDEN, labels))
        )
        with torch.no_grad():
            for layer in self._linear:
                for parameter in layer.parameters():
                    bound = 1 / math.sqrt(layer.in_features)
                    parameter.uniform_(-bound, bound, generator=self.generator)
        self.shift, self.scale = torch.zeros(features), torch.ones(features)
        self.prior = torch.zeros(labels)

    @property
    def _linear(self) -> list[nn.Linear]:
        return cast("list[nn.Linear]", list(self.layers))

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> Head:
        """A head of that `state`."""
        head = cls(len(state["shift"]), len(state["prior"]))
        head.load(state)
        return head

    def copy(self) -> Head:
        """A head that is fitted on as this one would be, which stays as it is."""
        other = Head.of(self.state())
        other.generator.set_state(self.generator.get_state())
        return other

    def state(self) -> dict[str, Tensor]:
        """All that determines the answers."""
        own = {"shift": self.shift, "scale": self.scale, "prior": self.prior}
        return own | {name: value.detach().clone() for name, value in self.layers.state_dict().items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take the `state` of a head of the same size.

        Raises:
            InputError: it is of another one.
        """
        state, own = dict(state), self.state()
        if {n: v.shape for n, v in state.items()} != {n: v.shape for n, v in own.items()}:
            raise InputError(
                "the session was saved with other features, or by another version of this program; "
                "open it with the features and weights it was saved with"
            )
        self.shift, self.scale, self.prior = (state.pop(name) for name in ("shift", "scale", "prior"))
        self.layers.load_state_dict(state)

    @torch.enable_grad()
    def fit(self, rows: Callable[[Tensor], Tensor], labels: Tensor, steps: int, noise: Tensor) -> None:
        """Descend `steps` batches on voxels with labels (N,), rare ones drawn more often than they come.

        `rows` gives those (M, F) of the voxels of an index (M,); they are taken as (row − shift) · scale.
        `noise` (F,) is the standard deviation of what is added to each feature: how much it may differ in
        slices that nobody labelled.
        """
        counts = torch.bincount(labels, minlength=len(self.prior)).float()
        draws = counts.clamp_min(1).pow(-BALANCE)[labels].cumsum(0, dtype=torch.float64)
        points = torch.rand(steps, BATCH, generator=self.generator, dtype=torch.float64) * draws[-1]
        chosen = torch.searchsorted(draws, points).clamp_max_(len(labels) - 1)
        batches = self._disturbed(rows(chosen.flatten()), noise).unflatten(0, chosen.shape)
        descent = _Adam(list(self.layers.parameters()))
        for step, (batch, truth) in enumerate(zip(batches, labels[chosen], strict=True)):
            for layer in self.layers[:-1]:
                batch = layer(batch).relu()
            descent.step(F.cross_entropy(self.layers[-1](batch), truth), _rate((step + 0.5) / steps))
        self.prior = BALANCE * (counts.clamp_min(0.5) / counts.sum()).log()

    def _disturbed(self, rows: Tensor, noise: Tensor) -> Tensor:
        """Training rows as they might look in another slice, with some inputs hidden."""
        rows = rows.float().sub_(self.shift).mul_(self.scale)
        rows.addcmul_(torch.randn(rows.shape, generator=self.generator), noise)
        return rows.mul_(torch.rand(rows.shape, generator=self.generator) >= HIDE_INPUTS)

    def answers(self) -> Callable[[Tensor], Tensor]:
        """A function from rows (N, F) to log-probabilities (N, labels), the balance undone."""
        odds = self.odds(1.0, 1.0)
        return lambda rows: odds(rows).log_softmax(1)

    @torch.no_grad()
    def odds(self, trust: float, undone: float) -> Callable[[Tensor], Tensor]:
        """A function from rows (N, F) to log-odds (N, labels), to which any constant per row may be added.

        They are multiplied by `trust`; `undone` is how far rare labels become as rare again as they are.
        Rows may be bfloat16; where the processor only emulates it, they are multiplied as float32.
        """
        layers = self._linear
        first, last = layers[0], layers[-1]
        dtype = preferred_dtype(first.weight.device)
        weights = [first.weight * self.scale, *(layer.weight for layer in layers[1:])]
        biases = [first.bias - weights[0] @ self.shift, *(layer.bias for layer in layers[1:-1])]
        biases.append((last.bias + undone * self.prior) * trust)
        weights[-1] = weights[-1] * trust
        pairs = [(w.detach().to(dtype), b.detach().to(dtype)) for w, b in zip(weights, biases, strict=True)]

        def answer(rows: Tensor) -> Tensor:
            rows = rows.to(dtype)
            for weight, bias in pairs[:-1]:
                rows = F.linear(rows, weight, bias).relu_()
            return F.linear(rows, *pairs[-1]).float()

        return answer


class _Adam:
    """Adam with decoupled weight decay (Loshchilov & Hutter, ICLR 2019).

    As in torch.optim, whose first use imports torch's compiler: that takes longer than the whole fit.
    """

    MEAN, SQUARE, LEAST = 0.9, 0.999, 1e-8

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters, self.steps = parameters, 0
        self.mean = torch.zeros(sum(parameter.numel() for parameter in parameters))
        self.square = torch.zeros_like(self.mean)

    def step(self, loss: Tensor, rate: float) -> None:
        gradients = torch.autograd.grad(loss, self.parameters)
        gradient = torch.cat([part.flatten() for part in gradients])
        self.steps += 1
        self.mean.lerp_(gradient, 1 - self.MEAN)
        self.square.mul_(self.SQUARE).addcmul_(gradient, gradient, value=1 - self.SQUARE)
        spread = (self.square / (1 - self.SQUARE**self.steps)).sqrt_().add_(self.LEAST)
        change = (self.mean / spread).mul_(rate / (1 - self.MEAN**self.steps))
        parts = change.split([part.numel() for part in gradients])
        with torch.no_grad():
            for parameter, part in zip(self.parameters, parts, strict=True):
                parameter.mul_(1 - rate * DECAY).sub_(part.view_as(parameter))


def _rate(share: float) -> float:
    """Learning rate at a share of the descent: one cycle (Smith & Topin, 2019)."""
    to_peak = share / RISE if share < RISE else 1 - (share - RISE) / (1 - RISE)
    return RATE * (1 - math.cos(math.pi * to_peak)) / 2
