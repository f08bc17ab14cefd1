"""The numbers that a paper printed: one line of `reported.csv` per cell, a blank for what is unknown."""

import csv
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from shared.errors import InputError

COLUMNS = [
    "table",
    "row",
    "column",
    "metric",
    "unit",
    "direction",
    "mean",
    "spread",
    "spread_kind",
    "n",
    "decimals",
    "source",
    "note",
]
DIRECTIONS = ("higher", "lower", "none")
SPREAD_KINDS = ("", "sd", "sem", "ci95")


@dataclass(frozen=True)
class Reported:
    """One printed number. None is unknown, never zero.

    spread_kind: sd (over n runs), sem, ci95 (half-width of a t interval), or "" where unknown.
    direction: which way is better, for the paper; `none` for a mere count.
    """

    mean: float | None
    spread: float | None = None
    spread_kind: str = ""
    n: int | None = None
    decimals: int = 0
    metric: str = ""
    unit: str = ""
    direction: str = "none"
    source: str = ""
    note: str = ""

    @property
    def half_unit(self) -> float:
        """Half a unit of the last printed digit: what rounding may hide."""
        return 0.5 * 10.0**-self.decimals


Cells = dict[tuple[str, str], Reported]


def load_reported(path: Path, table: str) -> Cells:
    """Cells of a table by (row, column), in the file's order.

    InputError: no such file, no CSV in UTF-8, other columns, a line with more or fewer, an impossible value, the same
    cell twice, or no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a paper with tables needs its reported numbers") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV table in UTF-8 ({error}); save it as one") from None
    if reader.fieldnames != COLUMNS:
        raise InputError(f"{path}: the columns must be {','.join(COLUMNS)}")
    cells: Cells = {}
    for number, line in enumerate(lines, start=2):
        if None in line or None in line.values():  # what csv makes of a line that is too long or too short
            raise InputError(
                f"{path}, line {number}: not {len(COLUMNS)} columns; quote commas, write blanks for the rest"
            )
        if line["table"] != table:
            continue
        key = (line["row"], line["column"])
        if key in cells:
            raise InputError(f"{path}, line {number}: {key[0]!r}, {key[1]!r} is there twice; remove one")
        cells[key] = _parse(line, f"{path}, line {number}")
    if not cells:
        raise InputError(f"{path}: no number of table {table!r}; add the numbers that the paper reports")
    return cells


def _parse(line: dict[str, str], where: str) -> Reported:
    try:
        value = Reported(
            mean=float(line["mean"]) if line["mean"] else None,
            spread=float(line["spread"]) if line["spread"] else None,
            spread_kind=line["spread_kind"],
            n=int(line["n"]) if line["n"] else None,
            decimals=int(line["decimals"]),
            **{key: line[key] for key in ("metric", "unit", "direction", "source", "note")},
        )
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {error}; a number or a blank is expected") from None
    if not all(isfinite(number) for number in (value.mean, value.spread) if number is not None):
        raise InputError(f"{where}: mean and spread must be finite; leave blank what is unknown")
    if value.decimals < 0 or (value.n is not None and value.n < 1):
        raise InputError(f"{where}: decimals must not be below zero, and n not below one")
    if value.direction not in DIRECTIONS or value.spread_kind not in SPREAD_KINDS:
        raise InputError(f"{where}: direction must be one of {DIRECTIONS} and spread_kind one of {SPREAD_KINDS}")
    return value
