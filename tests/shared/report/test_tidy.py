"""From files of metrics to the tidy table."""

import numpy as np
import pytest
from scipy.stats import sem, ttest_rel

from shared.errors import InputError
from shared.report.layout import Column, Panel, Row, Stub, Table, cell_of, words
from shared.report.reported import Reported
from shared.report.tidy import build, fixed, load_runs, paired, read_table_csv, to_csv
from shared.report.view import make_view
from tests.shared.report.example import COUNTS, MARGINS, REPORTED, REPORTED_COUNTS, TABLE, metrics, write

COLUMNS = (
    "table,row,column,metric,unit,direction,reported_mean,reported_spread,reported_spread_kind,reported_n,"
    "reproduced_mean,reproduced_sd,reproduced_n,reproduced_se,reproduced_mc_error,difference,verdict,protocol,scale,data"
)

METRIC = {"key": "k", "variant": "", "value": 1.0, "unit": ""}


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
        '101.000000,2.828427,2,,,1.000000,agrees,test split; 3 neighbours,paper,"Real Flowers, 10 classes"'
    )
    assert lines[2] == (
        "table9_example,A,caption recall,Recall,%,higher,50.0,,,,"
        '51.000000,0.000000,2,,,1.000000,agrees (margin only),test split; 3 neighbours,paper,"Real Flowers, 10 classes"'
    )
    assert lines[3] == "table9_example,C,image FID,FID,,lower,120.0,3.0,sd,3,,,,,,,not run,,paper,"
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
    assert read_table_csv(tmp_path / "table.csv", TABLE).equals(frame)
    with pytest.raises(InputError, match="not those of table8_counts; aggregate again"):
        read_table_csv(tmp_path / "table.csv", COUNTS)


def test_a_run_that_is_not_the_papers_is_not_comparable(tmp_path):
    verdicts = table(tmp_path, metrics(seed=0), metrics(seed=1, comparable=False), metrics("c"))["verdict"]
    assert verdicts["A", "image FID"] == "not comparable"
    assert verdicts["C", "image FID"] == "differs"


def test_stand_ins_say_so_in_their_data(tmp_path):
    assert table(tmp_path, metrics(stand_in=True))["data"].iloc[0] == "stand-in: Real Flowers, 10 classes"


def test_a_substitute_metric_keeps_its_name_and_is_not_comparable(tmp_path):
    content = metrics()
    content["metrics"][0]["features"] = "classifier features"
    cells = table(tmp_path, content)
    assert cells.loc[("A", "image FID"), ["metric", "verdict"]].tolist() == [
        "FID (classifier features)",
        "not comparable",
    ]
    assert cells.loc[("A", "caption recall"), "verdict"] == "agrees (margin only)"


def test_errors_of_the_mean_over_seeds(tmp_path):
    """Evaluations are independent; the test points are the same, so that their choice does not average out."""
    first, second = metrics(seed=0), metrics(seed=1)
    for content, error in ((first, 0.3), (second, 0.4)):
        content["metrics"][0] |= {"monte_carlo_error": error, "standard_error": 10 * error}
    first["metrics"][1] |= {"monte_carlo_error": 0.1, "standard_error": 0.1}  # and the second one's are unknown
    cells = table(tmp_path, first, second)
    assert cells.loc[("A", "image FID"), "reproduced_mc_error"] == "0.250000"  # sqrt(0.3² + 0.4²) / 2
    assert cells.loc[("A", "image FID"), "reproduced_se"] == "3.535534"  # sqrt((3² + 4²) / 2)
    for name in ("reproduced_mc_error", "reproduced_se"):
        assert cells[name]["A", "caption recall"] == cells[name]["C", "image FID"] == ""


def test_a_difference_within_two_errors_of_the_margin_is_open(tmp_path):
    content = metrics(recall=53.0)  # reported 50.0, margin 2
    assert table(tmp_path / "a", content)["verdict"]["A", "caption recall"] == "differs (margin only)"
    content["metrics"][1]["standard_error"] = 0.5
    assert table(tmp_path / "b", content)["verdict"]["A", "caption recall"] == "inconclusive (detectable from 3.05)"


