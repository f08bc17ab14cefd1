"""A tidy table arranged for reading; `latex`, `markdown` and `terminal` only typeset it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

import pandas as pd

from shared.report.claims import Claim, Outcome, Paired, Value, Values, evaluate, value_of
from shared.report.compare import (
    AGREES,
    DIFFERS,
    DIVERGED,
    INCONCLUSIVE,
    LEVEL,
    MARGIN_ONLY,
    NOT_COMPARABLE,
    NOT_REPORTED,
    NOT_RUN,
)
from shared.report.layout import Column, Panel, Row, Table, Text, cell_of
from shared.report.reported import Cells
from shared.report.tidy import MIXED, NO_DATA, OTHER_SCALES, STAND_IN

MAX_DECIMALS = 6  # what the tidy table holds

STAND_IN_CAPTION = "The data are stand-ins made by this package: no number can be compared with the paper's."

CLAIM_NOTE = (
    "In brackets the numbers that decide. Tied: equal where the claim says more. Within noise: other seeds (Welch's t "
    "test, 95 %), other test points (two standard errors of the paired differences) or other random numbers in the "
    "evaluation (two Monte Carlo errors) could reverse the order, where these are known. Single runs: nothing is known "
    "of other seeds and test points."
)


@dataclass(frozen=True)
class Number:
    """A number with the spread printed beside it, both as text; no spread is the empty string."""

    mean: str
    spread: str = ""

    def __str__(self) -> str:
        return f"{self.mean} ± {self.spread}" if self.spread else self.mean


@dataclass(frozen=True)
class Line:
    """A row of a panel, one entry per column.

    reported: None where the paper has no number: it prints a dash, or has no such cell. Every view writes its own dash.
    reproduced: a number, or why there is none. Both it and the verdict are None where there is no such cell.
    """

    label: Text
    stub: str
    reported: tuple[Number | None, ...]
    reproduced: tuple[Number | str | None, ...]
    verdicts: tuple[str | None, ...]

    @property
    def common_verdict(self) -> str | None:
        """The verdict of the whole row, where its runs rather than its cells decide."""
        distinct = {verdict for verdict in self.verdicts if verdict is not None}
        judged = any(verdict.startswith((AGREES, DIFFERS, INCONCLUSIVE)) for verdict in distinct)
        return distinct.pop() if len(distinct) == 1 and not judged else None

    @property
    def is_empty(self) -> bool:
        """Whether no cell of the row was reproduced."""
        return not any(isinstance(value, Number) for value in self.reproduced)


@dataclass(frozen=True)
class PanelView:
    panel: Panel
    lines: tuple[Line, ...]

    @property
    def is_ours(self) -> bool:
        """Whether the paper has none of these numbers: they are printed alone, and not judged."""
        return not any(number for line in self.lines for number in line.reported)


@dataclass(frozen=True)
class ClaimLine:
    claim: Claim
    reported: Outcome
    reproduced: Outcome


@dataclass(frozen=True)
class View:
    """A table ready to be typeset. notes: (heading, text). commands: (what they make, command)."""

    table: Table
    scale: str
    stand_in: bool
    panels: tuple[PanelView, ...]
    claims: tuple[ClaimLine, ...]
    notes: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]

    @property
    def caption(self) -> Text:
        ours = f"{self.table.number} of the paper, reported beside reproduced (scale: {self.scale})."
        warning = f" {STAND_IN_CAPTION}" if self.stand_in else ""
        base = self.table.caption
        return Text(f"{base.latex} {ours}{warning}", f"{base.plain} {ours}{warning}")


def make_view(
    table: Table, frame: pd.DataFrame, reported: Cells, claims: Sequence[Claim], paired: Paired | None = None
) -> View:
    """Arrange a tidy table, as text, for the reader. paired: what is known of differences between its cells."""
    cells = {(line["row"], line["column"]): line for line in frame.to_dict("records")}
    printed = {key: value_of(cell) for key, cell in reported.items() if cell.mean is not None}
    ours = _values(cells, reported)
    lost = {key for key, line in cells.items() if line["verdict"].startswith(DIVERGED)}
    scale = frame["scale"].iloc[0]
    panels = tuple(_panel(panel, cells, reported) for panel in table.panels)
    return View(
        table=table,
        scale=scale,
        stand_in=bool(frame["data"].str.contains(STAND_IN, regex=False).any()),
        panels=panels,
        claims=tuple(
            ClaimLine(
                claim,
                evaluate(claim, printed, NOT_REPORTED),
                evaluate(claim, ours, DIVERGED if claim.cells & lost else NOT_RUN, paired),
            )
            for claim in claims
        ),
        notes=tuple(_notes(table, frame, reported, panels)),
        commands=_commands(table, scale),
    )


def _commands(table: Table, scale: str) -> tuple[tuple[str, str], ...]:
    """How to make the table on real data, the paper's own protocol last; for mere counts, how to make it."""
    command = f"snakemake results/{table.name}.tex --cores all"
    if table.only_counts:
        return (("Made by", command),)
    command += " --config scale="
    reduced = (("Real data without a GPU", command + "reduced"),) if scale == "demo" else ()
    return (*reduced, ("The paper's data and protocol", command + "paper"))


