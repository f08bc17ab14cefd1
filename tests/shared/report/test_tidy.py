"""From files of metrics to the tidy table."""

import pytest

from shared.errors import InputError
from shared.report.layout import Column, Panel, Row, Stub, Table, words
from shared.report.reported import Reported
from shared.report.tidy import build, fixed, load_runs, read_table_csv, to_csv
from shared.report.view import make_view
from tests.shared.report.example import COUNTS, MARGINS, REPORTED, REPORTED_COUNTS, TABLE, metrics, write

COLUMNS = (
    "table,row,column,metric,unit,direction,reported_mean,reported_spread,reported_spread_kind,reported_n,"
    "reproduced_mean,reproduced_sd,reproduced_n,reproduced_mc_error,difference,verdict,protocol,scale,data"
)

METRIC = {"key": "k", "variant": "", "name": "K", "value": 1.0, "unit": ""}


def table(folder, *contents):
    folder.mkdir(exist_ok=True)
    frame = build(TABLE, REPORTED, load_runs(write(folder, *contents), "example", "paper"), MARGINS, "paper")
    return frame.set_index(["row", "column"])


def test_columns_and_values_of_the_csv(tmp_path):
    runs = load_runs(write(tmp_path, metrics(seed=0, fid=99), metrics(seed=1, fid=103)), "example", "paper")
    lines = to_csv(build(TABLE, REPORTED, runs, MARGINS, "paper")).splitlines()
    assert lines[0] == COLUMNS
    assert lines[1] == (
        "table9_example,A,image FID,FID,,lower,100.0,3.0,sd,3,"
        '101.000000,2.828427,2,,1.000000,agrees,test split; 3 neighbours,paper,"Real Flowers, 10 classes"'
    )
    assert lines[2] == (
        "table9_example,A,caption recall,Recall,%,higher,50.0,,,,"
        '51.000000,0.000000,2,,1.000000,agrees (margin only),test split; 3 neighbours,paper,"Real Flowers, 10 classes"'
    )
    assert lines[3] == "table9_example,C,image FID,FID,,lower,120.0,3.0,sd,3,,,,,,not run,,paper,"
    assert len(lines) == 4  # the paper has no caption recall for C


def test_same_bytes_whatever_the_order_of_files(tmp_path):
    files = write(tmp_path, metrics(seed=0, fid=99.1), metrics(seed=1, fid=103.7), metrics("c"))
    tables = [
        to_csv(build(TABLE, REPORTED, load_runs(order, "example", "paper"), MARGINS, "paper"))
        for order in (files, files[::-1])
    ]
    assert tables[0] == tables[1]


def test_reading_returns_what_was_written(tmp_path):
    frame = build(TABLE, REPORTED, [], MARGINS, "paper")
    (tmp_path / "table.csv").write_text(to_csv(frame))
    assert read_table_csv(tmp_path / "table.csv", TABLE, REPORTED).equals(frame)
    with pytest.raises(InputError, match="not table8_counts"):
        read_table_csv(tmp_path / "table.csv", COUNTS, REPORTED_COUNTS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("9_example,C,", "9_example,D,", r"cells are not those of table9_example \('D', 'image FID'\)"),
        ("table9_example,C,image FID,FID,,lower,120.0,3.0,sd,3,,,,,,not run,,paper,\n", "", r"\('C', 'image FID'\)"),
        ("101.000000", "1o1", "'A', 'image FID': reproduced_mean is '1o1', no finite number"),
        ("101.000000", "nan", "reproduced_mean is 'nan'"),
        ("101.000000,,1,", "101.000000,,,", "reproduced_n is ''"),
        ("101.000000,,1,", "101.000000,,1.5,", "reproduced_n is '1.5'"),
        ("101.000000,,1,", "101.000000,,0,", "reproduced_n is '0'"),
        (",not run,,paper", ",inconclusive,,paper", "'C', 'image FID': verdict is 'inconclusive', which is none"),
        (",not run,,paper", ",not run,,demo", "made at scales demo, paper"),
        ("100.0,3.0,sd", "100.0,3.0,std", "reported_spread_kind is 'std', in reported.csv 'sd'"),
        ("C,image", "C\udcff,image", "not a CSV table"),
    ],
)
def test_a_damaged_or_stale_table_is_one_line(tmp_path, old, new, message):
    runs = load_runs(write(tmp_path, metrics()), "example", "paper")
    text = to_csv(build(TABLE, REPORTED, runs, MARGINS, "paper"))
    assert text.count(old) == 1
    (tmp_path / "table.csv").write_bytes(text.replace(old, new).encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=rf"table\.csv: .*{message}.*aggregate again") as error:
        read_table_csv(tmp_path / "table.csv", TABLE, REPORTED)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"stand_in": True},
        {"protocol": "test split; 5 neighbours"},
        {"data": "Other Flowers"},
        {"data": "UnReal Flowers, 10 classes"},
        {"protocol": "test split; 13 neighbours"},
    ],
)
def test_another_setting_is_not_comparable(tmp_path, changes):
    verdicts = table(tmp_path, metrics(**changes), metrics("c", **changes))["verdict"]
    assert set(verdicts) == {"not comparable"}


