"""Tables 1 to 3 against the paper's text: every printed number, the claims on them, and what stands beside them."""

import csv
import re
from pathlib import Path

import pytest

from papers.mhvae.tables import TABLES
from shared.report.claims import HOLDS, evaluate, load_claims
from shared.report.layout import Cell, cell_of
from shared.report.paper import reported_of
from shared.report.reported import load_reported
from shared.report.view import value_of

HERE = Path("papers/mhvae")
# As the tables print them, row by row: JMVAE, MVAE, MHVAE.
PRINTED = {
    "table1_mnist": """-90.189 - -89.050  -90.241 - -89.183  -125.381 - -121.401  -90.335 - -89.143
        -123.070 - -118.856""",
    "table2_fashion_mnist": """-232.427 -236.613 -231.753  -232.739 -242.628 -232.276  -244.378 -557.582 -243.932
        -232.573 -241.534 -232.248  -242.060 -552.679 -241.662""",
    "table3_celeba": """-6260.35 -6256.65 -6271.35  -6264.59 -6270.86 -6278.19  -7204.36 -7316.12 -7303.64
        -6262.67 -6266.14 -6276.57  -7191.11 -7309.10 -7296.22""",
}


@pytest.mark.parametrize("name", PRINTED)
def test_reported_numbers_are_the_printed_ones_in_reading_order(name):
    cells = load_reported(HERE / "reported.csv", name)
    found = ["-" if each.mean is None else f"{each.mean:.{each.decimals}f}" for each in cells.values()]
    assert found == PRINTED[name].split()
    assert list(cells) == list(dict.fromkeys(TABLES[name].places.values()))


def test_the_mvae_on_fashion_mnist_stands_in_two_protocols_beside_the_same_numbers():
    table = TABLES["table2_fashion_mnist"]
    reported = reported_of("mhvae", table)
    cells = {column.name: cell_of(row, column) for row, column in list(table.cells())[:4]}
    assert cells["MVAE"] == Cell("fashion_mnist/mvae", "likelihood/image", "image")
    assert cells["MVAE (released)"] == Cell("fashion_mnist/mvae", "likelihood/image", "image (released)")
    for row, _ in table.cells():
        assert reported[row.reported, "MVAE"] == reported[row.reported, "MVAE (released)"]
    assert all(column.variant == "" for name in ("table1_mnist", "table3_celeba") for _, column in TABLES[name].cells())


def test_no_caption_claims_the_papers_budget_for_ours():
    for table in TABLES.values():
        assert not re.search(r"\d{2}|importance samples", table.caption.plain)


def test_what_the_papers_own_numbers_say_of_its_claims():
    outcomes = {}
    for name in TABLES:
        reported = load_reported(HERE / "reported.csv", name)
        values = {key: value_of(cell) for key, cell in reported.items() if cell.mean is not None}
        outcomes |= {claim.id: evaluate(claim, values).outcome for claim in load_claims(HERE / "claims.yaml", name)}
    assert outcomes.pop("mnist_mhvae_above_mvae") == "not run"
    assert outcomes.pop("celeba_mhvae_above_others") == "does not hold"  # Table 3 contradicts the opening of section 3
    assert set(outcomes.values()) == {HOLDS}


def claims():
    return {claim.id: claim for claim in load_claims(HERE / "claims.yaml")}


def test_a_claim_on_single_and_joint_metrics_looks_at_no_conditional_one():
    claim = claims()["mnist_mhvae_above_jmvae_single_and_joint"]
    assert {row for row, _ in claim.cells} == {row for row, _ in TABLES["table1_mnist"].names if "|" not in row}


def test_a_tolerance_that_is_not_the_papers_is_said_to_be_ours():
    for claim in claims().values():
        if any(check.share for check in claim.checks):
            assert "a tolerance of ours" in claim.reading


def test_metrics_are_named_as_the_evaluation_names_them():
    with (HERE / "reported.csv").open(newline="") as file:
        names = {line["metric"] for line in csv.DictReader(file)}
    pattern = r"(image|joint|(label|attributes)-to-image) log-likelihood"
    assert all(re.fullmatch(pattern, name) for name in names)
