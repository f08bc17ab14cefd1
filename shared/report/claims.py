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
- `only_never_worst`: `row`, a list, are exactly those of `rows` that are the worst of no column, by their means alone.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, pairwise, product
from math import hypot, sqrt
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from shared.errors import InputError
from shared.report.compare import NOT_RUN, standard_deviation, t_quantile
from shared.report.reported import Reported, first_fault

HOLDS, FAILS, TIED = "holds", "does not hold", "tied"
WITHIN_NOISE, SINGLE_RUNS = " (within noise)", " (single runs)"
# which of several outcomes is the claim's: the first of these that there is
_DECIDING = (
    *(FAILS, FAILS + SINGLE_RUNS, FAILS + WITHIN_NOISE, TIED),
    *(HOLDS + WITHIN_NOISE, HOLDS + SINGLE_RUNS, HOLDS),
)
_CHECKED = ConfigDict(extra="forbid")

Place = tuple[str, str]  # row and column of a table's CSV
Names = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]
# Standard errors of the differences of cells that were measured at the same test points.
Paired = Mapping[frozenset[Place], float]


@dataclass(frozen=True)
class Value:
    """A cell of a table, reported or reproduced.

    mean, and its standard deviation (None: unknown) over n runs. mc_error: the standard error that the mean has since
    the metric is itself an estimate (None: unknown). rounding: how far the printed mean may be off. direction: which
    way is better. exact: a count, without any noise.
    """

    mean: float
    sd: float | None = None
    n: int | None = None
    mc_error: float | None = None
    rounding: float = 0.0
    decimals: int = 2
    direction: str = "higher"
    exact: bool = False
    place: Place | None = None

    def __str__(self) -> str:
        return f"{self.mean:.{self.decimals}f}"


Values = Mapping[Place, Value]


