"""`python -m SynthFoundationLib.worker --exchange FOLDER`: the worker process."""

from __future__ import annotations

import argparse
import signal
from typing import TYPE_CHECKING

from ..neighbours import mind_the_neighbours
from .channel import take_pipes
from .exchange import Exchange
from .server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .server import Method


def main() -> None:
    """Run until the client hangs up."""
    parser = argparse.ArgumentParser(prog="SynthFoundationLib.worker", description="Work for a client.")
    parser.add_argument("--exchange", required=True, help="folder for arrays, this user's alone")
    parser.add_argument("--hold-gb", type=float, default=4.0, help="memory for scans that may be kept")
    options = parser.parse_args()
    mind_the_neighbours()
    exchange = Exchange(options.exchange)
    requests, channel = take_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the client, who tells

    def load() -> tuple[Mapping[str, Method], Callable[[], dict[str, Any]]]:
        from .methods import methods

        return methods(options.hold_gb)

    Server(requests, channel, exchange).run(load)


if __name__ == "__main__":
    main()
