"""What a paper declares: its reported numbers and its claims must fit its layout."""

import csv
import subprocess
import sys

import pytest

from shared.errors import InputError
from shared.report.layout import TextColumn, TextTable, words
from shared.report.paper import check, check_target, claims_of, printed_of, reported_of, runs_at, table_of
from shared.report.reported import COLUMNS, TEXT_COLUMNS, PrintedLayer
from tests.shared.report.example import paper_in

TABLES = """
from shared.report.layout import Column, Panel, Row, Stub, Table, words

_columns = Column(words(""), words("x"), "x", "k/x"), Column(words(""), words("y"), "y", "k/y")
_rows = Row(words("a"), "a", "e/a"), Row(words("b"), "b", "e/b"), Row(words("c"), "c", "e/c", columns=("y",))
_panel = Panel(words(""), words(""), _rows, _columns, Stub(words("size"), "size"))
TABLES = {"t": Table("t", "Table 1", words(""), (_panel,))}
"""
CELLS = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "y"), ("a", "size"), ("b", "size"), ("c", "size")]
CLAIM = "{id: mine, table: t, claim: c, place: p, checks: [{form: less, columns: x, rows: [a, b]}]}"


@pytest.fixture
def paper(tmp_path):
    """A paper with two columns, three rows, of which the last has one cell, and a stub."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "tables.py").write_text(TABLES)
    write_cells(folder, CELLS)
    with paper_in(tmp_path, "small"):
        yield folder


def write_cells(folder, cells, table="t"):
    with (folder / "reported.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [COLUMNS, *([table, row, column, "X", "", "lower", "1", "", "", "", "0", "", ""] for row, column in cells)]
        )


def test_cells_and_what_stubs_print(paper):
    assert list(reported_of("small", table_of("small", "t"))) == CELLS


def test_printed_networks_are_those_of_the_layout(paper):
    columns = tuple(TextColumn(words(name), name, "e/a", ("x",)) for name in ("encoder", "decoder"))
    lines = [["n", "1", "encoder", "Swish", "Table 3", "why"], ["n", "1", "decoder", "ReLU", "Table 3", ""]]
    with (paper / "reported_text.csv").open("w", newline="") as file:
        csv.writer(file).writerows([TEXT_COLUMNS, *lines])
    printed = printed_of("small", TextTable("n", "Table 3", words(""), columns))
    assert printed == {"encoder": [PrintedLayer("1", "Swish", "why")], "decoder": [PrintedLayer("1", "ReLU")]}
    for others in (columns[:1], (*columns, TextColumn(words(""), "third", "e/a", ("x",)))):
        with pytest.raises(InputError, match=r"reported_text\.csv: n: its columns are not those of tables\.py"):
            printed_of("small", TextTable("n", "Table 3", words(""), others))


NETWORKS = """
from shared.report.layout import TextColumn, TextTable