@dataclass(frozen=True, config=_CHECKED)
class Check:
    """compare: what `rows` and `columns` name; with `columns`, the words of a check change places. See the module."""

    form: Literal["greater", "less", "highest_in_column", "lowest_in_column", "monotone", "correlates", "on_par",
                  "only_never_worst"]  # fmt: skip
    columns: Names
    rows: Names
    row: Names = ()
    direction: Literal["increasing", "decreasing"] = "increasing"
    share: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    compare: Literal["rows", "columns"] = "rows"

    @model_validator(mode="after")
    def _compares_two(self) -> "Check":
        compared, where = self.sides
        if len(set(compared)) < max(2, len(compared)) or not where:
            raise ValueError(f"a check compares two or more {self.compare}, each named once")
        if not set(self.row) <= set(compared):
            raise ValueError(f"{self.row} is not among its {self.compare}")
        return self

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What is compared, and where."""
        return (self.rows, self.columns) if self.compare == "rows" else (self.columns, self.rows)

    def place(self, compared: str, where: str) -> Place:
        return (compared, where) if self.compare == "rows" else (where, compared)

    @property
    def cells(self) -> set[Place]:
        """The cells that it needs."""
        return {self.place(*names) for names in product(*self.sides)}


@dataclass(frozen=True, config=_CHECKED)
class Claim:
    """claim: in our words. place: where it stands. reading: how it is read, where that is not plain."""

    id: str
    table: str
    claim: str
    place: str
    checks: Annotated[tuple[Check, ...], Field(min_length=1)]
    reading: str = ""

    @property
    def cells(self) -> set[Place]:
        """The cells that decide it."""
        return set().union(*(check.cells for check in self.checks))


@dataclass(frozen=True)
class Outcome:
    """outcome: holds or does not hold, perhaps within noise or on single runs; tied (equal where the claim says more);
    or why there is nothing to check: not run, diverged, not reported.

    detail: the numbers that decide: over all checks and columns, of the pairs that fail the one furthest apart, or
    else the closest pair. room: how far these are from where the outcome changes, below zero if it fails.
    """

    outcome: str
    detail: str = ""
    room: float = 0.0

    def __str__(self) -> str:
        return f"{self.outcome} ({self.detail})" if self.detail else self.outcome


def evaluate(claim: Claim, values: Values, missing: str = NOT_RUN, paired: Paired | None = None) -> Outcome:
    """Check a claim on the cells of its table; it holds when all its checks do.

    A claim that holds is `within noise` when one of its comparisons is, and a claim that fails when all its
    failing ones are: when other seeds, other test points, or other random numbers in the evaluation could have turned
    the verdict, see `noise`. Where single runs are compared, and neither seeds nor points tell the noise between them,
    the outcome says so. Where a cell has no number the outcome is `missing`.
    """
    if not claim.cells <= set(values):
        return Outcome(missing)
    judged = [outcome for check in claim.checks for outcome in _judge(check, values, paired or {})]
    return min(judged, key=lambda outcome: (_DECIDING.index(outcome.outcome), outcome.room))


def _judge(check: Check, values: Values, paired: Paired) -> Iterator[Outcome]:
    compared, columns = check.sides
    table = {column: {row: values[check.place(row, column)] for row in compared} for column in columns}
    if check.form == "only_never_worst":
        yield _only_never_worst(check, table)
        return
    for cells in table.values():
        if check.form == "correlates":
            yield _correlates(check, list(cells.values()), paired)
        elif check.form == "on_par":
            yield from _on_par(check, list(cells.values()), paired)
        else:
            yield from (_less(a, b, paired) for a, b in _ordered_pairs(check, cells))


def _ordered_pairs(check: Check, cells: dict[str, Value]) -> Iterator[tuple[Value, Value]]:
    """The pairs (a, b) of which the claim says a < b, or -a < -b for those that say `greater`."""
    if check.form == "monotone":
        pairs = pairwise(cells.values())
        downward = check.direction == "decreasing"
    else:
        first = check.row[0] if check.row else next(iter(cells))
        pairs = ((cells[first], cell) for row, cell in cells.items() if row != first)
        downward = check.form in ("greater", "highest_in_column")
    return ((b, a) if downward else (a, b) for a, b in pairs)


def _less(a: Value, b: Value, paired: Paired) -> Outcome:
    if a.mean == b.mean:
        return Outcome(TIED, f"{a} = {b}")
    room = b.mean - a.mean
    return _outcome(room, f"{a} {'<' if room > 0 else '>'} {b}", room, doubt(a, b, room, paired))


def _outcome(score: float, detail: str, room: float, suffix: str) -> Outcome:
    return Outcome((HOLDS if score >= 0 else FAILS) + suffix, detail, room)


def doubt(a: Value, b: Value, room: float, paired: Paired) -> str:
    """What is to be said of a comparison that would turn out otherwise if the difference of a and b changed by `room`.

    Rounding of printed means counts against the difference. On single runs an estimator's own error can put the order
    in doubt; it can't confirm it.
    """
    within = noise(a, b, paired)
    if within and abs(room) - a.rounding - b.rounding <= max(within.values()):
        return WITHIN_NOISE
    unknown = 1 in (a.n, b.n) and not (a.exact and b.exact) and not set(within) & {"seeds", "points"}
    return SINGLE_RUNS if unknown else ""


def noise(a: Value, b: Value, paired: Paired) -> dict[str, float]:
    """How far chance alone may move the difference of two means, by what is known of it.

    estimator: two of their combined Monte Carlo errors. points: two standard errors of the mean difference over the
    test points that they share. seeds: where Welch's t test (95 %, two-sided) over the runs begins to see it.
    """
    known = {}
    if a.mc_error is not None and b.mc_error is not None:
        known["estimator"] = 2 * hypot(a.mc_error, b.mc_error)
    if (error := paired.get(frozenset((a.place, b.place)))) is not None:
        known["points"] = 2 * error
    if a.sd is not None and b.sd is not None and min(a.n or 0, b.n or 0) > 1:
        va, vb = a.sd**2 / a.n, b.sd**2 / b.n
        spread = va**2 / (a.n - 1) + vb**2 / (b.n - 1)
        known["seeds"] = t_quantile((va + vb) ** 2 / spread) * sqrt(va + vb) if spread else 0.0
    return known


def _correlates(check: Check, cells: list[Value], paired: Paired) -> Outcome:
    """In doubt if the pairs that are could turn the sign of the correlation."""
    sign = -1 if check.direction == "decreasing" else 1
    pairs = [(a, b, sign * ((b.mean > a.mean) - (b.mean < a.mean))) for a, b in combinations(cells, 2)]
    score, detail = sum(order for *_, order in pairs), ", ".join(map(str, cells))
    if score == 0:
        return Outcome(TIED, detail)
    doubts = [doubt(a, b, b.mean - a.mean, paired) for a, b, order in pairs if order * score > 0]
    turned = abs(score) <= 2 * doubts.count(WITHIN_NOISE)
    return _outcome(score, detail, score, WITHIN_NOISE if turned else SINGLE_RUNS if SINGLE_RUNS in doubts else "")


def _on_par(check: Check, cells: list[Value], paired: Paired) -> Iterator[Outcome]:
    first, *others = cells
    for other in others:
        apart = abs(other.mean - first.mean)
        room = check.share * abs(first.mean) - apart
        size = f"{100 * apart / abs(first.mean):.2g} %" if first.mean else f"{apart:.2g}"
        yield _outcome(room, f"{first}, {other}: {size} apart", room, doubt(first, other, room, paired))


def _only_never_worst(check: Check, table: dict[str, dict[str, Value]]) -> Outcome:
    worst, suffix = {}, ""
    for column, cells in table.items():
        pick: Callable = max if next(iter(cells.values())).direction == "lower" else min
        extreme = pick(cell.mean for cell in cells.values())
        worst |= {row: column for row, cell in cells.items() if cell.mean == extreme}
        suffix = SINGLE_RUNS if any(cell.n == 1 and not cell.exact for cell in cells.values()) else suffix
    wrong = [f"{row}: worst {worst[row]}" for row in check.row if row in worst]
    wrong += [f"{row}: never worst" for row in check.sides[0] if row not in worst and row not in check.row]
    return Outcome((FAILS if wrong else HOLDS) + suffix, "; ".join(wrong))


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
    claims: dict[str, Claim] = {}
    for entry in raw["claims"]:
        if not isinstance(entry, dict):
            raise InputError(f"{path}: claims: {entry!r} is no claim; write id, table, claim, place and checks")
        try:
            claim = TypeAdapter(Claim).validate_python(entry)
        except ValidationError as error:
            fault = f"{first_fault(error)}; see shared/report/claims.py for the forms"
            raise InputError(f"{path}: claim {entry.get('id')!r}: {fault}") from None
        if claim.id in claims:
            raise InputError(f"{path}: claim {claim.id!r} is there twice; give each an id of its own")
        claims[claim.id] = claim
    return [claim for claim in claims.values() if table in (None, claim.table)]
