"""The verbs of `synthfoundation` put together."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import __version__
from . import console
from .apply import apply
from .demo import demo
from .doctor import doctor
from .evaluate import evaluate
from .evaluate_features import evaluate_features
from .export_weights import export_weights
from .features import features
from .finetune import finetune
from .predict import predict
from .pretrain import pretrain
from .register import register
from .segment import segment
from .stopping import unwinding
from .synthesize import synthesize

_EVERYWHERE = ("-v", "--verbose", "--debug", "--version")

app = typer.Typer(
    name="synthfoundation",
    help="Register and segment medical volumes of any modality.",
    epilog="-v and --debug may stand anywhere. Exit codes: 0 done, 2 unusable input, "
    "3 weights or device, 130 stopped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_VERBS = {
    None: (register, apply, segment, features, demo, doctor),
    "Segmenters": (finetune, predict, evaluate),
    "Pretraining": (pretrain, synthesize, evaluate_features, export_weights),
}
for panel, verbs in _VERBS.items():
    for verb in verbs:
        app.command(rich_help_panel=panel)(console.reporting(verb))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"synthfoundation {__version__}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell more while working.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options that every verb shares."""
    console.settings.verbose, console.settings.debug = verbose, debug


def run(arguments: list[str]) -> None:
    """Run with these arguments; the options that all verbs share may stand anywhere."""
    shared = [a for a in arguments if a in _EVERYWHERE]
    ordered = shared + [a for a in arguments if a not in _EVERYWHERE]
    with unwinding():
        try:
            code = app(ordered, prog_name="synthfoundation", standalone_mode=False)
        except Exception as error:
            code = console.misused(error, arguments)
        sys.exit(code)
