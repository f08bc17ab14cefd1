"""Finding what a paper declares: its tables and figures, its reported numbers, its claims.

`shared` imports no paper; it is the user's `--paper` that names one. Imports neither torch, pandas, scipy nor
matplotlib, and no paper's tables.py and figures.py may: the workflow reads them all before it starts anything.
"""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.report.claims import Claim, load_claims
from shared.report.compare import load_margins, margin_for
from shared.report.layout import Figure, Table, Target, TextTable, cell_of, runs_needed
from shared.report.reported import (
    COLUMNS,
    TEXT_COLUMNS,
    Cells,
    Printed,
    load_printed,
    load_reported,
    read_lines,
)
from shared.run import spec

KINDS = ("tables", "figures")


def folder_of(paper: str) -> Path:
    """The folder of a paper. InputError: no such paper."""
    found = find_spec(f"papers.{paper}") if paper.isidentifier() else None
    if found is None or found.origin is None:
        raise InputError(f"--paper {paper}: there is no folder papers/{paper}; the papers are listed in README.md")
    return Path(found.origin).parent


def targets(paper: str, kind: str) -> dict[str, Any]:
    """{name: Table, TextTable or Figure} of a paper; none where it has no tables.py or figures.py."""
    if not (folder_of(paper) / f"{kind}.py").exists():
        return {}
    return getattr(import_module(f"papers.{paper}.{kind}"), kind.upper())


def owners(kind: str) -> dict[str, str]:
    """{name of a table or figure: its paper}. InputError: one name in two papers, or a figure whose table is none."""
    found: dict[str, str] = {}
    for paper in spec.papers():
        for name, target in targets(paper, kind).items():
            if name in found:
                raise InputError(f"{kind} {name}: in both papers {found[name]} and {paper}; rename one of them")
            if isinstance(target, Figure) and target.table and name not in targets(paper, "tables"):
                raise InputError(f"papers/{paper}/tables.py: no {name}, which figures.py plots; add it to TABLES")
            found[name] = paper
    return found


def table_of(paper: str, name: str) -> Table | TextTable:
    """A table's layout from papers/<paper>/tables.py. InputError: the paper has no such table."""
    return _named(paper, "tables", name)


def figure_of(paper: str, name: str) -> Figure:
    """A figure from papers/<paper>/figures.py. InputError: no such figure."""
    return _named(paper, "figures", name)


def _named(paper: str, kind: str, name: str) -> Any:
    known = targets(paper, kind)
    if name not in known:
        raise InputError(f"papers/{paper}/{kind}.py: no {name}; it has {', '.join(sorted(known)) or 'none'}")
    return known[name]


def runs_at(paper: str, target: Target, scale: str) -> list[tuple[str, str]]:
    """What a target needs at a scale, as `layout.runs_needed` has it; a scale may run fewer values of a sweep.

    InputError: experiments.yaml has a run or an experiment at no scale.
    """
    module = "figures" if isinstance(target, Figure) else "tables"
    for run, _ in runs_needed(target):
        if not spec.exists(paper, run, "paper"):
            raise InputError(
                f"papers/{paper}/{module}.py: {target.name}: experiments.yaml has no run {run}; correct one of the two"
            )
    for experiment in getattr(target, "data", ()):
        spec.experiment_of(paper, experiment)
    return [(run, kind) for run, kind in runs_needed(target) if spec.exists(paper, run, scale)]


def check(path: Path) -> None:
    """That every cell of every paper's tables is in reported.csv, its number has a margin, and every claim its cells.

    The layers of networks are in reported_text.csv. No line of either file is of a table that the paper does not have.

    InputError: one has not, or a file is malformed.
    """
    margins = load_margins(path)
    for paper in spec.papers():
        _check_names(paper, "reported.csv", COLUMNS, Table)
        _check_names(paper, "reported_text.csv", TEXT_COLUMNS, TextTable)
        for table in targets(paper, "tables").values():
            if isinstance(table, Table):
                reported = reported_of(paper, table)
                for row, column in table.cells():
                    cell = reported[row.reported, column.name]
                    if cell.mean is not None:
                        margin_for(margins, cell_of(row, column).key, cell.unit)
                claims_of(paper, table)
            else:
                printed_of(paper, table)


def check_target(target: str, known: Mapping[str, Collection[str]]) -> None:
    """That a table or figure on a command line is known: {folder: names}. Any other word is none.

    InputError: it is planned, README.md says, or there is none of this name; what is nearest to it, then.
    """
    found = re.fullmatch(rf"({'|'.join(known)})/([^/.]+)(\.(tex|md|csv|paired\.csv|pdf|png))", target)
    if found is None or found[2] in known[found[1]]:
        return
    folder, name, suffix, _ = found.groups()
    if re.search(rf"^\| {folder}/{name}\.\w+ \|.*\| planned \|$", Path("README.md").read_text("utf-8"), re.MULTILINE):
        raise InputError(f"{target}: planned, but not there yet; README.md lists what is")
    near = get_close_matches(name, known[folder], 1)
    advice = f"did you mean {folder}/{near[0]}{suffix}?" if near else "README.md lists what there is"
    raise InputError(f"{target}: no such target; {advice}")


def _check_names(paper: str, file: str, columns: list[str], kind: type[Target]) -> None:
    path = folder_of(paper) / file
    known = [name for name, table in targets(paper, "tables").items() if isinstance(table, kind)]
    for where, line in (read_lines(path, columns) if path.exists() else {}).items():
        if line["table"] not in known:
            raise InputError(
                f"{where}: tables.py has no {line['table']!r}, but {', '.join(known) or 'none'}; correct it"
            )


def reported_of(paper: str, table: Table) -> Cells:
    """What a paper printed in a table, by (row, column) of our CSV.

    InputError: as `load_reported`, or its cells are not those of the layout.
    """
    path, places = folder_of(paper) / "reported.csv", table.places
    cells = load_reported(path, table.name)
    for row, column in cells:
        if (row, column) not in places.values():
            raise InputError(
                f"{path}: {table.name}: tables.py has no cell {row!r}, {column!r}; correct the line or the layout"
            )
    for row, column in places.values():
        if (row, column) not in cells:
            raise InputError(
                f"{path}: {table.name}: no line for {row!r}, {column!r}; add it, blank where the paper has no number"
            )
    return {place: cells[printed] for place, printed in places.items()}


def printed_of(paper: str, table: TextTable) -> Printed:
    """The networks that a paper printed in a table. InputError: as `load_printed`, or not those of the layout."""
    path = folder_of(paper) / "reported_text.csv"
    printed = load_printed(path, table.name)
    if set(printed) != {column.reported for column in table.columns}:
        raise InputError(f"{path}: {table.name}: its columns are not those of tables.py; correct one of the two")
    return printed


def claims_of(paper: str, table: Table) -> list[Claim]:
    """What a paper says about a table. InputError: as `load_claims`, or a claim is about no table or cell there is."""
    path, tables = folder_of(paper) / "claims.yaml", targets(paper, "tables")
    claims = load_claims(path)
    for claim in claims:
        if not isinstance(tables.get(claim.table), Table):
            raise InputError(f"{path}: claim {claim.id!r}: no table {claim.table!r}; there are {', '.join(tables)}")
        for row, column in sorted(claim.cells):
            if (row, column) not in tables[claim.table].names:
                raise InputError(
                    f"{path}: claim {claim.id!r}: {claim.table} has no cell {row!r}, {column!r}; correct it"
                )
    return [claim for claim in claims if claim.table == table.name]
