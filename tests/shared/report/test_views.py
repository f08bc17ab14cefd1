"""LaTeX, Markdown and terminal views of a small table."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from shared.report.claims import Check, Claim
from shared.report.latex import escape, to_latex
from shared.report.layout import Panel, Row, words
from shared.report.markdown import to_markdown
from shared.report.reported import Reported
from shared.report.terminal import print_view
from shared.report.tidy import build, load_runs, read_csv
from shared.report.view import decimals_of, make_view
from shared.stages.render import view_of
from tests.repository import ROOT
from tests.shared.report.example import MARGINS, REPORTED, TABLE, metrics, write

CLAIMS = [
    Claim("a", TABLE.name, "A & B beats C by 5%.", "Sec. 1", (Check("less", ("image FID",), ("A", "C")),), "in FID")
]
LOST = {"diverged": {"epoch": 3, "step": 10}, "metrics": []}
CASES = {
    "run": [metrics(), metrics("c", fid=150.0)],
    "not run": [],
    "partly run": [metrics()],
    "diverged": [metrics(**LOST), metrics("c")],
    "one seed diverged": [metrics(seed=0), metrics(seed=1, **LOST), metrics("c")],
    "mixed": [metrics(seed=0), metrics(seed=1, fingerprint="f1", fid=107.0)],
    "stand-in": [metrics(stand_in=True, comparable=False), metrics("c", stand_in=True, comparable=False)],
}


@pytest.fixture(params=CASES)
def case(request):
    return request.param


def view(folder, case):
    runs = load_runs(write(folder, *CASES[case]), "example", "paper")
    return make_view(TABLE, build(TABLE, REPORTED, runs, MARGINS, "paper"), REPORTED, CLAIMS)


def terminal(shown, width=80):
    stream = io.StringIO()
    print_view(shown, Console(file=stream, width=width))
    return stream.getvalue()


def spanned(line):
    """Number of columns that a line of a tabular fills."""
    spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
    return len(re.findall(r"(?<!\\)&", line)) + 1 + sum(spans) - len(spans)


def test_latex_is_balanced(tmp_path, case):
    text = to_latex(view(tmp_path, case))
    unescaped = re.sub(r"\\[{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    depth = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            depth.append(name)
        else:
            assert depth.pop() == name
    assert not depth
    assert text.count("$") % 2 == 0
    assert text.isascii()


def test_every_line_of_the_table_fills_its_columns(tmp_path, case):
    text = to_latex(view(tmp_path, case))
    table = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    rows = [line for line in table.splitlines() if line.endswith(r"\\")]
    assert len(rows) >= 6
    assert {spanned(row) for row in rows} == {5}  # label, latent variables, which line, two numbers
    claims = text.split(r"\toprule")[2].split(r"\bottomrule")[0]
    assert {spanned(row) for row in claims.splitlines() if "tabularnewline" in row} == {3}


def test_a_single_run_is_printed_with_its_error_over_test_points(tmp_path):
    content = metrics()
    content["metrics"][0] |= {"standard_error": 2.5, "monte_carlo_error": 0.01}
    runs = load_runs(write(tmp_path, content), "example", "paper")
    shown = make_view(TABLE, build(TABLE, REPORTED, runs, MARGINS, "paper"), REPORTED, [])
    assert str(shown.panels[0].lines[0].reproduced[0]) == "101.0 ± 2.5"
    assert dict(shown.notes)["Numbers"].endswith("1 run per model, with the standard error over test points")


def test_an_open_verdict_by_the_margin_alone_counts_as_no_test_by_an_interval(tmp_path):
    content = metrics(recall=53.0)
    content["metrics"][1]["standard_error"] = 0.5
    runs = load_runs(write(tmp_path, content), "example", "paper")
    shown = make_view(TABLE, build(TABLE, REPORTED, runs, MARGINS, "paper"), REPORTED, [])
    assert dict(shown.notes)["Verdicts"] == (
        "1 agrees, 1 inconclusive, 1 not run of 3 cells; "
        "of 1 cells with an interval 0 differ, at most 0.1 expected by chance"
    )


def test_a_claim_on_single_runs_knows_the_points_they_share(tmp_path):
    runs = load_runs(write(tmp_path, *CASES["run"]), "example", "paper")
    frame = build(TABLE, REPORTED, runs, MARGINS, "paper")
    for error, outcome in ((1.0, "holds"), (30.0, "holds (within noise)")):
        paired = {frozenset((("A", "image FID"), ("C", "image FID"))): error}
        assert make_view(TABLE, frame, REPORTED, CLAIMS, paired).claims[0].reproduced.outcome == outcome


def test_latex_escapes_what_others_wrote():
    assert escape(r"50% of a_b & #1 {x} ~^\ $") == (
        r"50\% of a\_b \& \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{} \$"
    )


def test_reported_beside_reproduced(tmp_path):
    text = to_latex(view(tmp_path, "run"))
    assert r"reported & $100.0_{\pm 3.0}$ & $50.0$ \\" in text
    assert r"reproduced & $101.0$ & $51.0$ \\" in text
    assert r"\label{tab:table9_example}" in text


def test_a_dash_of_the_paper_is_a_dash_of_the_text(tmp_path):
    """In mathematics pdflatex refuses the character and sets two minus signs for two hyphens."""
    reported = REPORTED | {("A", "image FID"): Reported(None, metric="FID", decimals=1)}
    runs = load_runs(write(tmp_path, *CASES["run"]), "example", "paper")
    shown = make_view(TABLE, build(TABLE, reported, runs, MARGINS, "paper"), reported, [])
    text = to_latex(shown)
    assert r"reported & -- & $50.0$ \\" in text
    assert "$–$" not in text
    assert "$--$" not in text
    assert re.search(r"\| reported +\| +– \| +50\.0 \|", to_markdown(shown))
    first = next(line for line in terminal(shown).splitlines() if "reported" in line and line.startswith("  "))
    assert first.split() == ["reported", "–"]


def test_numbers_that_the_paper_does_not_have_stand_alone(tmp_path):
    """Their panel has one line for each model, and no note counts or explains them."""
    beside = Panel(
        words("(b) Ours"), words("Model"), (Row(words("A"), "(b) A", "flowers/a"),), TABLE.panels[0].columns[:1]
    )
    table = replace(TABLE, panels=(*TABLE.panels, beside))
    cells = REPORTED | {("(b) A", "image FID"): Reported(metric="FID", decimals=1)}
    runs = load_runs(write(tmp_path, metrics(), metrics("c", fid=150.0)), "example", "paper")
    frame = build(table, cells, runs, MARGINS, "paper")
    assert frame["verdict"].iloc[-1] == "not reported"
    shown, without = (make_view(t, f, cells, []) for t, f in ((table, frame), (TABLE, frame.iloc[:-1])))
    assert shown.notes == without.notes
    assert len(to_latex(shown).splitlines()) == len(to_latex(without).splitlines()) + 7
    assert re.search(r"^A &  & \$101\.0\$ \\\\$", to_latex(shown).split("(b) Ours")[1], re.MULTILINE)
    assert re.search(r"^\| A +\| +\| +101\.0 \|$", to_markdown(shown).split("Ours")[1], re.MULTILINE)
    assert re.search(r"^ *A +101\.0 *$", terminal(shown).split("(b) Ours")[1], re.MULTILINE)


def test_nothing_agrees_on_stand_ins(tmp_path):
    shown = view(tmp_path, "stand-in")
    for text in (to_latex(shown), to_markdown(shown), terminal(shown)):
        words = " ".join(text.split())
        assert "agrees" not in words
        assert "not comparable" in words
        assert "The data are stand-ins" in words


def test_cells_without_numbers_say_why(tmp_path):
    assert to_markdown(view(tmp_path, "not run")).count("not run") >= 3


@pytest.mark.parametrize(
    ("case", "where"),
    [("diverged", "flowers/a (epoch 3, step 10)"), ("one seed diverged", "flowers/a (1 of 2 seeds: epoch 3, step 10)")],
)
def test_a_model_that_diverged_shows_no_number_and_says_where(tmp_path, case, where):
    shown = view(tmp_path, case)
    assert set(shown.panels[0].lines[0].reproduced) == {"diverged"}
    assert dict(shown.notes)["Diverged"] == where
    assert shown.claims[0].reproduced.outcome == "diverged"


def test_mixed_fingerprints_are_printed(tmp_path):
    shown = view(tmp_path, "mixed")
    for text in (to_latex(shown), to_markdown(shown), terminal(shown)):
        assert "different versions of the code" in " ".join(text.split())


def test_count_of_differences_beside_those_expected_by_chance(tmp_path):
    notes = dict(view(tmp_path, "run").notes)
    # A agrees in FID (interval) and in recall (margin only), C differs by 30
    assert notes["Verdicts"] == (
        "1 agrees, 1 agrees (margin only), 1 differs of 3 cells; "
        "of 2 cells with an interval 1 differ, at most 0.1 expected by chance"
    )


def test_claims_are_checked_on_both_sets_of_numbers(tmp_path):
    claim = view(tmp_path, "run").claims[0]
    assert str(claim.reported) == "holds (100.0 < 120.0)"
    assert str(claim.reproduced) == "holds (single runs) (101.0 < 150.0)"
    assert view(tmp_path, "partly run").claims[0].reproduced.outcome == "not run"


def test_a_claim_on_single_runs_knows_the_error_of_their_metrics(tmp_path):
    first, second = metrics(fid=101.0), metrics("c", fid=101.1)
    for content in (first, second):
        content["metrics"][0]["monte_carlo_error"] = 0.05
    runs = load_runs(write(tmp_path, first, second), "example", "paper")
    shown = make_view(TABLE, build(TABLE, REPORTED, runs, MARGINS, "paper"), REPORTED, CLAIMS)
    assert str(shown.claims[0].reproduced) == "holds (within noise) (101.0 < 101.1)"


def test_negative_numbers_of_claims_have_minus_signs_in_latex(tmp_path):
    runs = load_runs(write(tmp_path, metrics(fid=-101.0), metrics("c", fid=-15.5)), "example", "paper")
    shown = make_view(TABLE, build(TABLE, REPORTED, runs, MARGINS, "paper"), REPORTED, CLAIMS)
    assert "holds (single runs) ($-$101.0 $<$ $-$15.5)" in to_latex(shown)
    assert "holds (single runs) (-101.0 " in to_markdown(shown)


def test_markdown_tables_are_rectangular(tmp_path, case):
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", to_markdown(view(tmp_path, case)), flags=re.MULTILINE)
    assert len(blocks) == 2
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_terminal_fits_80_columns_and_ends_with_the_command(tmp_path, case):
    lines = terminal(view(tmp_path, case)).splitlines()
    assert lines[-1].strip() == "snakemake results/table9_example.tex --cores all --config scale=paper"
    assert max(map(len, lines)) <= 80


def test_a_narrow_terminal_cuts_no_number():
    """FashionMNIST's four columns, each number with its error, do not fit side by side."""
    csv = ROOT / "papers/mhvae/reproduced/reduced/table2_fashion_mnist.csv"
    text = terminal(view_of("mhvae", "table2_fashion_mnist", csv))
    assert "…" not in text
    for line in read_csv(csv).to_dict("records"):
        assert line["reported_mean"] in text
        assert not line["reproduced_mean"] or f"{float(line['reproduced_mean']):.3f}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_same_bytes_twice(tmp_path, case):
    assert to_latex(view(tmp_path, case)) == to_latex(view(tmp_path, case))
    assert to_markdown(view(tmp_path, case)) == to_markdown(view(tmp_path, case))


