"""Finding what a paper declares: its tables and figures, its reported numbers, its claims.

`shared` imports no paper; it is the user's `--paper` that names one.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.report.layout import Table


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


def _declared(paper: str, module: str, register: str, name: str) -> Any:
    folder = folder_of(paper)
    if not (folder / f"{module}.py").exists():
        raise InputError(f"papers/{paper}: has no {module}.py, hence no {name}")
    entries = getattr(import_module(f"papers.{paper}.{module}"), register)
    if name not in entries:
        raise InputError(f"papers/{paper}/{module}.py: no {name}; it has {', '.join(sorted(entries))}")
    return entries[name]
