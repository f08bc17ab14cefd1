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
    reported: the `column` of reported.csv, which also knows its metric, unit, direction and decimals.
    key: the metric's key in metrics.json, or `architecture/...` for counts in architecture.json.
    """

    group: Text
    label: Text
    reported: str
    key: str

    @property
    def is_count(self) -> bool:
        """Whether the number is counted on an untrained model, and depends on no data."""
        return self.key.startswith("architecture/")


@dataclass(frozen=True)
class Row:
    """A row of numbers: the `row` of reported.csv, and the model and variant that reproduce it."""

    label: Text
    reported: str
    model: str
    variant: str = ""


@dataclass(frozen=True)
class Stub:
    """A descriptive column beside the row labels: printed as the paper has it, not reproduced, not judged."""

    label: Text
    reported: str


@dataclass(frozen=True)
class Panel:
    """A block of rows under its own headings. A cell exists where reported.csv has a line for it."""

    title: Text
    heading: Text
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    stub: Stub | None = None


@dataclass(frozen=True)
class Table:
    """A table of a paper.

    protocol and data: phrases that a run's one-line descriptions of its protocol and of its data must contain
    for its numbers to be comparable with the paper's.
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
        return all(column.is_count for _, column in self.cells())

    def cells(self) -> Iterator[tuple[Row, Column]]:
        """Every row with every column of its panel, in reading order."""
        for panel in self.panels:
            for row in panel.rows:
                for column in panel.columns:
                    yield row, column
