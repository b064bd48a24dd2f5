"""Stop computations that know nothing of being stopped: between any two operations of torch.

It costs some microseconds for each operation, a tenth of the time of a small volume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Interruptible(TorchFunctionMode):
    """While it is entered, `check` is called before each call of torch, and may raise to stop there."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self._check = check

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Check, then do what was called; but gradients are always switched back as they were."""
        if func is not torch._C._set_grad_enabled:
            self._check()
        return func(*args, **(kwargs or {}))