FIRST = np.array([1.0, 2.0, 6.0, 3.0])


def paired_of(folder, *points, runs=(("flowers/a", 0), ("flowers/b", 0))):
    """Paired differences of a table of one metric, from the points of runs (name, seed)."""
    rows = tuple(Row(words(name), name[-1], name) for name in dict(runs))
    panel = Panel(words(""), words("Model"), rows, (Column(words(""), words("FID"), "FID", "image/fid"),))
    contents = [metrics(name[-1], seed, experiment=name[:-2]) for name, seed in runs]
    found = load_runs(write(folder, *contents, points=points), "example", "paper")
    return paired(Table("table9", "Table 9", words(""), (panel,)), found)


def test_paired_differences_are_those_of_the_points(tmp_path):
    second = FIRST + np.array([1.0, -1.0, 2.0, 2.0])
    frame = paired_of(tmp_path, {"image/fid@": FIRST}, {"image/fid@": second})
    test = ttest_rel(FIRST, second)
    assert frame.iloc[0].tolist() == ["a", "FID", "b", "FID", "-1.000000", "0.707107", "4"]
    assert test.statistic == pytest.approx(-1.0 / 0.707107, rel=1e-5)


def test_paired_differences_of_several_seeds_are_those_of_their_means(tmp_path):
    points = [{"image/fid@": FIRST}, {"image/fid@": FIRST[::-1]}, {"image/fid@": np.array([0.0, 1.0, 0.0, 5.0])}]
    line = paired_of(tmp_path, *points, runs=(("flowers/a", 0), ("flowers/a", 1), ("flowers/b", 0))).iloc[0]
    apart = (FIRST + FIRST[::-1]) / 2 - [0.0, 1.0, 0.0, 5.0]
    assert float(line["difference"]) == pytest.approx(apart.mean())
    assert float(line["standard_error"]) == pytest.approx(sem(apart), abs=1e-6)


@pytest.mark.parametrize(
    ("points", "options"),
    [
        (({"image/fid@": FIRST}, {"image/fid@": FIRST[:3]}), {}),
        (({"image/fid@": FIRST}, {"image/fid@other": FIRST}), {}),
        (({"image/fid@": FIRST}, {}), {}),
        (({"image/fid@": FIRST},), {}),
        (({"image/fid@": FIRST}, {"image/fid@": FIRST}), {"runs": (("flowers/a", 0), ("birds/b", 0))}),
    ],
    ids=["other points", "another variant", "none", "no file", "another experiment"],
)
def test_what_is_not_paired(tmp_path, points, options):
    assert paired_of(tmp_path, *points, **options).empty


def test_a_value_that_only_larger_scales_run_is_said(tmp_path):
    frame = build(TABLE, REPORTED, [], MARGINS, "paper", planned=["flowers/a"])
    assert frame["protocol"].tolist() == ["", "", "larger scales run it"]
    assert set(frame["verdict"]) == {"not run"}
    assert dict(make_view(TABLE, frame, REPORTED, []).notes)["Values"] == "scale paper runs fewer than the larger ones"


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


def test_other_code_behind_a_run_that_the_table_does_not_show_is_not_noted(tmp_path):
    frame = table(tmp_path, metrics(), metrics("another", fingerprint="f1", pipeline="p1"))
    assert "mixed code fingerprints" not in "".join(frame["protocol"])


def test_inconclusive_says_what_could_have_been_seen(tmp_path):
    # 4.302653 * 3 * sqrt(1/3 + 1) = 14.905, and half a digit
    cells = table(tmp_path, metrics(fid=112.0))
    assert cells.loc[("A", "image FID"), "verdict"] == "inconclusive (detectable from 15)"


