"""The layouts fit the reported numbers, cell for cell."""

from pathlib import Path

import pytest

from papers.hmvae.evaluation import PROTOCOL
from papers.hmvae.tables import TABLES
from shared.report.compare import load_margins, margin_for
from shared.report.layout import cell_of
from shared.report.reported import load_reported


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_reported_number_has_its_place_and_every_place_its_number(table):
    reported = load_reported(Path("papers/hmvae/reported.csv"), table.name)
    assert sorted(reported) == sorted(table.names + table.described)
    hierarchy = [(row, column) for row, column in table.names if row.startswith("(b)")]
    assert all(row.split()[1].startswith(column.split()[0]) for row, column in hierarchy)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_metric_has_a_margin(table):
    margins = load_margins(Path("config/margins.yaml"))
    for row, column in table.cells():
        margin_for(margins, cell_of(row, column).key)


def test_rows_stand_in_the_papers_order():
    models, hierarchy = TABLES["table2_oxford_flower"].panels
    assert [row.run for row in models.rows] == [
        "oxford_flower/mvae",
        "oxford_flower/mmvae",
        "oxford_flower/mdvae",
        "oxford_flower/hmvae_shallow",
        "oxford_flower/mhvae",
        "oxford_flower/hmvae_deep",
    ]
    assert [row.variant for row in hierarchy.rows] == [
        "",
        "mean:1",
        "mean:1-2",
        "mean:1-3",
        "mean:1-4",
        "",
        "mean:1",
    ]
    assert {row.run for row in hierarchy.rows} == {"oxford_flower/hmvae_deep"}


def test_headings_of_the_hierarchy():
    labels = [row.label for row in TABLES["table2_oxford_flower"].panels[1].rows]
    assert labels[2].latex == r"$\{z_{1,1}, z_{1,2}\}$"
    assert labels[4].latex == r"$\{z_{1,1}, \dots, z_{1,4}\}$"
    assert labels[6].plain == "{z21}"


def test_the_evaluations_own_words_meet_the_tables_demands():
    table = TABLES["table2_oxford_flower"]
    papers = {"fid": "Inception features", "manifold": "ResNet-101 features", "neighbours": 3, "samples": 100}
    assert all(phrase in PROTOCOL.format(**papers, captions="all") for phrase in table.protocol)
    for change in ({"fid": "classifier features"}, {"neighbours": 5}, {"samples": 20}, {"captions": 200}):
        text = PROTOCOL.format(**{**papers, "captions": "all", **change})
        assert not all(phrase in text for phrase in table.protocol)
