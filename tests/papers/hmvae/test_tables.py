"""The layouts fit the reported numbers, cell for cell."""

from pathlib import Path

import pytest

from papers.hmvae.tables import TABLES
from shared.report.layout import Table
from shared.report.reported import load_reported

NUMBERS = {name: table for name, table in TABLES.items() if isinstance(table, Table)}


@pytest.mark.parametrize("table", NUMBERS.values(), ids=NUMBERS)
def test_every_reported_number_has_its_place_and_every_place_its_number(table):
    reported = load_reported(Path("papers/hmvae/reported.csv"), table.name)
    assert sorted(reported) == sorted(table.places)
    hierarchy = [(row, column) for row, column in table.names if row.startswith("(b)")]
    assert all(row.split()[1].startswith(column.split()[0]) for row, column in hierarchy)


def test_rows_stand_in_the_papers_order():
    models, hierarchy, beside = TABLES["table2_oxford_flower"].panels
    assert (
        [row.run for row in models.rows]
        == [row.run for row in beside.rows]
        == [
            "oxford_flower/mvae",
            "oxford_flower/mmvae",
            "oxford_flower/mdvae",
            "oxford_flower/hmvae_shallow",
            "oxford_flower/mhvae",
            "oxford_flower/hmvae_deep",
        ]
    )
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
