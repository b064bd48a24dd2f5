"""The verdict, case by case."""

import math

import pytest

from SynthFoundationLib.report import judge
from SynthFoundationLib.report.verdict import SENTENCES, findings

HARMLESS = {
    "similarity": {"before": 0.1, "after": 0.5},
    "recognised": 0.8,
    "information": {"before": 0.3, "after": 0.29},
    "landmark_error_mm": {"before": 9.0, "after": 1.2},
    "overlap": 0.97,
    "folds_percent": 0.0,
    "log_jacobian_sd": 0.2,
    "log_jacobian_min": -0.6,
    "log_jacobian_max": 0.7,
    "inverse_consistency_mm": 0.05,
    "header_turn_degrees": 12.0,
}


def test_harmless_numbers_are_good_and_say_to_look_all_the_same():
    verdict = judge(HARMLESS, voxel_mm=1.0)
    assert verdict.word == "good"
    assert "pictures" in verdict.reasons[0]


def test_what_is_missing_is_not_judged():
    assert judge({}, 1.0).word == "good"
    assert (
        judge({"landmark_error_mm": None, "similarity": {"before": None, "after": 0.4}}, 1.0).word == "good"
    )


@pytest.mark.parametrize(
    ("change", "word", "reason"),
    [
        ({"folds_percent": 0.01}, "look closely", "folds"),
        ({"folds_percent": 3.0}, "failed", "folds"),
        ({"folds_percent": math.nan}, "failed", "folds"),
        ({"log_jacobian_sd": 0.7}, "look closely", "rough"),
        ({"log_jacobian_min": -2.5}, "look closely", "more than 12-fold"),
        ({"inverse_consistency_mm": 1.1}, "look closely", "1.10 mm"),
        ({"similarity": {"before": 0.3, "after": 0.2}}, "failed", "less than before"),
        ({"similarity": {"before": 0.01, "after": 0.05}}, "failed", "corresponds"),
        ({"similarity": {"before": 0.01, "after": math.nan}}, "failed", "corresponds"),
        ({"similarity": {"before": 0.01, "after": 0.15}}, "look closely", "faintly"),
        ({"recognised": 0.5}, "look closely", "head and foot"),
        ({"information": {"before": 0.3, "after": 0.2}}, "look closely", "(0.30 → 0.20)"),
        ({"information": {"before": 0.3, "after": math.nan}}, "look closely", "affine transform"),
        ({"log_jacobian_max": math.nan}, "look closely", "volume"),
        ({"recognised": math.nan}, "look closely", "head and foot"),
        ({"overlap": 0.4}, "look closely", "40 %"),
        ({"overlap": 0.02}, "failed", "2 %"),
        ({"header_turn_degrees": 90.0}, "look closely", "headers disagree"),
        ({"landmark_error_mm": {"before": 3.0, "after": 7.0}}, "failed", "farther apart"),
        ({"landmark_error_mm": {"before": 30.0, "after": 7.0}}, "look closely", "7.0 mm"),
    ],
)
def test_each_number_has_its_say(change, word, reason):
    verdict = judge(HARMLESS | change, voxel_mm=2.0)
    assert verdict.word == word
    assert reason in verdict.reasons[0]


def test_a_scan_of_one_organ_may_cover_little_of_the_other():
    assert judge(HARMLESS | {"overlap": 0.05, "overlap_of_moving": 0.95}, voxel_mm=2.0).word == "good"
    assert judge(HARMLESS | {"overlap": 0.95, "overlap_of_moving": 0.05}, voxel_mm=2.0).word == "good"
    apart = judge(HARMLESS | {"overlap": 0.05, "overlap_of_moving": 0.08}, voxel_mm=2.0)
    assert apart.word == "failed"
    assert "8 %" in apart.reasons[0]


@pytest.mark.parametrize(
    "change",
    [
        {"similarity": {"before": 1.0, "after": 0.998}},
        {"landmark_error_mm": {"before": 0.0, "after": 0.3}},
        {"inverse_consistency_mm": 0.9},
    ],
)
def test_losses_below_a_voxel_are_harmless(change):
    assert judge(HARMLESS | change, voxel_mm=2.0).word == "good"


def test_the_gravest_reason_comes_first():
    verdict = judge(HARMLESS | {"header_turn_degrees": 90.0, "folds_percent": 0.1, "overlap": 0.01}, 1.0)
    assert verdict.word == "failed"
    assert ["%" in reason for reason in verdict.reasons] == [True, True, False]
    assert "share" in verdict.reasons[0]


def test_a_reason_can_be_said_in_another_language():
    verdict = judge(HARMLESS | {"overlap": 0.02, "header_turn_degrees": 90.0}, 1.0)
    told = findings(verdict.reasons)
    assert [(one["code"], one["numbers"]) for one in told] == [
        ("overlap-little", {"percent": pytest.approx(2.0)}),
        ("headers", {"degrees": 90.0}),
    ]
    assert [one["sentence"] for one in told] == verdict.reasons
    assert [SENTENCES[one["code"]].format(**one["numbers"]) for one in told] == verdict.reasons
    assert findings(judge({}, 1.0).reasons)[0]["code"] == "nothing"
