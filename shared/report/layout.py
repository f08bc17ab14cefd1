"""What goes where in a table. A paper's `tables.py` fills these in; every number comes from files."""

from collections.abc import Iterator
from dataclasses import dataclass


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
    key, run: what its rows do not say, see Cell.
    """

    group: Text
    label: Text
    reported: str
    key: str = ""
    run: str = ""


@dataclass(frozen=True)
class Row:
    """A row of numbers: the `row` of reported.csv, and what its columns do not say, see Cell.

    columns: those, by the names of reported.csv, in which the row has cells; all of its panel if none is named.
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

    run: "<experiment>/<model>". key: the metric's key in metrics.json, or `architecture/...` for counts in
    architecture.json. variant: of the metric.
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
                        f"{row.reported!r}, {column.reported!r}: either the row or the column names the run, "
                        "and either of them the metric's key"
                    )


@dataclass(frozen=True)
class Table:
    """A table of a paper.

    protocol and data: phrases that a run's one-line descriptions of its protocol and of its data must contain,
    as whole words, for its numbers to be comparable with the paper's.
    """

    name: str
    number: str
    caption: Text
    panels: tuple[Panel, ...]
    protocol: tuple[str, ...] = ()
    data: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """LaTeX label."""
        return f"tab:{self.name}"

    @property
    def only_counts(self) -> bool:
        return all(cell_of(row, column).is_count for row, column in self.cells())

    def cells(self) -> Iterator[tuple[Row, Column]]:
        """Every row with every column that it has, in reading order."""
        for panel in self.panels:
            for row in panel.rows:
                for column in panel.columns:
                    if not row.columns or column.reported in row.columns:
                        yield row, column

    @property
    def names(self) -> list[tuple[str, str]]:
        """Its cells in reading order, as the (row, column) of reported.csv."""
        return [(row.reported, column.reported) for row, column in self.cells()]

    @property
    def described(self) -> list[tuple[str, str]]:
        """The lines of reported.csv that are printed as they are, in stubs."""
        panels = [panel for panel in self.panels if panel.stub and panel.stub.reported]
        return [(row.reported, panel.stub.reported) for panel in panels for row in panel.rows]


def cell_of(row: Row, column: Column) -> Cell:
    """What a row and a column say together."""
    return Cell(row.run or column.run, row.key or column.key, row.variant)
