"""Claims on cells placed by hand."""

from itertools import combinations

import pytest
from scipy.stats import ttest_ind_from_stats

from shared.errors import InputError
from shared.report.claims import Check, Claim, Value, doubt, evaluate, load_claims, noise


def outcome(form, means, rows="abcd", sd=None, n=None, directions=("higher",), paired=None, **options):
    """Evaluate one check on columns of means, one list per column. paired: the standard error of every difference."""
    columns = means if isinstance(means[0], list) else [means]
    rows = tuple(rows[: len(columns[0])])
    names = tuple(f"column{index}" for index in range(len(columns)))
    values = {
        (row, name): Value(mean, sd, n, direction=directions[index % len(directions)], place=(row, name))
        for index, (name, column) in enumerate(zip(names, columns, strict=True))
        for row, mean in zip(rows, column, strict=True)
    }
    errors = {frozenset(pair): paired for pair in combinations(values, 2)} if paired else {}
    claim = Claim("id", "table", "claim", "place", (Check(form, names, rows, **options),))
    return evaluate(claim, values, paired=errors)


def within_noise(a, b):
    return doubt(a, b, b.mean - a.mean, {}) == " (within noise)"


@pytest.mark.parametrize(
    ("form", "means", "options", "expected"),
    [
        ("greater", [3, 2, 1], {}, "holds"),
        ("greater", [2, 1, 3], {}, "does not hold"),
        ("greater", [2, 2], {}, "tied"),
        ("less", [1, 2, 3], {}, "holds"),
        ("less", [2, 1], {}, "does not hold"),
        ("lowest_in_column", [3, 1, 2], {"row": ("b",)}, "holds"),
        ("lowest_in_column", [3, 1, 1], {"row": ("b",)}, "tied"),
        ("highest_in_column", [3, 1, 2], {"row": ("a",)}, "holds"),
        ("highest_in_column", [3, 1, 2], {"row": ("c",)}, "does not hold"),
        ("monotone", [1, 2, 3], {}, "holds"),
        ("monotone", [1, 3, 2], {}, "does not hold"),
        ("monotone", [0, 0, 2], {}, "tied"),
        ("monotone", [3, 2, 1], {"direction": "decreasing"}, "holds"),
        ("correlates", [26, 20, 75], {}, "holds"),
        ("correlates", [75, 20, 26], {}, "does not hold"),
        ("correlates", [75, 20, 26], {"direction": "decreasing"}, "holds"),
    ],
)
def test_forms(form, means, options, expected):
    assert outcome(form, means, **options).outcome == expected


def test_all_columns_must_hold():
    assert outcome("less", [[1, 2], [1, 2]]).outcome == "holds"
    assert outcome("less", [[1, 2], [2, 1]]).outcome == "does not hold"


@pytest.mark.parametrize(
    ("form", "columns", "options", "expected"),
    [
        ("less", [[1, 9], [1, 3]], {}, "1.00 < 3.00"),
        ("greater", [[9, 1, 5], [9, 1, 7]], {}, "7.00 < 9.00"),
        ("monotone", [[1, 5, 9], [1, 2, 9]], {}, "1.00 < 2.00"),
        ("less", [[2, 1], [9, 1], [1, 2]], {}, "9.00 > 1.00"),
        ("on_par", [[100, 101], [100, 104]], {"share": 0.05}, "100.00, 104.00: 4 % apart"),
        ("on_par", [[100, 106], [100, 109]], {"share": 0.05}, "100.00, 109.00: 9 % apart"),
        ("correlates", [[1, 2, 3], [1, 3, 2]], {}, "1.00, 3.00, 2.00"),
    ],
)
def test_the_numbers_that_decide_may_stand_in_any_column(form, columns, options, expected):
    assert outcome(form, columns, **options).detail == expected


def test_the_numbers_that_decide_may_belong_to_any_check():
    values = {(row, column): Value(mean) for row, column, mean in (("a", "x", 1), ("b", "x", 9), ("c", "x", 3))}
    checks = (Check("less", ("x",), ("a", "b")), Check("less", ("x",), ("a", "c")))
    assert evaluate(Claim("id", "table", "claim", "place", checks), values).detail == "1.00 < 3.00"


