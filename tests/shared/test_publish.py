import csv

import pytest

from shared import publish as publishing
from shared.errors import InputError
from shared.files import read_json, write_json, write_text
from tests.repository import write_paper


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A paper with one finished table, whose cells hold commas, and one of its two runs evaluated."""
    write_paper(tmp_path)
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "cells.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["row", "protocol", "scale"], ["a, b", "one, two", "reduced"]])
    write_text("results/table1_line.csv", (tmp_path / "cells.csv").read_text())
    write_text("results/table1_line.md", "| a |\n")
    write_text("results/table1_line.tex", "a")
    trained = {"spec": {}, "spec_sha256": "s", "fingerprint": "f", "data": {}, "diverged": None}
    trained["provenance"] = {"commit": "c"}
    for run in ("small", "large"):
        write_json(f"runs/reduced/tiny/line/{run}/seed0/train.json", trained | {"history": [{"loss": 2}, {"loss": 1}]})
    metrics = {"fingerprint": "g", "protocol": "p", "metrics": [{"key": "error", "value": 3}], "provenance": {}}
    write_json("runs/reduced/tiny/line/small/seed0/metrics.json", metrics)
    return tmp_path


def test_tables_are_copied_with_the_provenance_of_their_runs(finished):
    written = publishing.publish("tiny", "reduced")
    folder = finished / "papers" / "tiny" / "reproduced"
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in written)
    assert (folder / "table1_line.tex").read_text() == "a"
    runs = read_json(folder / "provenance.json")["experiments"]["line"]
    assert set(runs) == {"small/seed0", "large/seed0"}
    assert runs["small/seed0"]["metrics"] == [{"key": "error", "value": 3}]
    assert runs["large/seed0"]["last_epoch"] == {"loss": 1}
    assert "metrics" not in runs["large/seed0"]


def test_a_table_of_another_scale_is_refused(finished):
    with pytest.raises(InputError, match=r"table1_line\.csv: made at scale reduced, not paper"):
        publishing.publish("tiny", "paper")
    assert not (finished / "papers" / "tiny" / "reproduced").exists()


def test_without_the_runs_nothing_is_published(finished):
    for record in finished.glob("runs/**/train.json"):
        record.unlink()
    with pytest.raises(InputError, match="no finished runs"):
        publishing.publish("tiny", "reduced")
    assert not (finished / "papers" / "tiny" / "reproduced").exists()


def test_nothing_finished_is_said(tmp_path, monkeypatch):
    write_paper(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="tiny: no finished table or figure"):
        publishing.publish("tiny", "demo")
