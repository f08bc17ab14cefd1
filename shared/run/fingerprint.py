"""A fingerprint of the code that determines a stage's numbers. Imports neither torch nor pandas.

It covers the modules of this package that a module imports, directly or not, found by reading the sources. Comments,
docstrings and layout do not count: the sha256 is of the syntax trees, so documenting a model retrains nothing.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from shared.data.sources import source_of
from shared.errors import InputError

PACKAGES = ("shared", "papers")
# They report, guard and store, and never touch a number; what a specification says counts by itself.
INERT = {
    *("shared.errors", "shared.files", "shared.data.sources"),
    *(f"shared.run.{name}" for name in ("fingerprint", "progress", "provenance", "spec", "threads")),
}


def _path(module: str) -> Path | None:
    stem = Path(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _parsed(module: str) -> tuple[str, tuple[str, ...]]:
    """The dump of a module's code, and the modules of this package that it imports."""
    path = _path(module)
    if path is None:
        raise InputError(f"module {module}: no such source file; run from the repository root")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = _source(node, module, path)
            names = [source, *(f"{source}.{alias.name}" for alias in node.names)]
        imported.update(n for n in names if n.split(".")[0] in PACKAGES and _path(n) is not None)
        body = getattr(node, "body", None)
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:]
    return ast.dump(tree), tuple(sorted(imported))


def _source(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The module that `from ... import` names, relative imports resolved."""
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    package = parts[: len(parts) - node.level + (path.name == "__init__.py")]
    return ".".join([*package, node.module] if node.module else package)


def closure(modules: list[str]) -> list[str]:
    """The modules and all that they import from this package, sorted."""
    found, waiting = set(), list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting.extend(_parsed(module)[1])
    return sorted(found)


def fingerprint(modules: list[str]) -> str:
    """16 hexadecimal digits for the code of `modules` and of all they import from this package."""
    digest = hashlib.sha256()
    for module in closure(modules):
        if module not in INERT:
            digest.update(f"{module}\n{_parsed(module)[0]}\n".encode())
    return digest.hexdigest()[:16]


def of_data(spec: dict[str, Any]) -> str:
    """Of the code that prepares a data set: the specification's `data`."""
    return fingerprint(["shared.stages.prepare", source_of(spec["name"], spec["source"]).module])


def of_training(spec: dict[str, Any]) -> str:
    return fingerprint(["shared.stages.train", _builder(spec)])


def of_evaluation(spec: dict[str, Any]) -> str:
    return fingerprint(["shared.stages.evaluate", f"papers.{spec['paper']}.evaluation", _builder(spec)])


def of_protocol(paper: str) -> str:
    """The part of an evaluation's code that all models of a paper share."""
    return fingerprint(["shared.stages.evaluate", f"papers.{paper}.evaluation"])


def of_table(paper: str, stage: str) -> str:
    return fingerprint([stage, f"papers.{paper}.tables"])


def of_figure(paper: str) -> str:
    return fingerprint(["shared.stages.figure", f"papers.{paper}.figures"])


def _builder(spec: dict[str, Any]) -> str:
    return spec["builder"].split(":")[0]