def test_only_never_worst_knows_which_way_is_better():
    columns = [[1, 5, 9], [1, 2, 3]]  # c is worst where lower is better, a where higher is
    better = ("lower", "higher")
    assert outcome("only_never_worst", columns, row=("b",), directions=better).outcome == "holds"
    assert outcome("only_never_worst", columns, row=("a", "b"), directions=better).outcome == "does not hold"
    assert outcome("only_never_worst", [[1, 5, 9]], row=("a",), directions=("lower",)).outcome == "does not hold"


def test_noise_is_named_only_where_it_can_be_known():
    assert outcome("less", [1.0, 1.1], sd=1.0, n=3).outcome == "holds (within noise)"
    assert outcome("less", [1.1, 1.0], sd=1.0, n=3).outcome == "does not hold (within noise)"
    assert outcome("less", [1.0, 9.0], sd=1.0, n=3).outcome == "holds"
    assert outcome("less", [1.0, 1.1]).outcome == "holds"  # printed numbers, of nobody knows how many runs


@pytest.mark.parametrize("form", ["less", "monotone", "correlates", "on_par", "only_never_worst"])
def test_single_runs_of_which_nothing_is_known_say_so(form):
    options = {"share": 0.5} if form == "on_par" else {"row": ("b",)} if form == "only_never_worst" else {}
    assert outcome(form, [1.0, 1.1], n=1, **options).outcome == "holds (single runs)"
    assert outcome(form, [1.0, 1.1], **options).outcome == "holds"
    counts = {(row, "x"): Value(mean, n=1, exact=True) for row, mean in (("a", 1.0), ("b", 1.1))}
    claim = Claim("id", "table", "claim", "place", (Check(form, ("x",), ("a", "b"), **options),))
    assert evaluate(claim, counts).outcome == "holds"


def test_an_estimators_own_error_confirms_nothing_on_single_runs():
    a, b = (Value(mean, mc_error=0.01, n=1) for mean in (0.0, 0.5))
    assert doubt(a, b, 0.5, {}) == " (single runs)"
    assert doubt(a, b, 0.02, {}) == " (within noise)"


def test_paired_differences_tell_single_runs_apart():
    assert outcome("less", [1.0, 1.1], n=1, paired=0.049).outcome == "holds"
    assert outcome("less", [1.0, 1.1], n=1, paired=0.051).outcome == "holds (within noise)"
    assert outcome("greater", [1.0, 1.1], n=1, paired=0.049).outcome == "does not hold"
    values = {(row, "x"): Value(mean, n=1, place=(row, "x")) for row, mean in (("a", 1), ("b", 2), ("c", 3))}
    check = Check("less", ("x",), ("a", "b", "c"))  # the other pair's noise is not known
    claim = Claim("id", "table", "claim", "place", (check,))
    paired = {frozenset((("a", "x"), ("b", "x"))): 0.1}
    assert evaluate(claim, values, paired=paired).outcome == "holds (single runs)"


@pytest.mark.parametrize(
    ("means", "share", "expected", "detail"),
    [
        ([0.0, 0.0], 0.1, "holds", "0.00, 0.00: 0 apart"),
        ([0.0, 1.0], 0.1, "does not hold", "0.00, 1.00: 1 apart"),
        ([-100.0, -104.0], 0.05, "holds", "-100.00, -104.00: 4 % apart"),
    ],
)
def test_on_par_with_zero_is_no_division(means, share, expected, detail):
    result = outcome("on_par", means, share=share)
    assert (result.outcome, result.detail) == (expected, detail)


def test_on_par_and_correlations_know_noise_too():
    near = {"share": 0.05, "n": 1}
    assert outcome("on_par", [100.0, 104.0], paired=0.4, **near).outcome == "holds"
    assert outcome("on_par", [100.0, 104.0], paired=0.6, **near).outcome == "holds (within noise)"
    assert outcome("on_par", [100.0, 106.0], paired=0.6, **near).outcome == "does not hold (within noise)"
    # three pairs in order; one of them may turn, not two
    assert outcome("correlates", [1.0, 2.0, 9.0], n=1, paired=0.6).outcome == "holds"
    assert outcome("correlates", [1.0, 2.0, 3.0], n=1, paired=0.6).outcome == "holds (within noise)"


