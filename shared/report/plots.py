"""Figures that plot numbers, from a table's CSV alone: lines with error bands, and scatter with labels, in one style.

A name of a row or a column that ends in `<key>=<value>` gives a place on the x axis; what stands before it names the
series (of a row) or the panel (of a column). Ours are filled markers, what the paper reports hollow ones. Imports
matplotlib where it draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from shared.errors import InputError
from shared.report.compare import DIVERGED, NOT_RUN
from shared.report.drawing import FONT, Page, literal

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Draw = Callable[["pd.DataFrame", str], Any]
Style = dict[str, Any]

# Distinguishable without colour vision (Okabe and Ito), and by their markers without any colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_PER_LINE = 3
_TICKS = 8  # values that are written below the axis one by one
_NAN = float("nan")

# All in inches: the page, and around each panel.
_WIDTH, _MARGIN, _LEGEND = 7.2, 0.26, 0.26
_LEFT, _ABOVE, _BELOW, _HEIGHT = 0.55, 0.26, 0.42, 1.75


@dataclass(frozen=True)
class Point:
    """A cell of the table, not a number where unknown. error: the standard deviation over seeds, or else the standard
    error over test points. spread: the reported one."""

    ours: float
    error: float
    reported: float
    spread: float


def lines(key: str, label: str = "", log: bool = False) -> Draw:
    """A panel per metric, a line per series over the values of `key`. label: of the x axis. log: its scale."""

    def draw(frame: pd.DataFrame, note: str) -> Any:
        panels: dict[str, dict[str, dict[str, Point]]] = {}
        units: dict[str, str] = {}
        for line in frame.to_dict("records"):
            (series, x), (panel, other) = _split(line["row"], key), _split(line["column"], key)
            units[panel] = line["unit"]
            panels.setdefault(panel, {}).setdefault(series, {})[x or other] = _point(line)

        def plot(axes: Axes, panel: str, styles: dict[str, Style]) -> None:
            place = _places([x for points in panels[panel].values() for x in points], axes, log)
            for series, points in panels[panel].items():
                _line(axes, [place[x] for x in points], list(points.values()), styles[series])
            axes.set_xlabel(label or key, fontsize=FONT)
            axes.set_title(literal(_with_unit(panel, units[panel])), fontsize=FONT + 1)

        return _page(list(panels), [name for panel in panels.values() for name in panel], plot, frame, note)

    return draw


def scatter(x: str, y: str, key: str = "") -> Draw:
    """A point per row, of the columns x and y. With a key, rows of one series are joined in their order, and each has
    its value beside it; without one, every row is a series."""

    def draw(frame: pd.DataFrame, note: str) -> Any:
        cells = {(line["row"], line["column"]): _point(line) for line in frame.to_dict("records")}
        for column in (x, y):
            if column not in set(frame["column"]):
                raise InputError(f"scatter: no column {column!r}; there are {', '.join(frame['column'].unique())}")
        series: dict[str, list[tuple[str, Point, Point]]] = {}
        for row in dict.fromkeys(row for row, column in cells if column == x):
            name, value = _split(row, key) if key else (row, "")
            series.setdefault(name, []).append((value, cells[row, x], cells[row, y]))

        def plot(axes: Axes, _: str, styles: dict[str, Style]) -> None:
            for name, points in series.items():
                _cloud(axes, points, styles[name])
            units = dict(zip(frame["column"], frame["unit"], strict=True))
            axes.set_xlabel(literal(_with_unit(x, units[x])), fontsize=FONT)
            axes.set_ylabel(literal(_with_unit(y, units[y])), fontsize=FONT)

        return _page([""], list(series), plot, frame, note)

    return draw


def _split(name: str, key: str) -> tuple[str, str]:
    """What stands before `<key>=<value>` in a name, and the value."""
    before, found, value = name.rpartition(f"{key}=")
    return (before.rstrip(", "), value) if found else (name, "")


def _point(line: dict[str, str]) -> Point:
    if line["verdict"].startswith(DIVERGED):  # the seeds that are left were selected by their own success
        line = line | {"reproduced_mean": ""}
    error = line["reproduced_sd"] or line["reproduced_se"]
    texts = (line["reproduced_mean"], error, line["reported_mean"], line["reported_spread"])
    return Point(*(float(text) if text else _NAN for text in texts))


def _with_unit(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def _places(values: list[str], axes: Axes, log: bool) -> dict[str, float]:
    """Where values stand on the x axis: numbers in their places, other words in their order, side by side."""
    names = list(dict.fromkeys(values))
    try:
        places = {name: float(name) for name in names}
    except ValueError:
        places = {name: float(place) for place, name in enumerate(names)}
    if log:
        axes.set_xscale("log")
    if len(places) <= _TICKS:
        axes.minorticks_off()
        axes.set_xticks(list(places.values()), map(literal, places))
    return places


def _line(axes: Axes, places: list[float], points: list[Point], style: Style) -> None:
    order = sorted(range(len(points)), key=places.__getitem__)
    x, points = [places[i] for i in order], [points[i] for i in order]
    made = [(at, p.ours, p.error) for at, p in zip(x, points, strict=True) if p.ours == p.ours]  # others leave no gap
    if made:
        at, ours, error = zip(*made, strict=True)
        axes.errorbar(at, ours, yerr=error, elinewidth=0.6, **style)  # a band has no width at a lone value
        low, high = ([mean + sign * each for mean, each in zip(ours, error, strict=True)] for sign in (-1, 1))
        axes.fill_between(at, low, high, color=style["color"], alpha=0.2, linewidth=0)
    _hollow(axes, x, [p.reported for p in points], [p.spread for p in points], style)


def _cloud(axes: Axes, points: list[tuple[str, Point, Point]], style: Style) -> None:
    _, across, up = zip(*points, strict=True)
    x, y = [p.ours for p in across], [p.ours for p in up]
    axes.errorbar(x, y, xerr=[p.error for p in across], yerr=[p.error for p in up], elinewidth=0.8, **style)
    for (label, *_), *at in zip(points, x, y, strict=True):
        if label and all(each == each for each in at):
            axes.annotate(literal(label), at, xytext=(3, 3), textcoords="offset points", fontsize=FONT - 1)
    _hollow(axes, [p.reported for p in across], [p.reported for p in up], [p.spread for p in up], style)


def _hollow(axes: Axes, x: list[float], y: list[float], spread: list[float], style: Style) -> None:
    if any(each == each for each in y):
        hollow = style | {"linestyle": "", "markerfacecolor": "none", "label": None}
        axes.errorbar(x, y, yerr=spread, elinewidth=0.6, **hollow)


def _page(
    panels: list[str],
    series: Iterable[str],
    plot: Callable[[Axes, str, dict[str, Style]], None],
    frame: pd.DataFrame,
    note: str,
) -> Any:
    """Panels side by side, a legend below, and the note along the right edge."""
    styles = {
        name: {"color": _COLOURS[i % 7], "marker": _MARKERS[i % 7], "markersize": 3.5, "linewidth": 1, "label": name}
        for i, name in enumerate(dict.fromkeys(series))
    }
    per_line = min(len(panels), _PER_LINE)
    width = (_WIDTH - _MARGIN) / per_line
    height = _ABOVE + _HEIGHT * (1.6 if per_line == 1 else 1) + _BELOW
    rows = ceil(len(panels) / per_line)
    page = Page(_WIDTH, rows * height + 2 * _LEGEND)
    for number, panel in enumerate(panels):
        x, y = number % per_line * width + _LEFT, number // per_line * height + _ABOVE
        axes = page.axes(x, y, width - _LEFT - 0.08, height - _ABOVE - _BELOW, visible=True)
        plot(axes, panel, styles)
        axes.tick_params(labelsize=FONT - 0.5)
        axes.spines[["top", "right"]].set_visible(False)
        if not axes.lines and not axes.containers:
            axes.text(0.5, 0.5, NOT_RUN, transform=axes.transAxes, ha="center", fontsize=FONT, style="italic")
    _legend(page, styles, bool((frame["reported_mean"] != "").any()))
    kinds = {"reproduced_sd": "standard deviation over seeds", "reproduced_se": "standard error over test points"}
    error = next((text for column, text in kinds.items() if (frame[column] != "").any()), "")
    page.margin(" · ".join(filter(None, [note, error and f"errors: {error}"])))
    return page.figure


def _legend(page: Page, styles: dict[str, Style], has_reported: bool) -> None:
    from matplotlib.lines import Line2D

    entries = [Line2D([], [], **style | {"label": literal(style["label"])}) for style in styles.values()]
    if has_reported:
        hollow = {"color": "0.3", "marker": "o", "markersize": 3.5, "linestyle": "", "markerfacecolor": "none"}
        entries.append(Line2D([], [], label="reported", **hollow))
    at = ((_WIDTH - _MARGIN) / 2 / _WIDTH, 0.02)
    page.figure.legend(handles=entries, loc="lower center", bbox_to_anchor=at, ncols=5, fontsize=FONT, frameon=False)