def test_stand_ins_say_so_in_their_data(tmp_path):
    assert table(tmp_path, metrics(stand_in=True))["data"].iloc[0] == "stand-in: Real Flowers, 10 classes"


def test_a_substitute_metric_keeps_its_name_and_is_not_comparable(tmp_path):
    content = metrics()
    content["metrics"][0]["name"] = "FID (classifier features)"
    cells = table(tmp_path, content)
    assert cells.loc[("A", "image FID"), ["metric", "verdict"]].tolist() == [
        "FID (classifier features)",
        "not comparable",
    ]
    assert cells.loc[("A", "caption recall"), "verdict"] == "agrees (margin only)"


def test_the_estimators_own_error_is_that_of_the_mean(tmp_path):
    first, second = metrics(seed=0), metrics(seed=1)
    for content, error in ((first, 0.3), (second, 0.4)):
        content["metrics"][0]["monte_carlo_error"] = error
    first["metrics"][1]["monte_carlo_error"] = 0.1  # and the second one's is unknown
    errors = table(tmp_path, first, second)["reproduced_mc_error"]
    assert errors["A", "image FID"] == "0.250000"  # sqrt(0.3² + 0.4²) / 2
    assert errors["A", "caption recall"] == ""
    assert errors["C", "image FID"] == ""


def test_diverged_runs(tmp_path):
    lost = {"diverged": {"epoch": 3, "step": 10}, "metrics": []}
    alone = table(tmp_path / "alone", metrics(**lost))
    assert alone.loc[("A", "image FID"), ["verdict", "reproduced_mean"]].tolist() == ["diverged (epoch 3, step 10)", ""]
    some = table(tmp_path / "some", metrics(seed=0), metrics(seed=1, **lost))
    assert some.loc[("A", "image FID"), "verdict"] == "diverged (1 of 2 seeds: epoch 3, step 10)"
    assert some.loc[("A", "image FID"), "reproduced_n"] == "1"


def test_mixed_fingerprints_of_one_model_are_noted_and_of_two_models_are_not(tmp_path):
    mixed = table(tmp_path / "mixed", metrics(seed=0), metrics(seed=1, fingerprint="f1"))
    assert mixed["protocol"].iloc[0] == "test split; 3 neighbours; mixed code fingerprints"
    apart = table(tmp_path / "apart", metrics(), metrics("c", fingerprint="f1"))
    assert set(apart["protocol"]) == {"test split; 3 neighbours"}


def test_models_whose_training_loop_or_evaluation_is_another_are_noted(tmp_path):
    mixed = table(tmp_path, metrics(), metrics("c", fingerprint="f1", pipeline="p1"))
    assert set(mixed["protocol"]) == {"test split; 3 neighbours; mixed code fingerprints"}


def test_inconclusive_says_what_could_have_been_seen(tmp_path):
    # 4.302653 * 3 * sqrt(1/3 + 1) = 14.905, and half a digit
    cells = table(tmp_path, metrics(fid=112.0))
    assert cells.loc[("A", "image FID"), "verdict"] == "inconclusive (detectable from 15)"