def test_counts_are_comparable_at_every_scale(tmp_path):
    content = {"paper": "example", "experiment": "flowers", "model": "a", "scale": "demo", "fingerprint": "f"}
    files = write(tmp_path, content | {"comparable": True, "latent_variables": 2, "parameters": 19_300_000})
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
        ({"metrics": [{"key": "image/fid"}]}, "metrics.0.variant"),
        ({"metrics": [METRIC | {"value": float("nan")}]}, "value is nan"),
        ({"protocol": None}, "protocol is None"),
        ({"data": 3}, "data is 3"),
        ({"seed": "0"}, "seed is '0'"),
        ({"comparable": "yes"}, "comparable is 'yes'"),
        ({"metrics": None}, "metrics is None"),
        ({"metrics": [METRIC | {"value": "1"}]}, "value is '1'"),
        ({"metrics": [METRIC, METRIC]}, "k twice"),
        ({"metrics": [METRIC | {"monte_carlo_error": "x"}]}, "monte_carlo_error is 'x'"),
        ({"metrics": [METRIC | {"standard_error": -1.0}]}, "standard_error is -1.0"),
        ({"diverged": {"epoch": 1.5, "step": 2}, "metrics": []}, "diverged.epoch is 1.5"),
    ],
)
def test_wrong_files_are_one_line(tmp_path, changes, message):
    with pytest.raises(InputError, match=rf"0/metrics\.json: .*{message}") as error:
        load_runs(write(tmp_path, metrics(**changes)), "example", "paper")
    assert "\n" not in str(error.value)


def test_a_file_without_comparability_is_of_an_earlier_package(tmp_path):
    content = metrics()
    del content["comparable"]
    with pytest.raises(InputError, match="comparable: Field required; evaluate this run again"):
        load_runs(write(tmp_path, content), "example", "paper")


def test_the_same_run_twice(tmp_path):
    with pytest.raises(InputError, match="the same run as"):
        load_runs(write(tmp_path, metrics(), metrics()), "example", "paper")


def test_another_unit_is_refused(tmp_path):
    content = metrics()
    content["metrics"][1]["unit"] = ""
    with pytest.raises(InputError, match="flowers/a: caption/recall has unit ''"):
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
    c = metrics("c", fid=119.5)
    with pytest.raises(InputError, match="flowers/c has no metric `image/fid`; it has image/fid mean:1, caption"):
        build(turned, reported, load_runs(write(tmp_path, c), "example", "paper"), MARGINS, "paper")
    c["metrics"].append(c["metrics"][0] | {"variant": "", "value": 99.0})
    runs = load_runs(write(tmp_path, metrics(fid=103.0), c), "example", "paper")
    frame = build(turned, reported, runs, MARGINS, "paper").set_index(["row", "column"])
    assert frame["reproduced_mean"].tolist() == ["103.000000", "99.000000", "119.500000"]
    assert frame["verdict"].tolist() == ["agrees (margin only)", "not reported", "agrees (margin only)"]
    view = make_view(turned, build(turned, reported, runs, MARGINS, "paper"), reported, [])
    assert [line.stub for line in view.panels[0].lines] == ["I", "I,L"]
    assert [number and str(number) for number in view.panels[0].lines[0].reported] == ["100.0", None]


def test_two_columns_may_stand_beside_the_same_reported_numbers():
    columns = tuple(
        Column(words(""), words(name), "A", run="flowers/a", variant=variant, name=name)
        for name, variant in (("A", ""), ("A (released)", "(released)"))
    )
    rows = (Row(words("FID"), "FID", key="image/fid", variant="x"),)
    panel = Panel(words(""), words(""), rows, columns)
    assert [cell_of(*cell).variant for cell in Table("t", "T", words(""), (panel,)).cells()] == ["x", "x (released)"]
    assert Table("t", "T", words(""), (panel,)).places == {
        ("FID", "A"): ("FID", "A"),
        ("FID", "A (released)"): ("FID", "A"),
    }
    twice = Panel(words(""), words(""), rows, (columns[0], columns[0]))
    with pytest.raises(ValueError, match="is there twice"):
        Table("t", "T", words(""), (twice,))


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