TABLES["n"] = TextTable("n", "Table 3", words(""), (TextColumn(words("x"), "encoder", "e/a", ("x",)),))
"""


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("reported.csv", "T,a,x,X,,lower,1,,,,0,,", "reported.csv, line 10: tables.py has no 'T', but t"),
        ("reported.csv", "n,1,encoder,X,,lower,1,,,,0,,", "reported.csv, line 10: tables.py has no 'n'"),
        ("reported_text.csv", "N,2,encoder,ReLU,Table 3,", "reported_text.csv, line 3: tables.py has no 'N', but n"),
        ("reported_text.csv", ",2,encoder,ReLU,Table 3,", "reported_text.csv, line 3: tables.py has no ''"),
        ("reported_text.csv", "t,a,x,ReLU,Table 3,", "reported_text.csv, line 3: tables.py has no 't'"),
    ],
)
def test_a_line_of_no_table_is_refused(paper, monkeypatch, file, line, message):
    """Where a table has other lines, too, which would be all that is seen of it."""
    monkeypatch.setattr("shared.run.spec.papers", lambda: ["small"])
    (paper / "tables.py").write_text(TABLES + NETWORKS)
    (paper / "reported_text.csv").write_text(f"{','.join(TEXT_COLUMNS)}\nn,1,encoder,Swish,Table 3,\n")
    margins = paper / "margins.yaml"
    margins.write_text("k/*: {'': {absolute: 1}}\narchitecture/*: {'': {absolute: 1}}\n")
    check(margins)
    with (paper / file).open("a") as opened:
        opened.write(f"{line}\n")
    with pytest.raises(InputError, match=rf"\A[^\n]*{message}[^\n]*\Z"):
        check(margins)


@pytest.mark.parametrize("missing", CELLS)
def test_a_cell_without_a_line_is_refused(paper, missing):
    write_cells(paper, [cell for cell in CELLS if cell != missing])
    with pytest.raises(InputError, match=rf"reported\.csv: t: no line for '{missing[0]}', '{missing[1]}'; add it"):
        reported_of("small", table_of("small", "t"))


@pytest.mark.parametrize("extra", [("A", "x"), ("a", "X"), ("c", "x")])
def test_a_line_that_is_no_cell_is_refused(paper, extra):
    write_cells(paper, [*CELLS, extra])
    with pytest.raises(InputError, match=rf"reported\.csv: t: tables\.py has no cell '{extra[0]}', '{extra[1]}'"):
        reported_of("small", table_of("small", "t"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"t,a,x,X,,lower,1,,,,0", "line 10: not 13 columns"),
        (b"t,a,x,X,,lower,1,,,,0,,note, and more", "line 10: not 13 columns"),
        (b"t,a,z,X,,lower,inf,,,,0,,", "line 10: mean is 'inf': Input should be a finite number"),
        (b"t,a,z,X,,lower,1,,,,-1,,", "line 10: decimals is '-1'"),
        (b"t,a,z,X,,lower,1,,,,1000000000,,", "line 10: decimals is '1000000000': .* less than or equal to 12"),
        (b"t,a,z,X,,lower,1,,,,,,", "line 10: decimals is ''"),
        (b"t,a,z,X,,lower,1,,,0,1,,", "line 10: n is '0'"),
        (b"t,a,z,X,,lower,1,-2,sd,3,1,,", "line 10: spread is '-2'"),
        (b"t,a,z,X,,lower,1,2,,3,1,,", "line 10: a spread needs its spread_kind and n"),
        (b"t,a,z,X,,lower,1,2,sd,,1,,", "line 10: a spread needs its spread_kind and n"),
        (b"t,a,z,X,,lower,1,2,sd,1,1,,", "line 10: a spread needs .* two runs or more"),
        (b"t,a\xff,x,X,,lower,1,,,,0,,", "not a CSV table in UTF-8"),
    ],
)
def test_a_damaged_file_is_one_line(paper, line, message):
    with (paper / "reported.csv").open("ab") as file:
        file.write(line + b"\r\n")
    with pytest.raises(InputError, match=rf"reported\.csv.*{message}") as error:
        reported_of("small", table_of("small", "t"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "table,row\n"])
def test_an_empty_file_is_one_line(paper, content):
    (paper / "reported.csv").write_text(content)
    with pytest.raises(InputError, match=r"\A[^\n]*reported\.csv: the columns must be table,row,column[^\n]*\Z"):
        reported_of("small", table_of("small", "t"))


RUNS = {"e/a": ("demo", "paper"), "e/b": ("paper",), "e/c": ("demo", "paper")}


def test_a_run_that_experiments_do_not_list_is_named_with_its_table(paper, monkeypatch):
    monkeypatch.setattr("shared.run.spec.exists", lambda _, run, scale: scale in RUNS.get(run, ()))
    table = table_of("small", "t")
    assert runs_at("small", table, "demo") == [("e/a", "metrics"), ("e/c", "metrics")]  # e/b: larger scales only
    monkeypatch.delitem(RUNS, "e/b")
    with pytest.raises(InputError, match=r"papers/small/tables\.py: t: experiments\.yaml has no run e/b; correct"):
        runs_at("small", table, "demo")


def test_listing_all_targets_is_light():
    """The workflow does it before every command."""
    code = "; ".join(
        [
            "import sys",
            "from shared.report.paper import check, owners, runs_at, targets",
            "[owners(kind) for kind in ('tables', 'figures')]",
            "[runs_at('mhvae', t, 'demo') for t in targets('mhvae', 'tables').values()]",
            "print({'torch', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules))",
        ]
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.stdout.strip(), result.stderr) == ("set()", "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("table: t", "table: T", "no table 'T'; there are t"),
        ("columns: x", "columns: X", "t has no cell 'a', 'X'"),
        ("rows: [a, b]", "rows: [a, B]", "t has no cell 'B', 'x'"),
        ("rows: [a, b]", "rows: [a, c]", "t has no cell 'c', 'x'"),
        ("columns: x", "columns: size", "t has no cell 'a', 'size'"),
    ],
)
def test_a_claim_about_no_table_or_no_cell_is_refused(paper, old, new, message):
    (paper / "claims.yaml").write_text(f"claims: [{CLAIM}]")
    assert [claim.id for claim in claims_of("small", table_of("small", "t"))] == ["mine"]
    (paper / "claims.yaml").write_text(f"claims: [{CLAIM.replace(old, new)}]")
    with pytest.raises(InputError, match=rf"claims\.yaml: claim 'mine': {message}"):
        claims_of("small", table_of("small", "t"))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("results/t9_planned.tex", r"planned, but not there yet; README\.md lists what is"),
        ("results/t9_planned.md", r"planned, but not there yet; README\.md lists what is"),
        ("results/t1_flour.paired.csv", r"no such target; did you mean results/t1_flower\.paired\.csv\?"),
        ("figures/t9_planned.pdf", r"no such target; README\.md lists what there is"),
    ],
)
def test_a_target_that_cannot_be_made_is_one_line(tmp_path, monkeypatch, target, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text(
        "| results/t9_planned.tex | Table 9 | planned |\n| results/t1_flower.tex | Table 1 | **available** |\n"
    )
    known = {"results": ["t1_flower"], "figures": ["f1"]}
    with pytest.raises(InputError, match=rf"\A{target}: {words}\Z"):
        check_target(target, known)
    for fine in (
        "results/t1_flower.md",
        "all",
        "runs/t9_planned.tex",
        "results/x.tex/y",
        "margins=results/x.tex",
        "-n",
    ):
        check_target(fine, known)