def _values(cells: dict[tuple[str, str], dict[str, str]], reported: Cells) -> Values:
    """Our cells for the claims. Those of runs that were not made, or that diverged, are missing."""
    return {
        key: Value(
            mean=float(line["reproduced_mean"]),
            sd=float(line["reproduced_sd"]) if line["reproduced_sd"] else None,
            n=int(line["reproduced_n"]),
            mc_error=float(line["reproduced_mc_error"]) if line["reproduced_mc_error"] else None,
            decimals=decimals_of(float(line["reproduced_mean"]), reported[key].decimals),
            direction=line["direction"],
            exact=line["data"] == NO_DATA,
            place=key,
        )
        for key, line in cells.items()
        if line["reproduced_mean"] and not line["verdict"].startswith(DIVERGED)
    }


def _panel(panel: Panel, cells: dict[tuple[str, str], dict[str, str]], reported: Cells) -> PanelView:
    return PanelView(panel, tuple(_line(panel, row, cells, reported) for row in panel.rows))


def _line(panel: Panel, row: Row, cells: dict[tuple[str, str], dict[str, str]], reported: Cells) -> Line:
    lines = [cells.get((row.reported, column.name)) for column in panel.columns]
    return Line(
        label=row.label,
        stub=_stub(panel, row, reported),
        reported=tuple(line and _printed(line) for line in lines),
        reproduced=tuple(
            line and _reproduced(line, reported[row.reported, column.name].decimals)
            for line, column in zip(lines, panel.columns, strict=True)
        ),
        verdicts=tuple(line and line["verdict"] for line in lines),
    )


def _stub(panel: Panel, row: Row, reported: Cells) -> str:
    number = reported.get((row.reported, panel.stub.reported)) if panel.stub else None
    return row.stub if number is None or number.mean is None else f"{number.mean:.{number.decimals}f}"


def _printed(line: dict[str, str]) -> Number | None:
    return Number(line["reported_mean"], line["reported_spread"]) if line["reported_mean"] else None


def _reproduced(line: dict[str, str], decimals: int) -> Number | str:
    if line["verdict"].startswith(DIVERGED):
        return DIVERGED  # a note says where; the seeds that are left were selected by their own success
    if not line["reproduced_mean"]:
        return line["verdict"]
    mean, spread = float(line["reproduced_mean"]), line["reproduced_sd"] or line["reproduced_se"]
    decimals = decimals_of(mean, decimals)
    return Number(f"{mean:.{decimals}f}", f"{float(spread):.{decimals}f}" if spread else "")


def decimals_of(value: float, printed: int) -> int:
    """Decimals for one of our numbers: as many as the paper prints, more where that leaves less than two digits.

    A metric with substitute features may have another magnitude than the paper's.
    """
    if value == round(value, printed):  # a count, say: nothing is left out
        return printed
    return min(MAX_DECIMALS, max(printed, 1 - floor(log10(abs(value)))))


def _notes(table: Table, frame: pd.DataFrame, reported: Cells, panels: Sequence[PanelView]) -> list[tuple[str, str]]:
    """What a reader must know to read the numbers, as (heading, text)."""
    ours = {row.reported for view in panels if view.is_ours for row in view.panel.rows}
    theirs = frame[~frame["row"].isin(ours)] if len(ours) < frame["row"].nunique() else frame
    mixed = frame["protocol"].str.contains(MIXED, regex=False)
    # A run that diverged was not evaluated: its protocol is the rest of another run's.
    left_out = frame["protocol"] == OTHER_SCALES
    evaluated = frame[~_diverged(frame) & ~left_out]
    evaluated = evaluated.assign(protocol=evaluated["protocol"].str.removesuffix(f"; {MIXED}"))
    notes = [
        ("Data", _by_panel(frame, "data", panels)),
        ("Protocol", _by_panel(evaluated, "protocol", panels)),
        ("Metrics", _substitutes(frame, reported)),
        ("Numbers", _spread_note(table, theirs)),
        ("Values", f"scale {frame['scale'].iloc[0]} runs fewer than the larger ones" if left_out.any() else ""),
        ("Diverged", _diverged_note(table, frame)),
        ("Verdicts", _count_note(theirs)),
    ]
    if mixed.any():
        rows = "all rows" if mixed.all() else ", ".join(frame.loc[mixed, "row"].unique())
        notes.append(("Warning", f"made by different versions of the code: {rows}"))
    return [(heading, text) for heading, text in notes if text]


def _diverged(frame: pd.DataFrame) -> pd.Series:
    """Which lines are of runs that diverged."""
    return frame["verdict"].str.startswith(DIVERGED)


def _by_panel(frame: pd.DataFrame, column: str, panels: Sequence[PanelView]) -> str:
    """The different texts of a column, and where panels differ in theirs, whose each is."""
    texts = frame.loc[~frame[column].isin(("", NO_DATA)), ["row", column]].drop_duplicates()
    titles = {text: "" for text in texts[column]}
    for each in (view.panel for view in panels):
        of_panel = texts.loc[texts["row"].isin({row.reported for row in each.rows}), column].unique()
        if len(titles) > 1 and len(of_panel) == 1 and each.title.plain:
            titles[of_panel[0]] += f"{', ' if titles[of_panel[0]] else ''}{each.title.plain}"
    separator = ". " if any(titles.values()) else "; "
    return separator.join(f"{title}, {text}" if title else text for text, title in titles.items())


