"""Computations stopped between two operations of torch leave torch as it was."""

import pytest
import torch

from SynthFoundationLib.errors import Cancelled
from SynthFoundationLib.worker.interruptible import Interruptible


@pytest.mark.parametrize("operations", range(5))
def test_wherever_it_stops_gradients_are_switched_back(operations):
    calls = []

    def check():
        calls.append(1)
        if len(calls) > operations:
            raise Cancelled("stopped")

    def work():
        with Interruptible(check):
            for _ in range(3):
                with torch.no_grad():
                    torch.zeros(1) + 1

    with pytest.raises(Cancelled):
        work()
    assert torch.is_grad_enabled()
