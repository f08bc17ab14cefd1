"""What is published is what its runs give, on real data, and every run of it can be traced."""

import json
import shutil
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from shared.errors import InputError
from shared.files import read_json, sha256_of, write_json, write_text
from shared.report.compare import load_margins
from shared.report.paper import reported_of, table_of
from shared.report.reported import COLUMNS
from shared.report.tidy import build, load_runs, to_csv
from shared.stages import publish as publishing
from shared.stages.figure import Archive, save
from shared.stages.render import FORMATS, view_of
from tests.repository import EXPERIMENTS, write_paper
from tests.shared.report.example import paper_in

TABLES = """
from shared.report.layout import Column, Panel, Row, Table, words

_rows = Row(words("a, b"), "a, b", "line/small"), Row(words("c"), "c", "line/large")
_panel = Panel(words(""), words(""), _rows, (Column(words(""), words("Error"), "error", "error"),))
TABLES = {"table1_line": Table("table1_line", "Table 1", words(""), (_panel,))}
"""
RUNS = "runs/reduced/tiny/line"


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A paper with one finished table, whose cells hold commas, and one of its two runs evaluated."""
    folder = write_paper(tmp_path).parent
    monkeypatch.chdir(tmp_path)
    write_text(folder / "__init__.py", "")
    write_text(folder / "tables.py", TABLES)
    lines = [f'table1_line,"{row}",error,Error,,lower,2.5,,,,1,Table 1,' for row in ("a, b", "c")]
    write_text(folder / "reported.csv", "\n".join([",".join(COLUMNS), *lines]) + "\n")
    write_text("config/margins.yaml", "error: {absolute: 1}")
    for run in ("small", "large"):
        write_run(run)
    evaluate("small", 3.0)
    with paper_in(tmp_path / "papers", "tiny"):
        aggregate()
        yield tmp_path


def write_run(model, **data):
    trained = {"spec": {}, "spec_sha256": "s", "fingerprint": "f", "data": {"stand_in": False} | data}
    trained |= {"diverged": None, "provenance": {"commit": "c"}, "history": [{"loss": 2}, {"loss": 1}]}
    write_json(f"{RUNS}/{model}/seed0/train.json", trained)


def evaluate(model, value):
    metrics = {"paper": "tiny", "experiment": "line", "model": model, "scale": "reduced", "seed": 0}
    metrics |= {"fingerprint": "g", "pipeline": "p", "data": "points", "stand_in": False, "protocol": "one, two"}
    metrics["metrics"] = [{"key": "error", "variant": "", "name": "Error", "value": value, "unit": ""}]
    write_json(f"{RUNS}/{model}/seed0/metrics.json", metrics | {"provenance": {}})


def aggregate(file="seed0/metrics.json"):
    """The table of the runs there are, as the workflow makes it."""
    table = table_of("tiny", "table1_line")
    runs = load_runs(sorted(Path(RUNS).glob(f"*/{file}")), "tiny", "reduced")
    frame = build(table, reported_of("tiny", table), runs, load_margins(publishing.MARGINS), "reduced")
    write_text("results/table1_line.csv", to_csv(frame))
    view = view_of("tiny", "table1_line", Path("results/table1_line.csv"))
    for suffix, text_of in FORMATS.items():
        write_text(f"results/table1_line{suffix}", text_of(view))


def sample(model, content):
    write_text(f"{RUNS}/{model}/seed0/samples.npz", content)


def draw(scale="reduced"):
    """The figure of the samples there are, as the workflow makes it."""
    files = {f"line/{file.parts[-3]}": file for file in Path(RUNS).glob("*/seed0/samples.npz")}
    samples = {run: Archive({}, "points", False, sha256_of(file)) for run, file in files.items()}
    save(Figure(figsize=(1, 1)), "figures/fig1_line", scale, samples)


def published(root):
    return root / "papers" / "tiny" / "reproduced" / "reduced"


def test_tables_are_copied_with_the_provenance_of_their_runs(finished):
    written = publishing.publish("tiny", "reduced")
    folder = published(finished)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in written)
    assert (folder / "table1_line.tex").read_bytes() == Path("results/table1_line.tex").read_bytes()
    runs = read_json(folder / "provenance.json")["experiments"]["line"]
    assert set(runs) == {"small/seed0", "large/seed0"}
    assert runs["small/seed0"]["metrics"][0]["value"] == 3.0
    assert runs["large/seed0"]["last_epoch"] == {"loss": 1}
    assert "metrics" not in runs["large/seed0"]


def test_what_was_published_before_keeps_its_provenance(finished):
    publishing.publish("tiny", "reduced")
    shutil.rmtree("results")
    shutil.rmtree(f"{RUNS}/large")
    sample("small", "images")
    draw()
    publishing.publish("tiny", "reduced")
    names = {path.name for path in published(finished).iterdir()}
    assert names >= {"table1_line.csv", "fig1_line.png", "fig1_line.pdf"}
    runs = read_json(published(finished) / "provenance.json")["experiments"]["line"]
    assert set(runs) == {"small/seed0", "large/seed0"}


def test_a_run_made_again_is_not_published_beside_what_shows_the_earlier_one(finished):
    publishing.publish("tiny", "reduced")
    before = (published(finished) / "provenance.json").read_text()
    shutil.move("results", "elsewhere")
    sample("small", "images")
    draw()
    evaluate("small", 9.0)
    with pytest.raises(
        InputError, match=r"provenance\.json: table1_line was published without the run line/small/seed0"
    ):
        publishing.publish("tiny", "reduced")
    assert (published(finished) / "provenance.json").read_text() == before
    assert not (published(finished) / "fig1_line.png").exists()
    aggregate()
    publishing.publish("tiny", "reduced")
    runs = read_json(published(finished) / "provenance.json")["experiments"]["line"]
    assert runs["small/seed0"]["metrics"][0]["value"] == 9.0


def test_a_figure_that_stays_keeps_the_record_of_its_runs_and_of_no_other(finished):
    sample("small", "images")
    draw()
    publishing.publish("tiny", "reduced")
    shutil.rmtree("figures")
    evaluate("large", 1.0)  # the figure does not show it
    aggregate()
    publishing.publish("tiny", "reduced")
    evaluate("small", 9.0)
    aggregate()
    with pytest.raises(InputError, match="fig1_line was published without the run line/small/seed0"):
        publishing.publish("tiny", "reduced")


def test_a_run_that_what_stays_does_not_know_is_not_put_beside_it(finished):
    publishing.publish("tiny", "reduced")
    shutil.rmtree("results")
    shutil.copytree(f"{RUNS}/small/seed0", f"{RUNS}/small/seed1")
    sample("small", "images")
    draw()
    with pytest.raises(InputError, match="table1_line was published without the run line/small/seed1"):
        publishing.publish("tiny", "reduced")


def test_a_figure_of_several_runs_is_checked_against_all(finished):
    write_paper(
        finished, EXPERIMENTS.replace("fig1_line: {runs: {line: [small]}}", "fig1_line: {runs: {line: [small, large]}}")
    )
    for model in ("small", "large"):
        sample(model, "images")
    draw()
    publishing.publish("tiny", "reduced")
    sample("large", "other images")
    with pytest.raises(InputError, match=r"fig1_line\.png: not drawn from the samples"):
        publishing.publish("tiny", "reduced")


def test_a_table_of_counts_needs_no_training(finished):
    shutil.rmtree(RUNS)
    write_paper(finished, EXPERIMENTS.replace("needs: metrics", "needs: architecture"))
    tables = finished / "papers" / "tiny" / "tables.py"
    write_text(tables, TABLES.replace('"error", "error"', '"error", "architecture/latent_variables"'))
    write_text("config/margins.yaml", "architecture/*: {absolute: 0}")
    content = {"paper": "tiny", "experiment": "line", "model": "small", "scale": "reduced", "fingerprint": "f"}
    write_json(f"{RUNS}/small/architecture.json", content | {"latent_variables": 2, "parameters": 3})
    with paper_in(finished / "papers", "tiny"):
        aggregate("architecture.json")
        publishing.publish("tiny", "reduced")
        runs = read_json(published(finished) / "provenance.json")["experiments"]["line"]
        assert runs["small/architecture"]["latent_variables"] == 2
        (finished / RUNS / "small" / "architecture.json").unlink()
        with pytest.raises(InputError, match=r"reproduced_mean is '2\.000000', but the runs in .* give ''"):
            publishing.publish("tiny", "reduced")


def test_two_scales_lie_side_by_side(finished):
    other = published(finished).with_name("paper") / "provenance.json"
    write_json(other, {"paper": "tiny", "scale": "paper", "experiments": {}})
    publishing.publish("tiny", "reduced")
    assert read_json(other)["scale"] == "paper"
    assert read_json(published(finished) / "provenance.json")["scale"] == "reduced"


def refused(root, message, scale="reduced"):
    with pytest.raises(InputError, match=message) as error:
        publishing.publish("tiny", scale)
    assert "\n" not in str(error.value)
    assert not published(root).exists()


def test_a_table_of_another_scale_is_refused(finished):
    refused(finished, r"table1_line\.csv: made at scale reduced, not paper", scale="paper")


def test_a_figure_of_another_scale_or_of_no_run_is_refused(finished):
    draw("demo")
    refused(finished, r"fig1_line\.png: says `scale: demo`, not scale: reduced")
    draw()
    shutil.rmtree("results")
    refused(finished, r"fig1_line\.png: no samples in runs/reduced/tiny")


def test_a_stale_figure_is_refused(finished):
    sample("small", "images")
    draw()
    sample("small", "other images")
    refused(finished, r"fig1_line\.png: not drawn from the samples")


def test_a_figure_whose_run_has_no_record_is_refused(finished):
    shutil.rmtree("results")
    sample("small", "images")
    draw()
    (finished / RUNS / "small/seed0/train.json").unlink()
    refused(finished, r"line/small/seed0: no train\.json")


@pytest.mark.parametrize("suffix", ["png", "pdf"])
@pytest.mark.parametrize("damage", [lambda old: b"", lambda old: b"text", lambda old: old[: len(old) // 2]])
def test_a_damaged_figure_is_refused(finished, damage, suffix):
    sample("small", "images")
    draw()
    file = finished / f"figures/fig1_line.{suffix}"
    file.write_bytes(damage(file.read_bytes()))
    refused(finished, rf"fig1_line\.{suffix}: no (picture|whole PDF)")


@pytest.mark.parametrize("suffix", ["md", "tex"])
def test_a_table_that_is_not_its_csv_is_refused(finished, suffix):
    write_text(f"results/table1_line.{suffix}", "stale")
    refused(finished, rf"table1_line\.{suffix}: not what table1_line\.csv gives; render it again")


def test_damaged_records_are_refused(finished):
    publishing.publish("tiny", "reduced")
    provenance = published(finished) / "provenance.json"
    train, metrics = (finished / RUNS / "small/seed0" / name for name in ("train.json", "metrics.json"))
    for file, content, missing in (
        (provenance, "{}", "experiments"),
        (provenance, '{"experiments": {"line": []}}', None),
        (train, "[]", "spec"),
        (train, json.dumps(read_json(train) | {"data": None}), None),
        (metrics, json.dumps(read_json(metrics) | {"provenance": None}).replace("provenance", "origin"), "provenance"),
    ):
        before = file.read_text()
        file.write_text(content)
        what = rf"without `{missing}`" if missing else "`(experiments|data)`"
        with pytest.raises(InputError, match=rf"{file.name}: {what}"):
            publishing.publish("tiny", "reduced")
        file.write_text(before)


def test_every_run_that_a_table_shows_has_its_record(finished):
    (finished / RUNS / "small/seed0/train.json").unlink()  # the other one's is there
    refused(finished, "line/small/seed0: no train.json")


def test_a_stale_table_is_refused(finished):
    evaluate("small", 3.5)
    refused(finished, r"'a, b', 'error': reproduced_mean is '3\.000000', but the runs in .* give '3\.500000'")
    evaluate("small", 3.0)
    evaluate("large", 1.0)
    refused(finished, r"'c', 'error': reproduced_mean is '', but the runs in .* give '1\.000000'")
    shutil.rmtree(f"{RUNS}/large")
    shutil.rmtree(f"{RUNS}/small")
    refused(finished, r"'a, b', 'error': reproduced_mean is '3\.000000', but the runs in .* give ''")
    aggregate()
    refused(finished, "no finished runs in runs/reduced/tiny")


def test_a_verdict_by_other_margins_is_refused(finished):
    write_text("config/margins.yaml", "error: {absolute: 0.1}")
    refused(finished, r"verdict is 'agrees \(margin only\)', but .* give 'differs \(margin only\)'")


def test_stand_in_data_are_refused(finished):
    write_run("small", stand_in=True)
    refused(finished, "small/seed0/train.json: trained on stand-in data")


def test_nothing_finished_is_said(tmp_path, monkeypatch):
    write_paper(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="tiny: no finished table or figure"):
        publishing.publish("tiny", "demo")
