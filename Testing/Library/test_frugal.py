import pytest

from SynthFoundationLib.errors import InputError, MemoryShortage
from SynthFoundationLib.frugal import coarser_presets, first_that_fits


def failing(error):
    def make():
        raise error

    return make


def test_the_first_attempt_is_taken_without_a_word():
    assert first_that_fits([("", lambda: 1), ("again", lambda: 2)], pytest.fail) == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryShortage("x"),
    ],
)
def test_short_memory_leads_to_the_next_attempt_and_a_notice(error):
    told = []
    attempts = [("", failing(error)), ("coarser", failing(InputError("2 GB"))), ("on 4 mm", lambda: 7)]
    assert first_that_fits(attempts, told.append) == 7
    assert told == [f"There is not enough memory; trying again {name}." for name in ("coarser", "on 4 mm")]


def test_where_nothing_fits_the_last_attempt_says_how_much_it_lacked():
    attempts = [
        ("", failing(MemoryError("Unable to allocate 9.0 GiB"))),
        ("b", failing(InputError("needs 2 GB"))),
    ]
    with pytest.raises(MemoryShortage, match="needs 2 GB"):
        first_that_fits(attempts, lambda _: None)


@pytest.mark.parametrize("error", [InputError("no"), ValueError("no")])
def test_other_errors_pass(error):
    with pytest.raises(type(error), match="no"):
        first_that_fits([("", failing(error)), ("", lambda: 1)], pytest.fail)


def test_presets_become_coarser():
    assert coarser_presets("accurate") == ["accurate", "default", "fast"]
    assert coarser_presets("fast") == ["fast"]
