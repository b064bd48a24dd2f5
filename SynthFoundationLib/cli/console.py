"""What all verbs share: progress on the standard error, errors in one line, exit codes."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, ParamSpec, TypeAlias, TypeVar

import typer

from ..errors import SynthFoundationError, memory_shortage

LOG_SECONDS = 60.0  # between two lines about how far the work is, where these go to a log

P = ParamSpec("P")
R = TypeVar("R")
Progress: TypeAlias = "Callable[[str, float], None]"


@dataclass
class Settings:
    """The options that stand before the verb."""

    verbose: bool = False
    debug: bool = False


settings = Settings()


def reporting(command: Callable[P, R]) -> Callable[P, R]:
    """Turn whatever a verb raises into one line on the standard error and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            say("Stopped.")
            raise typer.Exit(130) from None
        except SynthFoundationError as error:
            _fail(str(error), error.exit_code, error)
        except Exception as error:
            shortage = memory_shortage(error)
            if shortage is not None:
                _fail(str(shortage), shortage.exit_code, error)
            _fail(
                f"Unexpected {type(error).__name__}; run again with --debug and report what it shows.",
                1,
                error,
            )

    return run


def misused(error: Exception, arguments: list[str]) -> int:
    """Say in one line why these arguments are no use of the program; the exit code.

    Raises:
        Exception: `error` itself, where it is of another kind.
    """
    if not hasattr(error, "format_message") or not arguments:
        if not hasattr(error, "show"):
            raise error
        error.show()  # the help, for no arguments at all
        return 2
    message = error.format_message().replace("Value error, ", "").strip().rstrip(".")
    context = getattr(error, "ctx", None)
    verb = context.command_path if context is not None else "synthfoundation"
    say(f"Error: {message}{_given(error, arguments)}; `{verb} --help` tells what is allowed")
    return 2


def _given(error: Exception, arguments: list[str]) -> str:
    """What was given for the option that cannot be used, if it can be found."""
    for option in getattr(getattr(error, "param", None), "opts", ()):
        for place, argument in enumerate(arguments):
            name, joined, value = argument.partition("=")
            if name == option and (joined or len(arguments) > place + 1):
                return f" (given: {value if joined else arguments[place + 1]})"
    return ""


def say(text: str) -> None:
    """Tell the user something that is not a result."""
    print(text, file=sys.stderr, flush=True)


def tell(text: str) -> None:
    """Tell it only with -v."""
    if settings.verbose:
        say(text)


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show a bar on the standard error; give the function that moves it to (stage, fraction).

    A log is not the place for a bar: there a line is written now and then.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    error_stream = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    quiet = not error_stream.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=error_stream, transient=True, disable=quiet) as bars:
        task = bars.add_task(title, total=1.0)
        stages: list[str] = []
        told = time.monotonic()

        def move(stage: str, fraction: float) -> None:
            if settings.verbose and stages[-1:] != [stage]:
                stages.append(stage)
                bars.console.print(f"  {stage}", highlight=False)
            bars.update(task, description=stage, completed=fraction)
            nonlocal told
            if quiet and time.monotonic() - told > LOG_SECONDS:
                told = time.monotonic()
                say(f"{stage}: {fraction:.0%}")

        yield move


def _fail(message: str, code: int, error: BaseException) -> NoReturn:
    if settings.debug:
        raise error
    say(f"Error: {message}")
    raise typer.Exit(code) from None
