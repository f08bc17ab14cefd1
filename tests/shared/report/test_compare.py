"""The verdict against intervals computed by hand and against simulated replications."""

from pathlib import Path

import numpy as np
import pytest

from shared.errors import InputError
from shared.report.compare import (
    Margin,
    load_margins,
    margin_for,
    prediction_half_width,
    standard_deviation,
    verdict,
)
from shared.report.paper import check
from shared.report.reported import Reported

# t(0.975) with 2 degrees of freedom, from a printed table.
T2 = 4.302653
OPEN = "inconclusive (detectable from 10.6)"  # 10.5393 + 0.05


def reported(mean=100.0, spread=3.0, kind="sd", n=3, decimals=1):
    return Reported(mean, spread, kind, n, decimals)


def test_interval_of_three_runs_by_hand():
    # 4.302653 * 3 * sqrt(1/3 + 1/3) = 10.5393
    assert prediction_half_width(reported(), 3) == pytest.approx(10.5393, abs=1e-4)
    # one run of ours: 4.302653 * 3 * sqrt(1/3 + 1) = 14.9048
    assert prediction_half_width(reported(), 1) == pytest.approx(14.9048, abs=1e-4)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [(101.0, "agrees"), (104.9, "agrees"), (108.0, OPEN), (110.5, OPEN), (112.0, "differs")],
)
def test_three_verdicts(ours, expected):
    # interval 10.54, margin 5: both widened by half a unit of the last digit, 0.05
    assert verdict(reported(), [ours - 1, ours, ours + 1], Margin(absolute=5)) == expected


def test_outside_a_narrow_interval_but_within_the_margin_is_inconclusive():
    assert verdict(reported(spread=0.1), [103.0] * 3, Margin(absolute=5)).startswith("inconclusive")


def test_rounding_widens_both_interval_and_margin():
    cell = Reported(100.0, None, "", None, decimals=0)
    assert verdict(cell, [101.5], Margin(absolute=1)) == "agrees (margin only)"
    assert verdict(cell, [101.6], Margin(absolute=1)) == "differs (margin only)"


def test_without_a_spread_only_the_margin_speaks():
    cell = Reported(100.0, decimals=1)
    assert verdict(cell, [101.0], Margin(relative=0.05)) == "agrees (margin only)"
    assert verdict(cell, [106.0], Margin(relative=0.05)) == "differs (margin only)"


@pytest.mark.parametrize(
    ("ours", "error", "expected"),
    [
        (100.9, 0.5, "agrees (margin only)"),
        (101.9, 0.5, "inconclusive (detectable from 2.05)"),  # 1 + 2 * 0.5 + 0.05
        (102.1, 0.5, "differs (margin only)"),
        (101.9, 0.0, "differs (margin only)"),
    ],
)
def test_the_choice_of_test_points_alone_is_no_difference(ours, error, expected):
    assert verdict(Reported(100.0, decimals=1), [ours], Margin(absolute=1), error) == expected


def test_the_choice_of_test_points_counts_beside_an_interval():
    # interval 4.302653 * 0.1 * sqrt(1/3 + 1) = 0.497; margin 1; two standard errors 3
    cell = reported(spread=0.1)
    assert verdict(cell, [103.9], Margin(1), 1.5) == "inconclusive (detectable from 4.05)"
    assert verdict(cell, [103.9], Margin(1)) == "differs"
    assert verdict(cell, [100.4], Margin(1), 1.5) == "agrees"
    assert verdict(cell, [100.8], Margin(1), 1.5).startswith("inconclusive")  # agreeing asks what it asked before


def test_spreads_of_other_kinds_become_standard_deviations():
    assert standard_deviation(reported(spread=3.0, kind="sem", n=4)) == pytest.approx(6.0)
    # a 95 % t interval of three runs with sd 3 has half-width 4.302653 * 3 / sqrt(3)
    half_width = T2 * 3 / 3**0.5
    assert standard_deviation(reported(spread=half_width, kind="ci95")) == pytest.approx(3.0, rel=1e-6)


def test_a_spread_printed_as_zero_is_not_certainty():
    assert standard_deviation(Reported(0.04, 0.0, "sd", 3, 2)) == pytest.approx(0.005)


def test_the_larger_margin_counts():
    assert Margin(absolute=2, relative=0.05).width(10) == 2
    assert Margin(absolute=2, relative=0.05).width(-100) == 5


def test_nothing_run_and_nothing_reported():
    assert verdict(reported(), [], Margin(1)) == "not run"
    assert verdict(Reported(None), [1.0], Margin(1)) == "not reported"


@pytest.mark.parametrize(("theirs", "ours"), [(3, 3), (5, 1)])
def test_prediction_interval_covers_95_percent_of_true_replications(theirs, ours):
    rng = np.random.default_rng(0)
    repetitions = 4000
    first = rng.normal(50, 4, (repetitions, theirs))
    second = rng.normal(50, 4, (repetitions, ours)).mean(1)
    inside = [
        abs(new - old.mean()) <= prediction_half_width(Reported(old.mean(), old.std(ddof=1), "sd", theirs, 6), ours)
        for old, new in zip(first, second, strict=True)
    ]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)  # 3.5 standard errors


def test_false_alarms_stay_below_five_percent():
    rng = np.random.default_rng(1)
    verdicts = [
        verdict(Reported(theirs.mean(), theirs.std(ddof=1), "sd", 3, 6), rng.normal(50, 4, 3), Margin(absolute=1))
        for theirs in rng.normal(50, 4, (2000, 3))
    ]
    assert verdicts.count("differs") / 2000 < 0.065


def test_margins_are_per_metric_and_unit():
    margins = {"a/*": {"%": Margin(2), "": Margin(0.02)}, "a/b": {"%": Margin(1)}}
    assert margin_for(margins, "a/b", "%") == Margin(1)
    assert margin_for(margins, "a/b", "") == Margin(0.02)
    assert margin_for(margins, "a/c", "%") == Margin(2)
    with pytest.raises(InputError, match="none for metric 'a/b' in 'nats'"):
        margin_for(margins, "a/b", "nats")


def test_every_number_of_every_table_has_a_margin():
    check(Path("config/margins.yaml"))


def test_a_missing_margin_or_file_is_one_line_before_anything_runs(tmp_path):
    with pytest.raises(InputError, match=r"no\.yaml: no such file; the verdict needs a margin"):
        check(tmp_path / "no.yaml")
    (tmp_path / "margins.yaml").write_text("image/*: {'%': {absolute: 2}}")
    with pytest.raises(InputError, match=r"none for metric 'likelihood/image\+caption' in 'nats'"):
        check(tmp_path / "margins.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "image/fid: {'': {absolut: 2}}",
        "image/fid: {'': {absolute: -1}}",
        "image/fid: {'': {absolute: true}}",
        "image/fid: {'': {relative: .inf}}",
        "image/fid: {absolute: 2}",
        "image/fid: 2",
        "- a",
        "a: [",
    ],
)
def test_malformed_margins_are_one_line(tmp_path, text):
    (tmp_path / "margins.yaml").write_text(text)
    with pytest.raises(InputError, match=r"margins\.yaml: ") as error:
        load_margins(tmp_path / "margins.yaml")
    assert "\n" not in str(error.value)
