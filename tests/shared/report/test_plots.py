"""Sweeps laid out, aggregated and drawn: what is on the page is what the CSV says."""

import pytest

from shared.report.drawing import Page
from shared.report.layout import Column, Figure, Table, runs_needed, sweep, words
from shared.report.plots import lines, scatter
from shared.report.reported import Reported
from shared.report.tidy import build, load_runs
from tests.shared.report.example import MARGINS, metrics, write

COLUMNS = (
    Column(words(""), words("FID"), "FID", "image/fid"),
    Column(words(""), words("Recall"), "recall", "caption/recall"),
)
TABLE = Table(
    "fig1_sweep", "Fig. 1", words("t"), (sweep("flowers", {"a": "A", "b": "B"}, "beta", [0.5, 1.0, 4.0], 1.0, COLUMNS),)
)


@pytest.fixture
def frame(tmp_path):
    """Three seeds of A, one of B, of which the largest value is missing; the paper has numbers of A's FID."""
    means = {"a~beta=0.5": 100.0, "a": 110.0, "a~beta=4.0": 120.0}
    contents = [metrics(model, seed, fid=mean + seed) for model, mean in means.items() for seed in range(3)]
    contents += [metrics("b~beta=0.5", fid=80.0), metrics("b", fid=70.0)]
    contents[-1]["metrics"][0]["standard_error"] = 4.0
    reported = {
        (row, column): Reported(
            99.0 if row[0] == "A" and column == "FID" else None, unit="%" if column == "recall" else ""
        )
        for row, column in TABLE.names
    }
    return build(TABLE, reported, load_runs(write(tmp_path, *contents), "example", "paper"), MARGINS, "paper")


def test_the_base_value_is_the_base_run():
    assert [run for run, _ in runs_needed(TABLE)] == [
        *("flowers/a~beta=0.5", "flowers/a", "flowers/a~beta=4.0"),
        *("flowers/b~beta=0.5", "flowers/b", "flowers/b~beta=4.0"),
    ]
    own = sweep("e", {"a": "A", "b": "B"}, "beta", [1, 2], {"a": 1, "b": 2}, COLUMNS)
    assert [row.run for row in own.rows] == ["e/a", "e/a~beta=2", "e/b~beta=1", "e/b"]


def drawn(axes, filled=True):
    """{label or colour: (x, y)} of the lines on a panel that have markers."""
    wanted = [line for line in axes.lines if line.get_marker() not in ("None", "_", "|")]
    wanted = [line for line in wanted if (line.get_markerfacecolor() != "none") == filled]
    return {line.get_color(): (list(line.get_xdata()), list(line.get_ydata())) for line in wanted}


def test_lines_bands_and_hollow_markers(frame):
    fid, recall = lines("beta")(frame, "note").axes
    assert [fid.get_title(), recall.get_title()] == ["FID", "recall (%)"]
    assert list(drawn(fid).values()) == [([0.5, 1.0, 4.0], [101.0, 111.0, 121.0]), ([0.5, 1.0], [80.0, 70.0])]
    (reported,) = drawn(fid, filled=False).values()
    assert reported == ([0.5, 1.0, 4.0], [99.0] * 3)
    assert drawn(recall, filled=False) == {}
    a, b = [each[2][0].get_segments() for each in fid.containers if each[0].get_markerfacecolor() != "none"]
    assert [sorted(segment[:, 1]) for segment in a] == [
        [100, 102],
        [110, 112],
        [120, 122],
    ]  # of 100, 101, 102 and so on
    assert sorted(b[-1][:, 1]) == [66.0, 74.0]  # a single run: over test points
    band = fid.collections[1].get_paths()[0].vertices
    assert {100.0, 102.0, 120.0, 122.0} <= set(band[:, 1])


def test_margin_legend_and_what_the_errors_are(frame):
    page = lines("beta", log=True)(frame, "scale: paper")
    assert "errors: standard deviation over seeds" in " ".join(page.texts[-1].get_text().split())
    assert [text.get_text() for text in page.legends[0].get_texts()] == ["A", "B", "reported"]
    assert page.axes[0].get_xscale() == "log"
    assert [tick.get_text() for tick in page.axes[0].get_xticklabels()] == ["0.5", "1.0", "4.0"]


def test_scatter_joins_a_series_and_labels_its_points(frame):
    (axes,) = scatter("recall", "FID", "beta")(frame, "").axes
    x, y = next(iter(drawn(axes).values()))
    assert (x, y) == ([51.0] * 3, [101.0, 111.0, 121.0])
    assert [text.get_text() for text in axes.texts] == ["0.5", "1.0", "4.0", "0.5", "1.0"]  # B at 4 was not run
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("recall (%)", "FID")


def test_nothing_run_says_so(frame):
    frame.loc[:, ["reproduced_mean", "reported_mean"]] = ""
    fid, _ = lines("beta")(frame, "").axes
    assert [text.get_text() for text in fid.texts] == ["not run"]


def test_a_diverged_model_is_not_drawn_by_its_surviving_seeds(frame):
    frame.loc[frame["row"] == "A, beta=4.0", "verdict"] = "diverged (1 of 3 seeds: epoch 1, step 2)"
    assert next(iter(drawn(lines("beta")(frame, "").axes[0]).values()))[0] == [0.5, 1.0]


def test_values_may_stand_in_columns_and_be_words(frame):
    frame["column"] = frame["row"].str.rpartition(", ")[2].str.replace("4.0", "all")
    frame["row"] = frame["row"].str.partition(",")[0]
    (axes,) = lines("beta")(frame.drop_duplicates(["row", "column"]), "").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.5", "1.0", "all"]
    assert next(iter(drawn(axes).values()))[0] == [0.0, 1.0, 2.0]


def test_names_are_no_mathematics(frame, tmp_path):
    frame["row"] = frame["row"].str.replace("A", "A costs $5 and $x^")
    lines("beta")(frame, "$").savefig(tmp_path / "figure.png")


def test_a_figure_of_numbers_is_a_table_of_its_name():
    assert Figure("fig1_sweep", lines("beta"), table=TABLE).table is TABLE
    for name, options in (("fig2", {"table": TABLE}), ("fig1_sweep", {"table": TABLE, "runs": ("e/a",)}), ("fig2", {})):
        with pytest.raises(ValueError, match="shows runs or data, or else a table of its own name"):
            Figure(name, lines("beta"), **options)


@pytest.mark.parametrize("height", [0.8, 1.0, 3.0])
def test_the_note_in_the_margin_stays_on_the_page_and_off_what_is_drawn(height):
    """On a low page it takes many lines: the page then grows to the right."""
    page = Page(7.2, height)
    page.axes(0.1, 0.1, 6.8, height - 0.2)
    page.text(3.0, 0.05, "above")
    page.margin(
        "scale: demo · flowers drawn by the package, caption features of a network · not comparable with the paper"
    )
    page.figure.canvas.draw()
    *_, note = page.figure.texts
    box = note.get_window_extent()
    (axes,) = page.figure.axes
    width, top = page.figure.bbox.width, page.figure.bbox.height
    assert axes.get_window_extent().x1 < box.x0
    assert box.x1 <= width
    assert box.y0 >= -1
    assert box.y1 <= top + 1
    assert axes.get_window_extent().width == pytest.approx(6.8 * page.figure.dpi)
