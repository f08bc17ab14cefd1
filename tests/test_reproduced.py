"""What was published stays true: each table is what the present rules and layouts make of the records of its runs."""

from pathlib import Path

import pytest

from shared.files import read_json
from shared.report.paper import targets
from shared.report.tidy import to_csv
from shared.stages.aggregate import frame_of
from shared.stages.publish import MARGINS, runs_of
from shared.stages.render import rendered

PUBLISHED = sorted(
    csv for csv in Path("papers").glob("*/reproduced/*/*.csv") if not csv.stem.endswith(".paired")
)  # fmt: skip


def test_tables_were_published():
    assert {csv.stem for csv in PUBLISHED} >= {"table1_mnist", "table2_oxford_flower", "table5_flat_networks"}


@pytest.mark.parametrize("csv", PUBLISHED, ids=lambda csv: "/".join(csv.parts[1:]))
def test_a_published_table_is_what_its_records_give(csv):
    paper, content = csv.parts[1], read_json(csv.with_name("provenance.json"))
    assert csv.stem in targets(paper, "tables")
    frame = frame_of(paper, csv.stem, runs_of(content), content["scale"], MARGINS)
    assert csv.read_text(encoding="utf-8") == to_csv(frame)
    assert (frame.filter(regex="^reproduced(_mean)?$") != "").any(axis=None)  # a number, or a layer
    files = rendered(paper, csv.stem, csv)
    assert set(files) == {".md", ".tex"}
    for suffix, text in files.items():
        assert csv.with_suffix(suffix).read_text(encoding="utf-8") == text


def test_only_runs_at_scale_paper_are_judged():
    for csv in PUBLISHED:
        content = read_json(csv.with_name("provenance.json"))
        runs = [run for run in runs_of(content) if not run.is_count]
        assert {run.comparable for run in runs} <= {content["scale"] == "paper"}
