"""The command line: one file per verb, each a thin layer over a function of the library."""

from __future__ import annotations

import sys

from ..neighbours import mind_the_neighbours


def main() -> None:
    """Run `synthfoundation`."""
    mind_the_neighbours()
    try:
        from .app import run
    except ModuleNotFoundError as missing:
        if missing.name not in ("typer", "rich"):
            raise
        sys.exit(f"The command line needs {missing.name}: pip install 'SynthFoundationLib[cli]'")
    run(sys.argv[1:])