@pytest.mark.parametrize(
    ("value", "printed", "decimals"),
    [
        (147.94, 1, 1),
        (0.26, 2, 2),
        (0.148, 1, 2),
        (0.00095, 2, 5),
        (1.5, 1, 1),
        (0.0, 2, 2),
        (3.0, 0, 0),
        (-0.03, 1, 3),
        (1e-9, 1, 6),
    ],
)
def test_small_numbers_keep_two_digits(value: float, printed: int, decimals: int) -> None:
    assert decimals_of(value, printed) == decimals


def test_notes_say_which_panel_a_protocol_is_of_where_panels_differ(tmp_path):
    first, second = TABLE.panels[0], replace(TABLE.panels[0], title=words("(b) Others"))
    table = replace(TABLE, panels=(replace(first, rows=first.rows[:1]), replace(second, rows=first.rows[1:])))
    runs = load_runs(write(tmp_path, metrics(), metrics("c", protocol="all points", data="Birds")), "example", "paper")
    notes = dict(make_view(table, build(table, REPORTED, runs, MARGINS, "paper"), REPORTED, CLAIMS).notes)
    assert notes["Protocol"] == "(a) Models, test split; 3 neighbours. (b) Others, all points"
    assert notes["Data"] == "(a) Models, Real Flowers, 10 classes. (b) Others, Birds"
