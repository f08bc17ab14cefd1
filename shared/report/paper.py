"""Finding what a paper declares: its tables and figures, its reported numbers, its claims.

`shared` imports no paper; it is the user's `--paper` that names one.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.report.claims import Claim, load_claims
from shared.report.layout import Table
from shared.report.reported import Cells, load_reported


def folder_of(paper: str) -> Path:
    """The folder of a paper. InputError: no such paper."""
    spec = find_spec(f"papers.{paper}") if paper.isidentifier() else None
    if spec is None or spec.origin is None:
        raise InputError(f"--paper {paper}: there is no folder papers/{paper}; the papers are listed in README.md")
    return Path(spec.origin).parent


def table_of(paper: str, name: str) -> Table:
    """A table's layout from papers/<paper>/tables.py. InputError: the paper has no such table."""
    return _declared(paper, "tables", "TABLES", name)


def figure_of(paper: str, name: str) -> Any:
    """A figure's drawing function from papers/<paper>/figures.py. InputError: no such figure."""
    return _declared(paper, "figures", "FIGURES", name)


def reported_of(paper: str, table: Table) -> Cells:
    """What a paper printed in a table. InputError: as `load_reported`, or its cells are not those of the layout."""
    path = folder_of(paper) / "reported.csv"
    cells, places = load_reported(path, table.name), table.names + table.described
    for row, column in cells:
        if (row, column) not in places:
            raise InputError(
                f"{path}: {table.name}: tables.py has no cell {row!r}, {column!r}; correct the line or the layout"
            )
    for row, column in places:
        if (row, column) not in cells:
            raise InputError(
                f"{path}: {table.name}: no line for {row!r}, {column!r}; add it, blank where the paper has no number"
            )
    return cells


def claims_of(paper: str, table: Table) -> list[Claim]:
    """What a paper says about a table. InputError: as `load_claims`, or a claim is about no table or cell there is."""
    path, tables = folder_of(paper) / "claims.yaml", _entries(paper, "tables", "TABLES")
    claims = load_claims(path)
    for claim in claims:
        if claim.table not in tables:
            raise InputError(f"{path}: claim {claim.id!r}: no table {claim.table!r}; there are {', '.join(tables)}")
        for row, column in sorted(claim.cells):
            if (row, column) not in tables[claim.table].names:
                raise InputError(
                    f"{path}: claim {claim.id!r}: {claim.table} has no cell {row!r}, {column!r}; correct it"
                )
    return [claim for claim in claims if claim.table == table.name]


def _declared(paper: str, module: str, register: str, name: str) -> Any:
    entries = _entries(paper, module, register)
    if name not in entries:
        raise InputError(f"papers/{paper}/{module}.py: no {name}; it has {', '.join(sorted(entries))}")
    return entries[name]


def _entries(paper: str, module: str, register: str) -> dict[str, Any]:
    if not (folder_of(paper) / f"{module}.py").exists():
        raise InputError(f"papers/{paper}: has no {module}.py; write one with its {register}")
    return getattr(import_module(f"papers.{paper}.{module}"), register)
