"""A fingerprint of the code that determines a stage's numbers. Imports neither torch nor pandas.

It covers the top-level definitions (functions, classes, assignments) that a stage's roots reach in this repository,
found by reading the sources, and the other statements of the modules that they lie in or import, since importing runs
them. Where a name can't be followed (a module used as a value, an attribute that it does not define, `import *`), the
whole module counts. Comments, docstrings, layout, annotations of functions, words of errors, the order of definitions
and the module in which one lies do not: documenting or moving a model retrains nothing.

It does not see what is found by name at run time (`importlib`, classes that register their subclasses), what other
files hold, other packages' code, or an import of another package that is made for its side effects.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from shared.data.sources import source_of
from shared.errors import InputError
from shared.run import spec as specification

# They report, guard and store, and never touch a number; what a specification says counts by itself.
INERT = {
    *("shared.errors", "shared.files", "shared.data.manifest", "shared.data.sources"),
    *(f"shared.run.{name}" for name in ("fingerprint", "lock", "progress", "provenance", "spec", "storage", "threads")),
}
# What computes numbers in the stages, whatever the model.
TRAINING = ("shared.run.training:Training", "shared.run.devices:prepare_torch", "shared.data.arrays:load_split")
ENCODING = ("shared.stages.encode:encode", "shared.run.devices:prepare_torch")
EVALUATION = ("shared.stages.evaluate:evaluate", "shared.run.devices:prepare_torch")
# Decorators that tell nobody what they decorate. Any other may register it, so that no name has to lead there.
UNTELLING = ("abc.", "contextlib.", "dataclasses.", "functools.", "torch.inference_mode", "torch.no_grad")

WHOLE, OTHERS = "*", ""  # in place of a definition's name: all definitions of its module, or its other statements
Place = tuple[str, str]  # a module, and the name of a definition in it
Names = dict[str, tuple[str, ...]]  # a name in a piece of code -> where it may lead; nowhere: a local variable
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_DROPPED = {"ctx", "kind", "returns", "simple", "type_comment", "type_params"}


def of_data(data: dict[str, Any]) -> str:
    """Of the code that makes a data set, the specification's `data`: that of its last encoder, or what prepares it."""
    if encoders := data.get("encoders"):
        return fingerprint(*ENCODING, *specification.callees(encoders[-1]))
    module = source_of(data["name"], data["source"]).module
    return fingerprint("shared.stages.prepare:prepare", f"{module}:load")


def of_training(spec: dict[str, Any]) -> str:
    return fingerprint(*TRAINING, *specification.callees(spec))


def of_architecture(spec: dict[str, Any]) -> str:
    return fingerprint("shared.stages.architecture:counted", *specification.callees(spec))


def of_evaluation(spec: dict[str, Any]) -> str:
    return fingerprint(*EVALUATION, spec["protocol"], *_pretrained(spec), *specification.callees(spec))


def of_protocol(spec: dict[str, Any]) -> str:
    """The part of an evaluation's code that all models of an experiment share."""
    return fingerprint(*EVALUATION, spec["protocol"], *_pretrained(spec))


def of_table(paper: str, stage: str) -> str:
    return fingerprint(f"{stage}:main", f"papers.{paper}.tables:TABLES")


def of_figure(paper: str) -> str:
    return fingerprint("shared.stages.figure:main", f"papers.{paper}.figures:FIGURES")


def _pretrained(spec: dict[str, Any]) -> list[str]:
    """What makes the networks that are not trained here; those that are have fingerprints of their own."""
    return [network.builder for network in specification.evaluators(spec).values() if network.weights]


# ---- What the roots reach --------------------------------------------------------------------------------------------


def fingerprint(*roots: str) -> str:
    """16 hexadecimal digits for the code of `roots`, each `module:name`, and of all that it reaches.

    InputError: there is no such module, or no such name in it.
    """
    return _traced(roots)[1]


def reached(*roots: str) -> list[Place]:
    """The definitions that a fingerprint covers."""
    return _traced(roots)[0]


def forget() -> None:
    """Read the sources again: for those who change them while the process runs."""
    for each in (_traced, _resolved, _modules, _parsed):
        each.cache_clear()


@cache
def _traced(roots: tuple[str, ...]) -> tuple[list[Place], str]:
    """References are written as the order in which they are first met, so that no module's name enters the digest."""
    order: list[Place] = []
    numbers: dict[Place, int] = {}

    def number(place: Place) -> int:
        if place not in numbers:
            numbers[place] = len(order)
            order.append(place)
        return numbers[place]

    text = []
    for root in roots:
        (place, _), *_ = _resolved(root.replace(":", "."))
        if place is None or place[1] == WHOLE:
            raise InputError(f"{root}: no such definition in the sources; write module:name, in the repository root")
        text.append(str(number(place)))
    for place in order:  # which grows
        for piece in _parsed(place[0]).form_of(place[1]):
            if isinstance(piece, Reference):
                text.extend(rest if to is None else f"#{number(to)}{rest}" for to, rest in _resolved(piece))
            else:
                text.append(piece)
        if place == order[-1]:
            found = [(module, OTHERS) for module in _run({module for module, _ in order})]
            for each in sorted(set(found) - set(order), key=lambda each: _parsed(each[0]).words(each[1])):
                number(each)
    return order, hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]


