"""The verdict and its reasons in the language of the user."""

import math

import pytest
from SynthFoundationModuleLib import verdict

from SynthFoundationLib.report import judge
from SynthFoundationLib.report.verdict import SENTENCES, findings


@pytest.fixture
def spanish(monkeypatch):
    words = {
        "Failed": "Fallido",
        SENTENCES["overlap-little"]: "Solo se cubre el {percent:.0f} %.",
        SENTENCES["folds"]: "Hay pliegues en el {percent:.2g} %.",
    }
    monkeypatch.setattr(verdict, "_", lambda text: words.get(text, text))


def shown(report, *notices):
    found = judge(report, 1.0)
    numbers = report | {"findings": findings(found.reasons)}
    return verdict.verdict_text(found.word, [*notices, *found.reasons], numbers, 1.0).split("<br>")


def test_every_sentence_of_the_library_has_a_text():
    assert verdict.texts() == SENTENCES


def test_reasons_are_translated_with_their_numbers(spanish):
    assert shown({"overlap": 0.04}, "A notice.")[:3] == [
        "<b>Fallido</b>",
        "A notice.",
        "Solo se cubre el 4 %.",
    ]


def test_what_is_no_number_is_translated_too(spanish):
    report = {"folds_percent": math.nan}
    found = findings(judge(report, 1.0).reasons)
    through_json = [one | {"numbers": {"percent": None}} for one in found]
    assert verdict.translated(through_json[0]) == "Hay pliegues en el nan %."


def test_without_a_text_the_sentence_is_shown_as_it_is(spanish):
    finding = {"code": "of another version", "numbers": {"x": 1.0}, "sentence": "Something < else."}
    text = verdict.verdict_text("failed", [finding["sentence"]], {"findings": [finding]}, 1.0)
    assert "Something &lt; else." in text
    assert verdict.translated(finding | {"code": "folds"}) == "Something < else."
    assert "Unknown." in verdict.verdict_text("good", ["Unknown."], {}, 1.0)
