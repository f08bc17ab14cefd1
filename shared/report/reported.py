"""The numbers that a paper printed: one line of `reported.csv` per cell, a blank for what is unknown.

The networks that it printed: one line of `reported_text.csv` per layer.
"""

import csv
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from shared.errors import InputError


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Reported:
    """One printed number. None is unknown, never zero.

    spread_kind: sd (over n runs), sem, ci95 (half-width of a t interval); a spread without it, or without n, says
    nothing. direction: which way is better, for the paper; `none` for a mere count.
    """

    mean: FiniteFloat | None = None
    spread: Annotated[FiniteFloat, Field(ge=0)] | None = None
    spread_kind: Literal["", "sd", "sem", "ci95"] = ""
    n: Annotated[int, Field(ge=1)] | None = None
    decimals: Annotated[int, Field(ge=0, le=12)] = 0
    metric: str = ""
    unit: str = ""
    direction: Literal["higher", "lower", "none"] = "none"
    source: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _spread_has_kind(self) -> "Reported":
        if self.spread is not None and not (self.spread_kind and self.n and self.n > 1):
            raise ValueError("a spread needs its spread_kind and n, two runs or more; leave it blank, and note it")
        return self

    @property
    def half_unit(self) -> float:
        """Half a unit of the last printed digit: what rounding may hide."""
        return 0.5 * 10.0**-self.decimals


NAMES = ["table", "row", "column"]
NUMBER = [field.name for field in fields(Reported)]
COLUMNS = [*NAMES, "metric", "unit", "direction", "mean", "spread", "spread_kind", "n", "decimals", "source", "note"]
Cells = dict[tuple[str, str], Reported]


TEXT_COLUMNS = [*NAMES, "text", "source", "note"]


@dataclass(frozen=True)
class PrintedLayer:
    """A layer of a network as printed. note: why it is built otherwise, or what else is to be said about it."""

    row: str
    text: str
    note: str = ""


Printed = dict[str, list[PrintedLayer]]


def load_printed(path: Path, table: str) -> Printed:
    """The layers of each column of a table of networks, in the file's order.

    InputError: as `load_reported`, or a blank that is no note.
    """
    columns: Printed = {}
    for where, line in _lines_of(path, TEXT_COLUMNS, table).items():
        for name in TEXT_COLUMNS:
            if name != "note" and not line[name].strip():
                raise InputError(f"{where}: {name} is blank; only a note may be")
        layers = columns.setdefault(line["column"], [])
        if line["row"] in [layer.row for layer in layers]:
            raise InputError(f"{where}: {line['row']!r}, {line['column']!r} is there twice; remove one")
        layers.append(PrintedLayer(line["row"], line["text"], line["note"]))
    return columns


def load_reported(path: Path, table: str) -> Cells:
    """Cells of a table by (row, column), in the file's order.

    InputError: no such file, no CSV in UTF-8, other columns, a line with more or fewer, an impossible value, the same
    cell twice, or no such table.
    """
    cells: Cells = {}
    for where, line in _lines_of(path, COLUMNS, table).items():
        key = (line["row"], line["column"])
        if key in cells:
            raise InputError(f"{where}: {key[0]!r}, {key[1]!r} is there twice; remove one")
        known = {name: line[name] for name in NUMBER if line[name] or name == "decimals"}
        try:
            cells[key] = Reported(**known)
        except ValidationError as error:
            raise InputError(f"{where}: {first_fault(error)}") from None
    return cells


def _lines_of(path: Path, columns: list[str], table: str) -> dict[str, dict[str, str]]:
    found = {where: line for where, line in read_lines(path, columns).items() if line["table"] == table}
    if not found:
        raise InputError(f"{path}: nothing of table {table!r}; add what the paper reports")
    return found


def read_lines(path: Path, columns: list[str]) -> dict[str, dict[str, str]]:
    """Lines of all tables, by the place to name in a message. InputError: as `load_reported`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names, lines = reader.fieldnames, list(reader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a paper with tables needs what it reports") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV table in UTF-8 ({error}); save it as one") from None
    if names != columns:
        raise InputError(f"{path}: the columns must be {','.join(columns)}")
    for number, line in enumerate(lines, start=2):
        if None in line or None in line.values():  # what csv makes of a line that is too long or too short
            raise InputError(f"{path}, line {number}: not {len(columns)} columns; quote commas, write blanks")
    return {f"{path}, line {number}": line for number, line in enumerate(lines, start=2)}


def first_fault(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, in one line."""
    fault = error.errors()[0]
    found = repr(fault["input"])
    where = ".".join(map(str, fault["loc"]))
    value = f" is {found[:60]}" if where and fault["type"] != "missing" else ""
    return f"{where}{value}: {fault['msg'].removeprefix('Value error, ')}".removeprefix(": ")