@cache
def _resolved(path: str) -> tuple[tuple[Place | None, str], ...]:
    """Where a path leads, with the attributes that remain. No place: out of the repository, or into what is inert."""
    modules = _modules(path)
    if not modules:
        return ((None, path),)
    module, rest = modules[-1], path[len(modules[-1]) + 1 :]
    if module in INERT:
        return ((None, rest),)
    name, dot, attributes = rest.partition(".")
    source = _parsed(module)
    if name and name in source.code:
        return (((module, name), dot + attributes),)
    if name in source.others:
        return (((module, OTHERS), dot + rest),)
    if name in source.imports:
        return tuple(each for origin in source.imports[name] for each in _resolved(origin + dot + attributes))
    return (((module, WHOLE), dot + rest),)


def _run(modules: Iterable[str]) -> set[str]:
    """The modules, out of those that run when these are imported, that have statements beside definitions."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found | INERT:
            found.add(module)
            waiting.extend(each for path in _parsed(module).loads for each in _modules(path))
    return {module for module in found if _parsed(module).code[OTHERS]}


@cache
def _modules(path: str) -> list[str]:
    """The modules of this repository that lie on a path: `shared`, `shared.data`, `shared.data.ledger`."""
    parts = path.split(".")
    if not Path(parts[0]).is_dir():
        return []
    return [each for n in range(len(parts)) if _file(each := ".".join(parts[: n + 1]))]


def _file(module: str) -> Path | None:
    stem = Path(*module.split("."))
    return next((each for each in (stem.with_suffix(".py"), stem / "__init__.py") if each.is_file()), None)


@cache
def _parsed(module: str) -> "Module":
    path = _file(module)
    return _read(module, module if path.name == "__init__.py" else module.rpartition(".")[0], path.read_text("utf-8"))


@cache
def _read(module: str, package: str, text: str) -> "Module":
    """By its text: what has not changed is not read again."""
    return Module(module, package, ast.parse(text).body)


# ---- One module ------------------------------------------------------------------------------------------------------


class Reference(str):
    """Where a name leads, and what is asked of it there: `shared.data.ledger.require`."""


class Module:
    """A source file: the statements behind each name that it defines, and all others."""

    def __init__(self, name: str, package: str, body: list[ast.stmt]) -> None:
        self.package = package
        self.imports = self.imported(body)
        self.loads = {name, *(path for _, _, path in self.paths(body))}
        self.code: dict[str, list[ast.stmt]] = {OTHERS: []}
        for node in filter(_counts, body):
            names = list(_defined(node))
            for each in names:
                self.code.setdefault(each, []).append(node)
            decorators = [getattr(each, "func", each) for each in getattr(node, "decorator_list", ())]
            if not names or not all("".join(self.form(e, self.imports)).startswith(UNTELLING) for e in decorators):
                self.code[OTHERS].append(node)
        self.others = set(_bound(self.code[OTHERS])) - set(self.code)
        self.names = dict(self.imports)
        for each in (*self.code, *self.others):
            self.names[each] = (*self.imports.get(each, ()), f"{name}.{each}")
        whole = sorted({*self.code, *self.imports} - {OTHERS})
        self.forms: dict[str, list[str]] = {WHOLE: [Reference(f"{name}.{each}") for each in whole]}

    def form_of(self, name: str) -> list[str]:
        """The normal form of a definition: references and other words."""
        if name not in self.forms:
            self.forms[name] = [name, *self.form(self.code[name], self.names)]
        return self.forms[name]

    def words(self, name: str) -> list[str]:
        """The normal form without the modules that it refers to."""
        return [each.rpartition(".")[2] for each in self.form_of(name)]

    def paths(self, body: Iterable[ast.AST]) -> Iterator[tuple[str, str, str]]:
        """The imports of a scope: the name, what it leads to, and what is loaded for it."""
        for node in _here(body):
            if isinstance(node, ast.Import):
                for each in node.names:
                    top = each.name.partition(".")[0]
                    yield (each.asname, each.name, each.name) if each.asname else (top, top, each.name)
            elif isinstance(node, ast.ImportFrom):
                for each in node.names:
                    path = f"{self.source(node)}.{each.name}"
                    yield each.asname or each.name, path, path

    def imported(self, body: Iterable[ast.AST]) -> Names:
        """The names that a scope imports."""
        found: Names = {}
        for name, path, _ in self.paths(body):
            found[name] = (*found.get(name, ()), path)
        return found

    def source(self, node: ast.ImportFrom) -> str:
        """The module that `from ... import` names, relative imports resolved."""
        above = self.package.split(".")
        package = above[: len(above) - node.level + 1] if node.level else []
        return ".".join([*package, *filter(None, [node.module])])

    def form(self, node: Any, names: Names) -> Iterator[str]:
        """The normal form of a syntax tree, word by word, the same in all versions of Python."""
        if isinstance(node, ast.Name | ast.Attribute):
            yield from self.path(node, names)
        elif isinstance(node, list):
            yield "["
            for each in filter(_counts, node):
                yield from self.form(each, names)
            yield "]"
        elif isinstance(node, ast.ImportFrom):  # of everything in a module: what else is imported, names lead to
            yield Reference(self.source(node))
        elif isinstance(node, _COMPREHENSIONS):
            yield type(node).__name__
            for each in node.generators:
                yield from self.form(each.iter, names)
                names = names | dict.fromkeys(_bound([each.target]), ())
                yield from self.form([each.target, each.is_async, *each.ifs], names)
            yield from self.form([getattr(node, field, None) for field in ("key", "value", "elt")], names)
        elif isinstance(node, ast.AST):
            node = _plain(node)
            yield f"{type(node).__name__}("
            for field, value in sorted(ast.iter_fields(node), key=lambda pair: pair[0]):
                if field not in _DROPPED and value is not None and value != []:
                    yield f"{field}="
                    yield from self.form(value, self.inside(node, names) if field == "body" else names)
            yield ")"
        else:
            yield ascii(node)  # repr depends on which characters a version of Python knows

    def path(self, node: ast.expr, names: Names) -> Iterator[str]:
        """`name.attribute...`, with the name led back to where it comes from."""
        attributes = ""
        while isinstance(node, ast.Attribute):
            node, attributes = node.value, f".{node.attr}{attributes}"
        if not isinstance(node, ast.Name):
            yield from self.form(node, names)
            yield attributes
        elif isinstance(node.ctx, ast.Load) and names.get(node.id):
            yield from (Reference(origin + attributes) for origin in names[node.id])
        else:
            yield node.id + attributes

    def inside(self, node: ast.AST, names: Names) -> Names:
        """The names in the body of a node. Those that a class defines are not seen by its methods."""
        if not isinstance(node, (ast.ClassDef, *_FUNCTIONS)):
            return names
        body = node.body if isinstance(node.body, list) else [node.body]
        local: Names = {}
        if isinstance(node, _FUNCTIONS):
            arguments = [each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)]
            local = dict.fromkeys([*arguments, *_bound(body)], ())
            for each in _here(body):
                if isinstance(each, ast.Global):
                    local |= {name: self.names.get(name, ()) for name in each.names}
        return names | local | self.imported(body)


def _here(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes of a scope. The functions, classes and comprehensions in it are scopes of their own."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.ClassDef, *_FUNCTIONS, *_COMPREHENSIONS)):
            waiting.extend(ast.iter_child_nodes(node))


def _bound(body: Iterable[ast.AST]) -> Iterator[str]:
    """Names that a scope binds, but for its imports."""
    for node in _here(body):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif not isinstance(node, ast.alias):  # functions, classes, exceptions, patterns
            yield from filter(None, [getattr(node, "name", None), getattr(node, "rest", None)])


def _defined(node: ast.stmt) -> Iterator[str]:
    """The names of a definition; none of any other statement."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = _plain(node).targets
        if not any(isinstance(each, ast.Attribute | ast.Subscript) for target in targets for each in ast.walk(target)):
            yield from _bound(targets)


