"""What is published is what runs on real data give, every run of it can be traced, and what was there stays."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from shared.errors import InputError
from shared.files import read_json, write_json, write_text
from shared.report.reported import COLUMNS
from shared.run.spec import data_key
from shared.stages import publish as publishing
from tests.repository import write_paper
from tests.shared.report.example import paper_in

TABLES = """
from shared.report.layout import Column, Panel, Row, Table, TextColumn, TextTable, words

_rows = Row(words("a, b"), "a, b", "line/small"), Row(words("c"), "c", "line/large")
_panel = Panel(words(""), words(""), _rows, (Column(words(""), words("Error"), "error", "error"),))
_size = Panel(words(""), words(""), _rows[:1], (Column(words(""), words("Size"), "size", "architecture/parameters"),))
TABLES = {
    "table1_line": Table("table1_line", "Table 1", words(""), (_panel,)),
    "table2_size": Table("table2_size", "Table 2", words(""), (_size,)),
    "table3_networks": TextTable(
        "table3_networks", "Table 3", words(""), (TextColumn(words("e"), "e", "line/small", ("encode",)),)
    ),
}
"""
FIGURES = """
from matplotlib.figure import Figure as Picture

from shared.report.layout import Figure


def draw(samples, note):
    picture = Picture(figsize=(1, 1))
    picture.text(0.5, 0.5, " ".join(sorted(samples)) + note)
    return picture


FIGURES = {"fig1_line": Figure("fig1_line", draw, runs=("line/small", "line/large"))}
"""
CLAIM = "{id: mine, table: table1_line, claim: c, place: p, checks: [{form: less, columns: error, rows: ['a, b', c]}]}"
DATA = {"name": "points", "source": "official"}
RUNS = "runs/reduced/tiny/line"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A paper with tables of numbers, counts and words, and a figure; nothing has been run."""
    folder = write_paper(tmp_path).parent
    monkeypatch.chdir(tmp_path)
    write_text(folder / "__init__.py", "")
    write_text(folder / "tables.py", TABLES)
    write_text(folder / "figures.py", FIGURES)
    write_text(folder / "claims.yaml", f"claims: [{CLAIM}]")
    lines = [f'table1_line,"{row}",error,Error,,lower,2.5,,,,1,Table 1,' for row in ("a, b", "c")]
    lines.append('table2_size,"a, b",size,Size,M,none,2.0,,,,1,Table 2,')
    write_text(folder / "reported.csv", "\n".join([",".join(COLUMNS), *lines]) + "\n")
    text = "table,row,column,text,source,note\ntable3_networks,1,e,Linear 3-4,Table 3,\n"
    write_text(folder / "reported_text.csv", text)
    write_text("config/margins.yaml", "error: {'': {absolute: 1}}\narchitecture/*: {M: {absolute: 1}}")
    with paper_in(tmp_path / "papers", "tiny"):
        yield tmp_path


def run(model, value, seed=0, stand_in=False, points=None):
    """An evaluated run."""
    names = {"paper": "tiny", "experiment": "line", "model": model, "scale": "reduced", "seed": seed}
    folder = Path(RUNS, model, f"seed{seed}")
    trained = {"spec": names | {"data": DATA}, "spec_sha256": "s", "fingerprint": "f", "diverged": None}
    trained |= {"data": {"stand_in": stand_in, "description": "points"}, "provenance": {"commit": "c"}}
    write_json(folder / "train.json", trained | {"history": [{"loss": 2}, {"loss": 1}]})
    metrics = {"fingerprint": "g", "pipeline": "p", "comparable": True, "protocol": "one, two", "provenance": {}}
    metrics |= {"data": "points", "stand_in": stand_in}
    metrics["metrics"] = [{"key": "error", "variant": "", "value": value, "unit": ""}]
    write_json(folder / "metrics.json", names | metrics)
    np.savez(folder / "samples.npz", scale="reduced", data="points", stand_in=stand_in)
    np.savez(folder / "points.npz", **({} if points is None else {"error@": np.array(points)}))


def published(name=""):
    return Path("papers/tiny/reproduced/reduced", name)


def cells():
    lines = published("table1_line.csv").read_text().splitlines()[1:]
    return [line.split(",Error,")[1].split(",")[6] for line in lines]  # reproduced_mean


def test_tables_and_figures_are_made_with_the_provenance_of_their_runs(root):
    run("small", 3.0)
    written = publishing.publish("tiny", "reduced")
    assert sorted(path.name for path in written) == sorted(path.name for path in published().iterdir())
    names = {"provenance.json", "fig1_line.pdf", "fig1_line.png", *(f"table1_line.{s}" for s in ("csv", "md", "tex"))}
    assert {path.name for path in written} == names
    assert cells() == ["3.000000", ""]
    record = read_json(published("provenance.json"))["experiments"]["line"]["small/seed0"]
    assert record["metrics"][0]["value"] == 3.0
    assert record["last_epoch"] == {"loss": 1}
    assert record["training"] == {"commit": "c"}


