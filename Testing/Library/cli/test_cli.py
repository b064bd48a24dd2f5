"""The frame around the verbs: speed, errors, exit codes."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from SynthFoundationLib import __version__
from SynthFoundationLib.cli import console
from SynthFoundationLib.cli.app import app
from SynthFoundationLib.errors import Cancelled, DeviceError, InputError, WeightsError


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_help_is_answered_without_loading_torch():
    script = (
        "import sys\nfrom SynthFoundationLib.cli import main\nsys.argv = ['synthfoundation', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'scipy', 'SimpleITK', 'matplotlib'} & set(sys.modules)\nassert "
        "not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "register" in done.stdout


@pytest.mark.parametrize("verb", [c.callback.__name__.replace("_", "-") for c in app.registered_commands])
def test_every_verb_explains_itself(verb):
    assert invoke(verb, "--help").exit_code == 0


def test_the_version_is_told():
    assert __version__ in invoke("--version").output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("scan.nii is empty"), 2),
        (WeightsError("the weights are damaged"), 3),
        (DeviceError("there is no such device"), 3),
        (MemoryError(), 3),
        (Cancelled("stopped"), 130),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("patient Doe"), 1),
    ],
)
def test_errors_are_one_line_and_an_exit_code(error, code, capsys):
    def command():
        raise error

    with pytest.raises(console.typer.Exit) as exit_:
        console.reporting(command)()
    shown = capsys.readouterr()
    assert exit_.value.exit_code == code
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert "Doe" not in shown.err


def test_debug_shows_the_traceback_and_may_stand_anywhere(tmp_path):
    arguments = ["apply", str(tmp_path / "none.csv"), "-t", "x.h5", "-o", str(tmp_path / "out.csv")]
    command = [sys.executable, "-m", "SynthFoundationLib", *arguments]
    plain = subprocess.run(command, capture_output=True, text=True, check=False)
    debug = subprocess.run([*command, "--debug"], capture_output=True, text=True, check=False)
    assert (plain.returncode, len(plain.stderr.splitlines())) == (2, 1)
    assert "none.csv does not exist" in plain.stderr
    assert "Traceback" in debug.stderr


def test_in_a_log_a_line_now_and_then_tells_how_far_the_work_is(capsys, monkeypatch):
    clock = iter((0.0, 30.0, 61.0, 62.0, 90.0, 130.0, 131.0))
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with console.progress_bar("training") as move:
        move("step 10", 0.1)
        move("step 20", 0.234)
        move("step 30", 0.3)
        move("step 40", 0.5)
    assert capsys.readouterr().err.splitlines() == ["step 20: 23%", "step 40: 50%"]


def test_a_progress_bar_ends_without_a_trace_in_the_output(capsys):
    with console.progress_bar("working") as move:
        move("first", 0.5)
        move("second", 1.0)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["apply"],
        ["register", "a.nii"],
        ["demo", "--seed", "-1"],
        ["demo", "--seed", str(10**20)],
    ],
)
def test_wrong_usage_ends_with_2(arguments):
    assert invoke(*arguments).exit_code == 2