def _counts(node: Any) -> bool:
    """Whether a node of a list does anything: no imports of names, docstrings, declarations, parts that never run."""
    if isinstance(node, ast.ImportFrom):
        return node.names[0].name == "*"
    if isinstance(node, ast.If) and not node.orelse:
        return ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")
    if isinstance(node, ast.AnnAssign):
        return node.value is not None or hasattr(node, "field")
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    return not isinstance(node, ast.Import | ast.Pass)


def _plain(node: ast.AST) -> ast.AST:
    """A node without annotations, but for fields of classes, and without words of errors; f-strings in one form.

    Versions of Python cut the constant text of an f-string in different places.
    """
    if isinstance(node, ast.ClassDef):
        for each in node.body:
            each.field = True
    elif isinstance(node, ast.arg):
        node.annotation = None
    elif isinstance(node, ast.AnnAssign) and not hasattr(node, "field"):
        node = ast.Assign(targets=[node.target], value=node.value)
    elif isinstance(node, ast.Assert):
        node.msg = None
    elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        node.exc.args = [each for each in node.exc.args if not isinstance(each, ast.Constant | ast.JoinedStr)]
    elif isinstance(node, ast.JoinedStr):
        parts: list[Any] = [""]
        for each in node.values:
            if isinstance(each, ast.FormattedValue):
                parts += [each, ""]
            else:
                parts[-1] += each.value
        node = ast.JoinedStr(values=parts)
    return node