def test_publishing_twice_changes_nothing(root):
    run("small", 3.0, points=[1.0, 5.0])
    run("large", 4.0, points=[1.0, 7.0])
    publishing.publish("tiny", "reduced")
    before = {path: path.read_bytes() for path in published().iterdir()}
    publishing.publish("tiny", "reduced")
    assert {path: path.read_bytes() for path in published().iterdir()} == before


def test_a_run_of_another_machine_takes_its_place_beside_what_was_published(root):
    run("small", 3.0)
    publishing.publish("tiny", "reduced")
    shutil.rmtree("runs")
    published("fig1_line.png").unlink()
    run("large", 4.0)
    publishing.publish("tiny", "reduced")
    assert cells() == ["3.000000", "4.000000"]
    assert set(read_json(published("provenance.json"))["experiments"]["line"]) == {"small/seed0", "large/seed0"}
    assert not published("fig1_line.png").exists()  # it shows both runs, and one has no samples here


def test_a_run_made_again_replaces_its_record(root):
    run("small", 3.0)
    publishing.publish("tiny", "reduced")
    run("small", 9.0)
    publishing.publish("tiny", "reduced")
    assert cells() == ["9.000000", ""]


def test_a_figure_that_would_stay_beside_another_record_of_its_run_is_refused(root):
    run("small", 3.0)
    run("large", 4.0)
    publishing.publish("tiny", "reduced")
    before = {path: path.read_bytes() for path in published().iterdir()}
    shutil.rmtree("runs")
    run("small", 9.0)
    with pytest.raises(InputError, match=r"\A[^\n]*fig1_line\.png: one of its runs changed[^\n]*\Z"):
        publishing.publish("tiny", "reduced")
    assert {path: path.read_bytes() for path in published().iterdir()} == before


def test_paired_differences_stay_while_their_runs_do(root):
    run("small", 3.0, points=[1.0, 5.0])
    run("large", 4.0, points=[1.0, 7.0])
    publishing.publish("tiny", "reduced")
    before = published("table1_line.paired.csv").read_text()
    assert before.splitlines()[1] == '"a, b",error,c,error,-1.000000,1.000000,2'
    assert "holds (within noise)" in published("table1_line.md").read_text()
    shutil.rmtree(f"{RUNS}/large")
    shutil.rmtree(published("fig1_line.png").parent / "none", ignore_errors=True)
    publishing.publish("tiny", "reduced")  # the other's record is there, its points are not
    assert published("table1_line.paired.csv").read_text() == before
    published("fig1_line.png").unlink()
    run("small", 2.0)
    publishing.publish("tiny", "reduced")
    assert not published("table1_line.paired.csv").exists()
    assert "holds (single runs)" in published("table1_line.md").read_text()


def test_counts_and_words_need_no_training(root):
    content = {"paper": "tiny", "experiment": "line", "model": "small", "scale": "reduced", "fingerprint": "f"}
    content |= {"comparable": True, "latent_variables": 2, "parameters": 2_000_000}
    run("large", 1.0)
    write_json(f"{RUNS}/small/architecture.json", content | {"layers": {"encode": ["Linear 3-4"], "other": ["SiLU"]}})
    publishing.publish("tiny", "reduced")
    assert "agrees (margin only)" in published("table2_size.csv").read_text()
    assert "agrees" in published("table3_networks.csv").read_text()
    record = read_json(published("provenance.json"))["experiments"]["line"]["small/architecture"]
    assert record["layers"] == {"encode": ["Linear 3-4"]}  # what tables show


def test_networks_that_metrics_use_are_recorded(root):
    run("small", 3.0)
    folder = Path("runs/reduced/evaluators") / data_key(DATA) / "judge/seed0"
    folder.mkdir(parents=True)
    shutil.copy(f"{RUNS}/small/seed0/train.json", folder)
    publishing.publish("tiny", "reduced")
    networks = read_json(published("provenance.json"))["evaluators"]
    assert networks[data_key(DATA)]["judge/seed0"]["code"] == "f"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: run("small", 3.0, stand_in=True), "train.json: trained on stand-in data"),
        (lambda folder: (folder / "train.json").unlink(), "train.json: no such file"),
        (lambda folder: write_json(folder / "train.json", []), "train.json: without `spec`"),
        (lambda folder: write_json(folder / "metrics.json", {"metrics": []}), "metrics.json: without `fingerprint`"),
    ],
)
def test_what_has_no_record_or_is_of_stand_ins_is_refused(root, damage, message):
    run("small", 3.0)
    damage(Path(RUNS, "small/seed0"))
    with pytest.raises(InputError, match=message) as error:
        publishing.publish("tiny", "reduced")
    assert "\n" not in str(error.value)
    assert not published().exists()


def test_nothing_finished_is_said(root):
    with pytest.raises(InputError, match="tiny: no finished run in runs/paper/tiny; run `snakemake tiny"):
        publishing.publish("tiny", "paper")