def _substitutes(frame: pd.DataFrame, reported: Cells) -> str:
    """Which features stand for the paper's in which metrics, by the names that the runs gave them."""
    columns: dict[str, dict[str, None]] = {}
    for row, column, name in frame[["row", "column", "metric"]].itertuples(index=False):
        metric = reported[row, column].metric
        if name != metric:
            columns.setdefault(name.removeprefix(metric).strip(" ()"), {})[column] = None
    return "; ".join(f"{features} instead of the paper's for {', '.join(names)}" for features, names in columns.items())


def _spread_note(table: Table, frame: pd.DataFrame) -> str:
    kinds = {
        "sd": "standard deviation over {n} runs",
        "sem": "standard error of the mean over {n} runs",
        "ci95": "half a 95 % confidence interval over {n} runs",
        "": "no spread given",
    }
    spreads = frame[["reported_spread_kind", "reported_n"]].drop_duplicates().itertuples(index=False)
    theirs = ", ".join(dict.fromkeys(kinds[kind].format(n=n) for kind, n in spreads))
    diverged = _diverged(frame)
    seeds = sorted({int(n) for n in frame.loc[~diverged, "reproduced_n"] if n})
    if not seeds:
        return f"reported: {theirs}; reproduced: {DIVERGED if diverged.any() else NOT_RUN}"
    if table.only_counts:
        return f"reported: {theirs}; reproduced: counted"
    ours = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    spread = "standard deviation over " if seeds[-1] > 1 else ""
    known = bool((frame["reproduced_se"][~diverged & (frame["reproduced_n"] == "1")] != "").any())
    single = ", with the standard error over test points" if seeds == [1] else "; of a single run over test points"
    return f"reported: {theirs}; reproduced: {spread}{ours} run{'' if seeds == [1] else 's'} per model{single * known}"


def _diverged_note(table: Table, frame: pd.DataFrame) -> str:
    """Which runs diverged, each once, and where."""
    verdicts = {(row, column): verdict for row, column, verdict in frame[["row", "column", "verdict"]].to_numpy()}
    runs = {}
    for row, column in table.cells():
        verdict = verdicts.get((row.reported, column.name), "")
        if verdict.startswith(DIVERGED):
            runs[cell_of(row, column).run] = verdict.removeprefix(DIVERGED).strip()
    return "; ".join(f"{run} {where}" for run, where in runs.items())


def _count_note(frame: pd.DataFrame) -> str:
    verdicts = frame["verdict"]
    names = sorted({_kind(verdict) for verdict in verdicts})
    counts = ", ".join(f"{sum(verdicts.map(_kind) == name)} {name}" for name in names)
    with_interval = (frame["reported_spread"] != "") & verdicts.str.startswith((AGREES, DIFFERS, INCONCLUSIVE))
    tested = sum(with_interval)
    text = f"{counts} of {len(frame)} cells"
    if tested:
        text += (
            f"; of {tested} cells with an interval {sum(verdicts == DIFFERS)} differ, "
            f"at most {(1 - LEVEL) * tested:.1f} expected by chance"
        )
    return text


def _kind(verdict: str) -> str:
    """A verdict without its number; `margin only` stays, since it is another test."""
    return verdict if verdict.endswith(MARGIN_ONLY) else verdict.split(" (")[0]


def short_verdict(verdict: str) -> str:
    """A verdict in the width of one cell."""
    if verdict.startswith(INCONCLUSIVE):
        return "? ≥" + verdict.removesuffix(")").rsplit(" ", 1)[1]
    return {NOT_COMPARABLE: "n/c", AGREES + MARGIN_ONLY: "agrees*", DIFFERS + MARGIN_ONLY: "differs*"}.get(
        verdict, _kind(verdict)
    )


def legend(view: View) -> str:
    """What the short verdicts of a table mean; empty where all are written out."""
    shown = {
        short_verdict(verdict)
        for panel in view.panels
        for line in panel.lines
        if line.common_verdict is None
        for verdict in line.verdicts
        if verdict
    }
    entries = {
        "n/c": "n/c: not comparable",
        "agrees*": "agrees*: within the margin, no spread reported",
        "differs*": "differs*: beyond the margin, no spread reported",
    }
    parts = [entry for short, entry in entries.items() if short in shown]
    if any(short.startswith("?") for short in shown):
        parts.append("? ≥x: inconclusive, a difference of x would have been noticed")
    return "; ".join(parts)


def headings(columns: Sequence[Column]) -> list[tuple[Text, int]]:
    """Group headings, each with the number of neighbouring columns that share it."""
    groups: list[tuple[Text, int]] = []
    for column in columns:
        if groups and groups[-1][0] == column.group:
            groups[-1] = (column.group, groups[-1][1] + 1)
        else:
            groups.append((column.group, 1))
    return groups