def test_counts_are_comparable_at_every_scale(tmp_path):
    content = {"paper": "example", "experiment": "flowers", "model": "a", "scale": "demo", "fingerprint": "f"}
    files = write(tmp_path, content | {"latent_variables": 2, "parameters": 19_300_000})
    frame = build(COUNTS, REPORTED_COUNTS, load_runs(files, "example", "demo"), MARGINS, "demo")
    line = frame.iloc[0]
    assert line["reproduced_mean"] == "19.300000"
    assert line["verdict"] == "agrees (margin only)"
    assert line["data"] == "none"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": "demo"}, "scale is 'demo'"),
        ({"paper": "other"}, "paper is 'other'"),
        ({"metrics": [{"key": "image/fid"}]}, "make it again"),
        ({"metrics": [METRIC | {"value": float("nan")}]}, "k is nan"),
        ({"protocol": None}, "protocol is None"),
        ({"data": 3}, "data is 3"),
        ({"seed": "0"}, "seed is '0'"),
        ({"metrics": None}, "make it again"),
        ({"metrics": [METRIC | {"unit": None}]}, "unit is None"),
        ({"metrics": [METRIC | {"value": None}]}, "k is None"),
        ({"metrics": [METRIC | {"value": "abc"}]}, "k is 'abc'"),
        ({"metrics": [METRIC, METRIC]}, "k twice"),
        ({"metrics": [METRIC | {"monte_carlo_error": "x"}]}, "k is 'x'"),
        ({"metrics": [METRIC | {"monte_carlo_error": float("inf")}]}, "k is inf"),
    ],
)
def test_wrong_files_are_one_line(tmp_path, changes, message):
    with pytest.raises(InputError, match=rf"0\.json: .*{message}") as error:
        load_runs(write(tmp_path, metrics(**changes)), "example", "paper")
    assert "\n" not in str(error.value)


def test_the_same_run_twice(tmp_path):
    with pytest.raises(InputError, match="the same run as"):
        load_runs(write(tmp_path, metrics(), metrics()), "example", "paper")


def test_another_unit_is_refused(tmp_path):
    content = metrics()
    content["metrics"][1]["unit"] = ""
    with pytest.raises(InputError, match="caption/recall has unit ''"):
        table(tmp_path, content)


def test_no_negative_zero():
    assert [fixed(-1e-9), fixed(0.0), fixed(-0.5)] == ["0.000000", "0.000000", "-0.500000"]


def test_models_may_stand_in_columns_and_metrics_in_rows(tmp_path):
    """The transposed example: each cell finds the number that it had before."""
    columns = tuple(Column(words(""), words(name), name, run=f"flowers/{name.lower()}") for name in "AC")
    rows = (
        Row(words("FID"), "image FID", key="image/fid", stub="I"),
        Row(words("FID, means"), "image FID, means", key="image/fid", variant="mean:1", stub="I,L", columns=("C",)),
    )
    turned = Table(
        "table9", "Table 9", words("t"), (Panel(words(""), words("Metric"), rows, columns, Stub(words("In"))),)
    )
    reported = {
        ("image FID", "A"): Reported(100.0, metric="FID", decimals=1),
        ("image FID", "C"): Reported(None, metric="FID", decimals=1),
        ("image FID, means", "C"): Reported(120.0, metric="FID", decimals=1),
    }
    runs = load_runs(write(tmp_path, metrics(fid=103.0), metrics("c", fid=119.5)), "example", "paper")
    frame = build(turned, reported, runs, MARGINS, "paper").set_index(["row", "column"])
    assert frame["reproduced_mean"].tolist() == ["103.000000", "", "119.500000"]
    assert frame["verdict"].tolist() == ["agrees (margin only)", "not run", "agrees (margin only)"]
    view = make_view(turned, build(turned, reported, runs, MARGINS, "paper"), reported, [])
    assert [line.stub for line in view.panels[0].lines] == ["I", "I,L"]
    assert [number and str(number) for number in view.panels[0].lines[0].reported] == ["100.0", None]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (Row(words("a"), "a", run="x/a"), Column(words(""), words("b"), "b")),
        (Row(words("a"), "a", key="k"), Column(words(""), words("b"), "b", key="k", run="x/b")),
        (Row(words("a"), "a", run="x/a"), Column(words(""), words("b"), "b", key="k", run="x/b")),
    ],
)
def test_a_cell_has_one_run_and_one_metric(row, column):
    with pytest.raises(ValueError, match="either the row or the column"):
        Panel(words(""), words(""), (row,), (column,))
