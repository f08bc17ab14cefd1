"""The claims of a paper's text as comparisons between cells of its tables.

Each is checked twice: on the numbers the paper prints (does its table support its text?) and on ours.
Forms of a check. All compare rows, in one or more columns; with `compare: columns`, for tables whose models stand side
by side, the two words change places:

- `greater`, `less`: the first of `rows` compared with each of the others.
- `highest_in_column`, `lowest_in_column`: `row` compared with every other of `rows`.
- `monotone`: `rows` in order, each compared with the next; `direction` is increasing or decreasing.
- `correlates`: `rows` in order; their values' rank correlation (Kendall) with that order is positive, which
  asks less than `monotone`. `direction` as above.
- `on_par`: each of `rows` differs from the first by at most `share` of its value.
- `only_never_worst`: `row`, a list, are exactly those of `rows` that are the worst of no column.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product
from math import hypot, sqrt
from pathlib import Path
from typing import Any

import yaml
from scipy.stats import t as student_t

from shared.errors import InputError
from shared.report.compare import LEVEL, NOT_RUN, standard_deviation
from shared.report.reported import Reported

HOLDS, FAILS, TIED = "holds", "does not hold", "tied"
WITHIN_NOISE = " (within noise)"
# which of several outcomes is the claim's: the first of these that there is
_DECIDING = (FAILS, FAILS + WITHIN_NOISE, TIED, HOLDS + WITHIN_NOISE, HOLDS)
PAIRED_FORMS = ("greater", "less", "highest_in_column", "lowest_in_column", "monotone")
FORMS = (*PAIRED_FORMS, "correlates", "on_par", "only_never_worst")


@dataclass(frozen=True)
class Value:
    """A cell of a table, reported or reproduced.

    mean, and its standard deviation (None: unknown) over n runs. mc_error: the standard error that the mean has since
    the metric is itself an estimate (None: unknown). rounding: how far the printed mean may be off. direction: which
    way is better.
    """

    mean: float
    sd: float | None = None
    n: int | None = None
    mc_error: float | None = None
    rounding: float = 0.0
    decimals: int = 2
    direction: str = "higher"

    def __str__(self) -> str:
        return f"{self.mean:.{self.decimals}f}"


Values = Mapping[tuple[str, str], Value]


@dataclass(frozen=True)
class Check:
    form: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    row: tuple[str, ...] = ()
    direction: str = "increasing"
    share: float = 0.0
    compare: str = "rows"

    @property
    def cells(self) -> set[tuple[str, str]]:
        """The cells that it needs, as (row, column) of the table."""
        cells = set(product(self.rows, self.columns))
        return cells if self.compare == "rows" else {(column, row) for row, column in cells}

    def of(self, values: Values) -> "Values":
        """The cells by what is compared and where."""
        return values if self.compare == "rows" else {(column, row): value for (row, column), value in values.items()}


@dataclass(frozen=True)
class Claim:
    """claim: in our words. place: where it stands. reading: how it is read, where that is not plain."""

    id: str
    table: str
    claim: str
    place: str
    checks: tuple[Check, ...]
    reading: str = ""

    @property
    def cells(self) -> set[tuple[str, str]]:
        """The cells that decide it, as (row, column) of the table."""
        return set().union(*(check.cells for check in self.checks))


@dataclass(frozen=True)
class Outcome:
    """outcome: holds or does not hold, perhaps within noise; tied (equal where the claim says more); or why there
    is nothing to check: not run, diverged, not reported.

    detail: the numbers that decide: over all checks and columns, of the pairs that fail the one furthest apart, or
    else the closest pair. room: how far these are from where the outcome changes, below zero if it fails.
    """

    outcome: str
    detail: str = ""
    room: float = 0.0

    def __str__(self) -> str:
        return f"{self.outcome} ({self.detail})" if self.detail else self.outcome


def evaluate(claim: Claim, values: Values, missing: str = NOT_RUN) -> Outcome:
    """Check a claim on the cells of its table; it holds when all its checks do.

    A claim that holds is `within noise` when one of its comparisons is, and a claim that fails when all its
    failing ones are: when other seeds, or other random numbers in the evaluation, could have turned the verdict. Where
    the noise is unknown (between seeds, of single runs; of printed numbers without spread) nothing is said of it.
    Where a cell has no number the outcome is `missing`.
    """
    if not claim.cells <= set(values):
        return Outcome(missing)
    judged = [outcome for check in claim.checks for outcome in _judge(check, check.of(values))]
    return min(judged, key=lambda outcome: (_DECIDING.index(outcome.outcome), outcome.room))


def _judge(check: Check, values: Values) -> Iterator[Outcome]:
    if check.form == "only_never_worst":
        yield _only_never_worst(check, values)
        return
    for column in check.columns:
        cells = {row: values[row, column] for row in check.rows}
        if check.form == "correlates":
            yield _correlates(check, list(cells.values()))
        elif check.form == "on_par":
            yield from _on_par(check, list(cells.values()))
        else:
            yield from (_less(a, b) for a, b in _ordered_pairs(check, cells))


def _ordered_pairs(check: Check, cells: dict[str, Value]) -> Iterator[tuple[Value, Value]]:
    """The pairs (a, b) of which the claim says a < b, or -a < -b for those that say `greater`."""
    if check.form == "monotone":
        pairs = pairwise(cells.values())
        downward = check.direction == "decreasing"
    else:
        first = check.row[0] if check.row else check.rows[0]
        pairs = ((cells[first], cell) for row, cell in cells.items() if row != first)
        downward = check.form in ("greater", "highest_in_column")
    return ((b, a) if downward else (a, b) for a, b in pairs)


def _less(a: Value, b: Value) -> Outcome:
    if a.mean == b.mean:
        return Outcome(TIED, f"{a} = {b}")
    noise = WITHIN_NOISE if within_noise(a, b) else ""
    room = b.mean - a.mean
    return Outcome(HOLDS + noise, f"{a} < {b}", room) if room > 0 else Outcome(FAILS + noise, f"{a} > {b}", room)


def within_noise(a: Value, b: Value) -> bool:
    """Whether the order of two means is open: they differ by less than two of their combined Monte Carlo errors, or
    Welch's t test (95 %, two-sided) over the runs does not tell them apart.

    Rounding of printed means counts against the difference. What is unknown of either mean is not looked at.
    """
    difference = abs(a.mean - b.mean) - a.rounding - b.rounding
    if a.mc_error is not None and b.mc_error is not None and difference <= 2 * hypot(a.mc_error, b.mc_error):
        return True
    if a.sd is None or b.sd is None or min(a.n or 0, b.n or 0) < 2:
        return False
    va, vb = a.sd**2 / a.n, b.sd**2 / b.n
    if va + vb == 0:
        return difference <= 0
    degrees = (va + vb) ** 2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1))
    return difference <= float(student_t.ppf(0.5 + LEVEL / 2, degrees)) * sqrt(va + vb)


def _correlates(check: Check, cells: list[Value]) -> Outcome:
    sign = -1 if check.direction == "decreasing" else 1
    score = sum((b.mean > a.mean) - (b.mean < a.mean) for a, b in combinations(cells, 2)) * sign
    return Outcome(HOLDS if score > 0 else TIED if score == 0 else FAILS, ", ".join(map(str, cells)), score)


def _on_par(check: Check, cells: list[Value]) -> Iterator[Outcome]:
    first, *others = cells
    for other in others:
        apart = abs(other.mean - first.mean) / abs(first.mean)
        room = check.share - apart
        yield Outcome(HOLDS if room >= 0 else FAILS, f"{first}, {other}: {100 * apart:.2g} % apart", room)


def _only_never_worst(check: Check, values: Values) -> Outcome:
    worst = {}
    for column in check.columns:
        cells = {row: values[row, column] for row in check.rows}
        pick: Callable = max if next(iter(cells.values())).direction == "lower" else min
        extreme = pick(cell.mean for cell in cells.values())
        worst |= {row: column for row, cell in cells.items() if cell.mean == extreme}
    wrong = [f"{row}: worst {worst[row]}" for row in check.row if row in worst]
    wrong += [f"{row}: never worst" for row in check.rows if row not in worst and row not in check.row]
    return Outcome(FAILS, "; ".join(wrong)) if wrong else Outcome(HOLDS)


def value_of(cell: Reported) -> Value:
    """The claim-checking view of a reported number, which must have a mean."""
    return Value(
        mean=cell.mean,
        sd=standard_deviation(cell),
        n=cell.n,
        rounding=cell.half_unit,
        decimals=cell.decimals,
        direction=cell.direction,
    )


def load_claims(path: Path, table: str | None = None) -> list[Claim]:
    """All claims of a paper, or those about one table; none where the paper has no such file.

    InputError: malformed, or two claims have the same id.
    """
    if not path.exists():
        return []
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("claims"), list):
        raise InputError(f"{path}: expected a list under `claims`")
    claims = [_claim(entry, path) for entry in raw["claims"]]
    for number, claim in enumerate(claims):
        if claim.id in (other.id for other in claims[:number]):
            raise InputError(f"{path}: claim {claim.id!r} is there twice; give each an id of its own")
    return [claim for claim in claims if table in (None, claim.table)]


def _claim(entry: Any, path: Path) -> Claim:
    if not isinstance(entry, dict):
        raise InputError(f"{path}: claims: {entry!r} is no claim; write id, table, claim, place and checks")
    try:
        if not isinstance(entry["checks"], list) or not entry["checks"]:
            raise ValueError("checks must be a list of one or more")
        claim = Claim(**{**entry, "checks": tuple(_check(check) for check in entry["checks"])})
        for key in ("id", "table", "claim", "place", "reading"):
            if not isinstance(getattr(claim, key), str):
                raise ValueError(f"{key} must be text")
        return claim
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: claim {entry.get('id')!r}: {error}; see shared/report/claims.py for the forms"
        ) from None


def _check(entry: Any) -> Check:
    if not isinstance(entry, dict):
        raise ValueError(f"{entry!r} is no check")
    lists = {key: _tuple(entry[key]) for key in ("columns", "rows", "row") if key in entry}
    check = Check(**{**entry, **lists})
    if check.form not in FORMS:
        raise ValueError(f"unknown form {check.form!r}")
    if check.compare not in ("rows", "columns"):
        raise ValueError(f"unknown compare {check.compare!r}; it is rows or columns")
    if check.compare == "columns":  # a check has what it compares in `rows`
        check = replace(check, rows=check.columns, columns=check.rows)
    if len(set(check.rows)) < max(2, len(check.rows)) or not check.columns:
        raise ValueError(f"a check compares two or more {check.compare}, each named once")
    if not isinstance(check.share, int | float):
        raise ValueError(f"share must be a number, found {check.share!r}")
    if check.direction not in ("increasing", "decreasing"):
        raise ValueError(f"unknown direction {check.direction!r}")
    if not set(check.row) <= set(check.rows):
        raise ValueError(f"{check.row} is not among its rows")
    return check


def _tuple(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{value!r} is neither a name nor a list of names")
    return tuple(names)
