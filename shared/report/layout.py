"""What goes where in a table or a figure. A paper's `tables.py` and `figures.py` fill these in; every number comes from
files, and what a target needs to be run follows from here. Imports nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

METRICS, ARCHITECTURE, SAMPLES = "metrics", "architecture", "samples"


@dataclass(frozen=True)
class Text:
    """The same words for a LaTeX document and for plain-text views."""

    latex: str
    plain: str


def words(text: str) -> Text:
    """Words that LaTeX and plain text write alike."""
    return Text(text, text)


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    group: heading shared by neighbouring columns; label: the column's own heading.
    reported: the `column` of reported.csv, which also knows the metric, unit, direction and decimals of each cell.
    key, run: what its rows do not say, see Cell. variant: what follows the row's own.
    name: of the column in our CSV and in claims, where two columns stand beside the same reported numbers.
    """

    group: Text
    label: Text
    reported: str
    key: str = ""
    run: str = ""
    variant: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.reported)


@dataclass(frozen=True)
class Row:
    """A row of numbers: the `row` of reported.csv, and what its columns do not say, see Cell.

    columns: those, by name, in which the row has cells; all of its panel if none is named.
    stub: what the descriptive column beside the label has, if it is not a number of reported.csv.
    """

    label: Text
    reported: str
    run: str = ""
    variant: str = ""
    key: str = ""
    stub: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """Where a number of ours comes from. Rows may be models and columns metrics, or the other way round.

    run: "<experiment>/<model>[~<argument>=<value>]". key: the metric's key in metrics.json, or `architecture/...` for
    counts in architecture.json. variant: of the metric.
    """

    run: str
    key: str
    variant: str

    @property
    def is_count(self) -> bool:
        """Whether the number is counted on an untrained model, and depends on no data."""
        return self.key.startswith("architecture/")


@dataclass(frozen=True)
class Stub:
    """A descriptive column beside the row labels: printed as the paper has it, not reproduced, not judged.

    reported: the `column` of reported.csv whose numbers it prints; empty if the rows say what stands there.
    """

    label: Text
    reported: str = ""


@dataclass(frozen=True)
class Panel:
    """A block of rows under its own headings. Every cell has a line in reported.csv, be its number blank.

    ValueError: a row and a column both name a run or a metric, or neither does.
    """

    title: Text
    heading: Text
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    stub: Stub | None = None

    def __post_init__(self) -> None:
        for row in self.rows:
            for column in self.columns:
                if bool(row.run) == bool(column.run) or bool(row.key) == bool(column.key):
                    raise ValueError(
                        f"{row.reported!r}, {column.name!r}: either the row or the column names the run, "
                        "and either of them the metric's key"
                    )


@dataclass(frozen=True)
class Table:
    """A table of a paper, or the numbers of a figure that plots some. ValueError: two cells have one name."""

    name: str
    number: str
    caption: Text
    panels: tuple[Panel, ...]

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"{self.name}: the cell {twice} is there twice; give one of its columns a name of its own")

    @property
    def only_counts(self) -> bool:
        return all(cell_of(row, column).is_count for row, column in self.cells())

    def cells(self) -> Iterator[tuple[Row, Column]]:
        """Every row with every column that it has, in reading order."""
        for panel in self.panels:
            for row in panel.rows:
                for column in panel.columns:
                    if not row.columns or column.name in row.columns:
                        yield row, column

    @property
    def names(self) -> list[tuple[str, str]]:
        """Its cells in reading order, as (row, column) of its CSV."""
        return [(row.reported, column.name) for row, column in self.cells()]

    @property
    def places(self) -> dict[tuple[str, str], tuple[str, str]]:
        """{(row, column) of its CSV, or of what a stub prints: those of reported.csv}."""
        stubs = [panel for panel in self.panels if panel.stub and panel.stub.reported]
        return {(row.reported, column.name): (row.reported, column.reported) for row, column in self.cells()} | {
            (row.reported, panel.stub.reported): (row.reported, panel.stub.reported)
            for panel in stubs
            for row in panel.rows
        }


@dataclass(frozen=True)
class TextColumn:
    """A network, layer by layer, as printed and as built.

    reported: the `column` of reported_text.csv. run: whose model. parts: those of the model that the column lists, one
    after the other, by their paths in architecture.json: modules, likelihoods, latent variables.
    name: of the column in our CSV, where two networks stand beside the same printed one.
    """

    label: Text
    reported: str
    run: str
    parts: tuple[str, ...]
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.reported)


@dataclass(frozen=True)
class TextTable:
    """A table of words instead of numbers: the networks of a paper, printed beside built.

    notation: how the paper writes what `shared.stages.architecture` calls, say, `Linear 784-512`; empty for a layer
    that it does not print. per_line: networks beside each other. ValueError: two columns have one name.
    """

    name: str
    number: str
    caption: Text
    columns: tuple[TextColumn, ...]
    notation: Callable[[str], str] = str
    per_line: int = 2

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.name}: two columns have one name; give one of them a name of its own")


@dataclass(frozen=True)
class Figure:
    """A figure. draw: (what it shows, note for its margin) -> matplotlib's figure. One of three kinds:

    runs: it shows arrays of these runs' samples.npz, those of seed 0. data: arrays of the data that these experiments
    are prepared from. draw then gets {run or experiment: {name: array}}.
    table: it plots the CSV of this table, which has the figure's name; draw gets the CSV.
    """

    name: str
    draw: Callable[[Any, str], Any]
    runs: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    table: Table | None = None

    def __post_init__(self) -> None:
        if bool(self.table) == bool(self.runs or self.data) or (self.table and self.table.name != self.name):
            raise ValueError(f"{self.name}: a figure shows runs or data, or else a table of its own name")


Target = Table | TextTable | Figure


def cell_of(row: Row, column: Column) -> Cell:
    """What a row and a column say together."""
    variant = f"{row.variant} {column.variant}".strip()
    return Cell(row.run or column.run, row.key or column.key, variant)


def runs_needed(target: Target) -> list[tuple[str, str]]:
    """What a target shows, each once: (run, which file of the run: metrics, architecture or samples)."""
    if isinstance(target, Figure):
        return [(run, SAMPLES) for run in dict.fromkeys(target.runs)]
    if isinstance(target, TextTable):
        return [(run, ARCHITECTURE) for run in dict.fromkeys(column.run for column in target.columns)]
    cells = [cell_of(row, column) for row, column in target.cells()]
    return list(dict.fromkeys((cell.run, ARCHITECTURE if cell.is_count else METRICS) for cell in cells))


def sweep(
    experiment: str,
    models: Mapping[str, str],
    key: str,
    values: Sequence[Any],
    base: Any,
    metrics: tuple[Column, ...],
    symbol: Text | None = None,
) -> Panel:
    """Models by values of an argument in rows, metrics in columns; rows are named "<label>, <key>=<value>".

    models: {model: label}. base: the models' own value, which is the run of the model itself; {model: value} where
    they differ. symbol: how the argument is printed.
    """
    shown, own = symbol or words(key), base if isinstance(base, Mapping) else dict.fromkeys(models, base)
    rows = tuple(
        Row(
            Text(f"{label}, {shown.latex} = {value}", f"{label}, {shown.plain}={value}"),
            f"{label}, {key}={value}",
            f"{experiment}/{model}" + ("" if value == own[model] else f"~{key}={value}"),
        )
        for model, label in models.items()
        for value in values
    )
    return Panel(words(""), words("Model"), rows, metrics)