@pytest.mark.parametrize(
    ("difference", "errors", "expected"),
    [
        (0.0092, (0.0095, 0.0101), True),  # two errors: 0.0277
        (0.0276, (0.0095, 0.0101), True),
        (0.0278, (0.0095, 0.0101), False),
        (0.0092, (0.0095, None), False),
    ],
)
def test_single_runs_are_within_the_noise_of_their_estimators(difference, errors, expected):
    a, b = (Value(mean, mc_error=error, n=1) for mean, error in zip((-228.9, -228.9 - difference), errors, strict=True))
    assert within_noise(a, b) == within_noise(b, a) == expected
    assert expected or doubt(a, b, difference, {}) == " (single runs)"


def test_seeds_and_estimator_are_two_kinds_of_noise():
    a, b = (Value(mean, sd=1.0, n=3, mc_error=0.01) for mean in (0.0, 0.5))
    assert within_noise(a, b)
    a, b = (Value(mean, sd=0.01, n=3, mc_error=1.0) for mean in (0.0, 0.5))
    assert within_noise(a, b)


@pytest.mark.parametrize("shift", [1.0, 3.0, 4.0, 6.0])
def test_noise_is_welchs_test(shift):
    a, b = Value(0.0, 1.0, 3), Value(shift, 2.0, 5)
    p = ttest_ind_from_stats(0.0, 1.0, 3, shift, 2.0, 5, equal_var=False).pvalue
    assert within_noise(a, b) == (p > 0.05)


def test_a_failure_that_seeds_cannot_explain_outweighs_the_others():
    result = outcome("monotone", [1.0, 0.9, 2.0, -9.0], sd=0.5, n=3)
    assert result.outcome == "does not hold"


def test_a_missing_cell_is_not_run():
    claim = Claim("id", "table", "claim", "place", (Check("less", ("x",), ("a", "b")),))
    assert evaluate(claim, {("a", "x"): Value(1.0)}).outcome == "not run"


@pytest.mark.parametrize(
    "check",
    [
        "{form: above, columns: x, rows: [a, b]}",
        "{form: less, columns: x}",
        "{form: monotone, columns: x, rows: [a, b], direction: up}",
        "{form: lowest_in_column, columns: x, rows: [a, b], row: c}",
        "{form: less, columns: x, rows: [a, b], margin: 3}",
        "{form: less, columns: x, rows: a}",
        "{form: less, columns: x, rows: [a, a]}",
        "{form: less, columns: [], rows: [a, b]}",
        "{form: less, compare: columns, columns: x, rows: [a, b]}",
        "{form: less, columns: {x: 1}, rows: [a, b]}",
        "{form: less, columns: x, rows: [a, [b]]}",
        "{form: on_par, columns: x, rows: [a, b], share: much}",
        "{form: on_par, columns: x, rows: [a, b], share: -1}",
        "less",
        "",
    ],
)
def test_malformed_claims_are_named(tmp_path, check):
    text = f"claims:\n  - {{id: mine, table: t, claim: c, place: p, checks: [{check}]}}\n"
    (tmp_path / "claims.yaml").write_text(text)
    with pytest.raises(InputError, match=r"claims\.yaml: claim 'mine'") as error:
        load_claims(tmp_path / "claims.yaml", "t")
    assert "\n" not in str(error.value)


GOOD = "{id: mine, table: t, claim: c, place: p, checks: [{form: less, columns: x, rows: [a, b]}]}"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (b"mine", "'mine' is no claim"),
        (b"{id: mine, table: t, claim: c, place: p}", "'mine': checks: "),
        (GOOD.replace("id: mine", "id: [mine]").encode(), "id is .* valid string"),
        (GOOD.encode() + b", " + GOOD.encode(), "'mine' is there twice"),
        (b"{id: \xff}", "not UTF-8"),
    ],
)
def test_malformed_files_are_one_line(tmp_path, entries, message):
    (tmp_path / "claims.yaml").write_bytes(b"claims: [" + entries + b"]")
    with pytest.raises(InputError, match=rf"claims\.yaml: .*{message}") as error:
        load_claims(tmp_path / "claims.yaml")
    assert "\n" not in str(error.value)


def test_a_paper_without_claims(tmp_path):
    assert load_claims(tmp_path / "claims.yaml", "t") == []
