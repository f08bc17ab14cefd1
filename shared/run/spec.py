"""From papers/*/experiments.yaml to the resolved specification of one run. Imports neither torch nor pandas.

A leaf of the YAML is a mapping {value, source, [demo], [reduced]}; resolving takes the value of the scale and drops
the source. The result is plain data that names what is computed, and its sha256 names the run's content. Everything
that a run takes is checked here, in one line, before anything runs: what the package reads by the types below, what a
paper's own functions take by the annotations of their parameters.
"""

import argparse
import ast
import builtins
import hashlib
import json
import re
import typing
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints

from shared.errors import InputError, validated

SCALES = ("demo", "reduced", "paper")
PAPERS = Path("papers")
EVALUATORS = "evaluators"  # stands where a run's paper does: a network that metrics use is shared by all papers
# torch's, by their names in lower case; those that need more than a gradient are left out.
OPTIMISERS = (
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "asgd", "nadam", "radam", "rmsprop", "rprop", "sgd",
)  # fmt: skip
# What `--config` may override for every run.
OVERRIDES = {"precision": ("float32", "bfloat16")}

_CALLEE = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"  # module:name
Callee = Annotated[str, StringConstraints(pattern=rf"^{_CALLEE}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Training(_Checked):
    """How a run is trained. A scale may change the budgets, never `learning_rate` and `optimiser`."""

    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    batch_size: PositiveInt
    epochs: PositiveInt
    samples: PositiveInt
    optimiser: Literal[OPTIMISERS]
    optimiser_options: dict[str, Any] = {}
    precision: Literal["float32", "bfloat16"]
    threads: Annotated[int, Field(ge=1, le=1024)]


class Data(_Checked, extra="allow"):
    """What all data have; the rest is their source's. encoders: array -> name of the evaluator that makes it."""

    name: str
    source: str
    encoders: dict[Name, Name] | None = None


class Model(_Checked):
    """builder: of the network, whose parameters are the `arguments`. sweep: values of an argument (dotted where it is
    nested) that make a run each, `<model>~<argument>=<value>`. training, evaluation: instead of the experiment's."""

    builder: Callee
    arguments: dict[str, Any] = {}
    sweep: dict[str, Any] = {}
    training: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}


class Evaluator(_Checked):
    """A network that metrics use, or that completes the data: trained by the workflow, once for all that share the
    data, or pretrained.

    weights: of a pretrained one, a key of the ledger's group `pretrained`.
    """

    builder: Callee
    arguments: dict[str, Any] = {}
    modalities: dict[Name, str] = {}
    training: dict[str, Any] = {}
    weights: str | None = None


class Experiment(_Checked):
    """protocol: the function that evaluates a run, whose module may type the `evaluation` in a class `Settings`.

    data: at a scale as `Data` has it. evaluation.evaluators: role -> name of an evaluator.
    """

    title: str = ""
    data: dict[str, Any]
    modalities: dict[Name, str]
    training: dict[str, Any]
    seeds: dict[str, Any]
    protocol: Callee
    evaluation: dict[str, Any]
    models: dict[Name, Model]
    evaluators: dict[Name, Evaluator] = {}


class Paper(_Checked):
    paper: Name
    title: str = ""
    experiments: dict[Name, Experiment]


def papers() -> list[str]:
    """Names of the papers that have experiments, in alphabetical order."""
    return sorted(path.parent.name for path in PAPERS.glob("*/experiments.yaml"))


def load(paper: str) -> Paper:
    """The paper's experiments.yaml. InputError: it is missing, or has another form."""
    path = PAPERS / paper / "experiments.yaml"
    try:
        return _parsed(str(path), path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; papers with experiments: {', '.join(papers())}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from None


@cache
def _parsed(path: str, text: str) -> Paper:
    """A workflow resolves many runs of few files, and parsing them again would dominate."""
    try:
        return validated(Paper, yaml.safe_load(text), f"{path}: ")
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def _at(node: Any, scale: str, where: str, key: str) -> Any:
    """The plain value of a YAML node at a scale. key: what the node is, such as training.epochs."""
    if isinstance(node, dict) and "value" in node:
        extra = set(node) - {"value", "source", "demo", "reduced"}
        if extra or not isinstance(node.get("source"), str):
            raise InputError(
                f"{where}: a value needs `source`, and only value, source, demo, reduced; found {sorted(node)}"
            )
        if set(node) & {"demo", "reduced"} and not _is_budget(key):
            raise InputError(f"{where}: a scale may not change this; it changes data, budgets, evaluation and seeds")
        value = node.get(scale, node["value"])
        if not _is_plain(value):
            raise InputError(f"{where}: {value!r} is neither a number, a word, nor a list or mapping of such")
        return deepcopy(value)
    if isinstance(node, dict):
        return {name: _at(child, scale, f"{where}.{name}", f"{key}.{name}") for name, child in node.items()}
    raise InputError(f'{where}: `{node}` has no source; write {{value: {node}, source: "place in the paper"}}')


def _is_plain(value: Any) -> bool:
    """Whether JSON can say it: YAML knows dates, bytes and sets as well."""
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_plain, value.values()))
    return (
        all(map(_is_plain, value)) if isinstance(value, list) else value is None or isinstance(value, str | int | float)
    )


def _is_budget(key: str) -> bool:
    """Whether a scale may change it: data source, budgets and number of seeds, never an equation or a network."""
    part, _, name = key.partition(".")
    return {
        "data": name != "name",
        # an unknown key is reported as such, by the types of training
        "training": name in ("batch_size", "epochs", "samples", "threads", "precision")
        or name.partition(".")[0] not in Training.model_fields,
        "arguments": name.startswith("warmup"),
    }.get(part, part in ("seeds", "evaluation", "sweep"))


def check_scale(scale: str) -> None:
    if scale not in SCALES:
        raise InputError(f"scale `{scale}` is unknown; choose one of {', '.join(SCALES)}")


def _place(paper: str, experiment: str) -> str:
    return f"{PAPERS / paper}/experiments.yaml: {experiment}"


def experiment_of(paper: str, experiment: str) -> Experiment:
    experiments = load(paper).experiments
    if experiment not in experiments:
        raise InputError(
            f"{PAPERS / paper}/experiments.yaml: no experiment `{experiment}`; there are {', '.join(experiments)}"
        )
    return experiments[experiment]


def resolve(
    paper: str, experiment: str, model: str, scale: str, seed: int, overrides: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The specification of one run: everything that its numbers depend on, but for code and data files.

    model: may have swept values, `<model>~<argument>=<value>`. An evaluator network's paper is `evaluators`, its
    experiment the key of its data. InputError: an unknown name, scale or override, or a value that cannot be.
    """
    check_scale(scale)
    if paper == EVALUATORS:
        return _evaluator(experiment, model, scale, seed, overrides)
    node = experiment_of(paper, experiment)
    name, *swept = model.split("~")
    if name not in node.models:
        raise InputError(f"{paper}/{experiment}: no model `{name}`; there are {', '.join(node.models)}")
    entry, where = node.models[name], _place(paper, experiment)
    arguments = _at(entry.arguments, scale, f"{where}.{name}.arguments", "arguments")
    for setting in swept:
        _sweep(arguments, setting, entry, scale, f"{where}.{name}")
    evaluation = _at(node.evaluation, scale, f"{where}.evaluation", "evaluation")
    evaluation |= _at(entry.evaluation, scale, f"{where}.{name}.evaluation", "evaluation")
    settings = {key: value for key, value in evaluation.items() if key != EVALUATORS}
    _check_call(node.protocol, settings, where, "protocol", "evaluation", inner="Settings")
    return _common(paper, experiment, model, scale, seed) | {
        "data": data_part(paper, experiment, scale),
        "modalities": node.modalities,
        **_built(entry, arguments, f"{where}.{name}"),
        "training": _training(node.training, entry.training, scale, overrides, where, name),
        "protocol": node.protocol,
        "evaluation": evaluation,
    }


def _common(paper: str, experiment: str, model: str, scale: str, seed: int) -> dict[str, Any]:
    return {"paper": paper, "experiment": experiment, "model": model, "scale": scale, "seed": seed}


def _built(entry: Model | Evaluator, arguments: dict[str, Any], where: str) -> dict[str, Any]:
    _check_call(entry.builder, arguments, where, "builder", "arguments")
    for callee in _named_in(arguments):
        _check_call(callee, {}, where, "arguments", "arguments")
    return {"builder": entry.builder, "arguments": arguments}


def _training(
    common: dict[str, Any], own: dict[str, Any], scale: str, overrides: dict[str, Any] | None, where: str, name: str
) -> dict[str, Any]:
    values = _at(common, scale, f"{where}.training", "training")
    values |= _at(own, scale, f"{where}.{name}.training", "training")
    for key, value in (overrides or {}).items():
        if value not in OVERRIDES.get(key, ()):
            raise InputError(f"override `{key}={value}` is unknown; possible: {OVERRIDES}")
        values[key] = value
    return validated(Training, values, f"{where}.{name}.training.").model_dump()


def _sweep(arguments: dict[str, Any], setting: str, entry: Model, scale: str, where: str) -> None:
    """Set one swept argument to one of its values. InputError: it is not swept, or not over this value."""
    key, _, text = setting.partition("=")
    own, values = (None, {}) if key not in entry.sweep else _sweep_values(entry, key, scale, where)
    if text not in values:
        known = [f"~{key}={value}" for value in values] or [f"~{other}=..." for other in entry.sweep]
        raise InputError(f"{where}: no sweep `~{setting}` at scale {scale}; there are {', '.join(known) or 'none'}")
    if own == values[text]:
        raise InputError(f"{where}: `~{setting}` is the model's own value: that run is called without it")
    *path, last = key.split(".")
    for part in path:
        arguments = arguments[part]
    arguments[last] = values[text]


def _sweep_values(entry: Model, key: str, scale: str, where: str) -> tuple[Any, dict[str, Any]]:
    """The model's own value of an argument, and those it is swept over by their text in a run's name.

    InputError: no list, an argument that the model does not have, or odd values.
    """
    values = _at(entry.sweep[key], scale, f"{where}.sweep.{key}", "sweep")
    own: Any = _at(entry.arguments, scale, f"{where}.arguments", "arguments")
    for part in key.split("."):
        own = own.get(part) if isinstance(own, dict) else None
    if own is None:
        raise InputError(f"{where}.sweep.{key}: the model has no argument of this name")
    if not isinstance(values, list) or not values or not all(isinstance(v, int | float | str) for v in values):
        raise InputError(f"{where}.sweep.{key}: write a list of numbers or names")
    for value in values:
        if not re.fullmatch(r"[\w.+-]+", str(value)):
            raise InputError(f"{where}.sweep.{key}: {value!r} can't be part of a file's name; use letters and digits")
    return own, {str(value): value for value in values}


def swept(paper: str, experiment: str, model: str, key: str, scale: str) -> dict[Any, str]:
    """{value: run, as experiment/model} of a model's sweep; the model's own value, if listed, is its own run."""
    entry, where = experiment_of(paper, experiment).models[model], f"{_place(paper, experiment)}.{model}"
    own, values = _sweep_values(entry, key, scale, where)
    return {v: f"{experiment}/{model}" + ("" if v == own else f"~{key}={text}") for text, v in values.items()}


def exists(paper: str, run: str, scale: str) -> bool:
    """Whether experiments.yaml has a run, `experiment/model` with its swept values, at a scale."""
    experiment, _, model = run.partition("/")
    try:
        resolve(paper, experiment, model, scale, 0)
    except InputError:
        return False
    return True


def _evaluator(key: str, name: str, scale: str, seed: int, overrides: dict[str, Any] | None) -> dict[str, Any]:
    """The specification of an evaluator network on the data of a key, on which all papers must agree.

    One that completes data, be it those of another experiment, is part of their specification, and heeds no override:
    data are the same for all runs.
    """
    used: dict[str, tuple[Evaluator, dict[str, Any]]] = {}
    for paper in papers():
        for experiment, node in load(paper).experiments.items():
            entry, whole = node.evaluators.get(name), data_part(paper, experiment, scale)
            data = trained_on(whole, name)
            if entry is None or entry.weights is not None or data_key(data) != key:
                continue
            used[_place(paper, experiment)] = entry, data
            overrides = overrides if data == whole else None
    found = {
        f"{where}.{name}": _common(EVALUATORS, key, name, scale, seed)
        | {"data": data, **_network(entry, name, scale, overrides, where)}
        for where, (entry, data) in used.items()
    }
    if not found:
        raise InputError(f"evaluators/{key}: no network `{name}` is trained on these data at scale {scale}")
    (first, specification), *others = found.items()
    for place, other in others:
        if other != specification:
            raise InputError(f"{place}: not as in {first}, on the same data; make them equal, or rename one")
    return specification


def _network(entry: Evaluator, name: str, scale: str, overrides: dict[str, Any] | None, where: str) -> dict[str, Any]:
    arguments = _at(entry.arguments, scale, f"{where}.{name}.arguments", "arguments")
    return {
        "modalities": entry.modalities,
        **_built(entry, arguments, f"{where}.{name}"),
        "training": _training({}, entry.training, scale, overrides, where, name),
    }


def data_part(paper: str, experiment: str, scale: str) -> dict[str, Any]:
    """The specification of the experiment's data at a scale, which all its runs share.

    `encoders`, if any, are the steps that complete what is prepared: each an array, the evaluator that makes it, and
    that network's own specification, in order.
    """
    place, node = _place(paper, experiment), experiment_of(paper, experiment)
    where = f"{place}.data"
    data = _at(node.data, scale, where, "data")
    encoders = validated(Data, data, f"{where}.").encoders or {}
    data.pop("encoders", None)
    trained = [name for name, entry in node.evaluators.items() if entry.weights is None]
    for array, name in encoders.items():
        if name not in trained:
            known = ", ".join(trained) or "none"
            raise InputError(f"{where}.encoders.{array}: no evaluator `{name}` is trained here; there are {known}")
    if len(set(encoders.values())) < len(encoders):
        raise InputError(f"{where}.encoders: {encoders!r} names a network twice; each makes one array")
    for n, (array, name) in enumerate(encoders.items()):
        unmade = sorted({*list(encoders)[n:]} & {*node.evaluators[name].modalities.values()})
        if unmade:
            raise InputError(f"{where}.encoders.{array}: `{name}` reads {unmade[0]}, which no step before it makes")
    steps = [
        {"array": array, "network": name, **_network(node.evaluators[name], name, scale, None, place)}
        for array, name in encoders.items()
    ]
    return {key: value for key, value in data.items() if value is not None} | ({"encoders": steps} if steps else {})


def data_stages(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The specifications of data as they are prepared, after their first encoder, ..., and whole."""
    steps, prepared = data.get("encoders", []), {key: value for key, value in data.items() if key != "encoders"}
    return [prepared, *(prepared | {"encoders": steps[: n + 1]} for n in range(len(steps)))]


def trained_on(data: dict[str, Any], network: str) -> dict[str, Any]:
    """What a network is trained on: an encoder on the data as they are before it, any other on all of them."""
    steps = zip(data_stages(data), data.get("encoders", []), strict=False)
    return next((before for before, step in steps if step["network"] == network), data)


def data_key(data: dict[str, Any]) -> str:
    """Name of a data set as it is prepared: two papers may prepare one source in two ways."""
    return f"{data['name']}-{sha256(data)[:8]}"


def seeds(paper: str, experiment: str, scale: str) -> list[int]:
    """Seeds of the training runs at a scale: 0, 1, ..."""
    where = f"{_place(paper, experiment)}.seeds"
    count = _at(experiment_of(paper, experiment).seeds, scale, where, "seeds")
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 100:
        raise InputError(f"{where}: {count!r} is not possible; give a whole number from 1 to 100")
    return list(range(count))


def check(paper: str, scale: str) -> None:
    """Resolve every run of a paper, so that a mistake is reported before any of them starts. InputError: as resolve."""
    for name, node in load(paper).experiments.items():
        seeds(paper, name, scale)
        for model, entry in node.models.items():
            evaluators(resolve(paper, name, model, scale, 0))
            for key in entry.sweep:
                for run in swept(paper, name, model, key, scale).values():
                    resolve(paper, *run.split("/"), scale, 0)
        for network, entry in node.evaluators.items():
            if entry.weights:
                if entry.arguments or entry.training or entry.modalities:
                    place = f"{_place(paper, name)}.{network}"
                    raise InputError(f"{place}: with `weights` of its own it is not trained; leave builder and weights")
                called = {"weights": entry.weights, "device": "cpu"}
                _check_call(entry.builder, called, f"{_place(paper, name)}.{network}", "builder", "builder")
            else:
                data = trained_on(data_part(paper, name, scale), network)
                resolve(EVALUATORS, data_key(data), network, scale, 0)


def evaluators(spec: dict[str, Any]) -> dict[str, Evaluator]:
    """{name: entry} of the networks that a run's evaluation uses. InputError: the experiment has none of this name."""
    known = {} if spec["paper"] == EVALUATORS else experiment_of(spec["paper"], spec["experiment"]).evaluators
    used = spec.get("evaluation", {}).get(EVALUATORS, {})
    where = _place(spec["paper"], spec["experiment"])
    if not isinstance(used, dict):
        raise InputError(f"{where}.evaluation.evaluators: {used!r} is no mapping from roles to names of evaluators")
    for role, name in used.items():
        if not isinstance(name, str) or name not in known:
            raise InputError(f"{where}.evaluation.evaluators.{role}: `{name}` is none of {', '.join(known) or 'none'}")
    return {name: known[name] for name in dict.fromkeys(used.values())}


def is_papers_own(spec: dict[str, Any]) -> bool:
    """Whether a run is what it is at scale `paper`: same data, training and evaluation, whatever its threads."""
    names = (spec["paper"], spec["experiment"], spec["model"])
    return exists(names[0], f"{names[1]}/{names[2]}", "paper") and _compared(spec) == _compared(
        resolve(*names, "paper", spec["seed"])
    )


def _compared(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """A specification and those of the networks that its metrics use, without what may differ between scales."""
    trained = [name for name, entry in evaluators(spec).items() if entry.weights is None]
    networks = [
        resolve(EVALUATORS, data_key(trained_on(spec["data"], name)), name, spec["scale"], 0) for name in trained
    ]

    def on_any_threads(each: dict[str, Any]) -> dict[str, Any]:
        return each | {"training": {name: value for name, value in each["training"].items() if name != "threads"}}

    def on_any_scale(each: dict[str, Any]) -> dict[str, Any]:
        steps = [on_any_threads(step) for step in each["data"].get("encoders", [])]
        kept = {name: value for name, value in on_any_threads(each).items() if name not in ("scale", "experiment")}
        return kept | {"data": each["data"] | {"encoders": steps}}

    return [on_any_scale(each) for each in (spec, *networks)]


def callees(spec: dict[str, Any]) -> list[str]:
    """The functions that make a run's model, as `module:name`: its builder, and those that its arguments name."""
    return [spec["builder"], *_named_in(spec["arguments"])]


def _named_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _named_in(each)
    elif isinstance(value, str) and re.fullmatch(_CALLEE, value):
        yield value


def training_part(spec: dict[str, Any]) -> dict[str, Any]:
    """What training depends on: the specification without its evaluation."""
    return {key: value for key, value in spec.items() if key not in ("protocol", "evaluation")}


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(value: Any) -> str:
    """Of a specification, or any other plain data."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


# ---- What a paper's functions take, read off their sources: importing them would import torch ----------------------

_TYPES = vars(builtins) | vars(typing) | {name: getattr(pydantic, name) for name in pydantic.types.__all__}


def _check_call(callee: str, values: dict[str, Any], where: str, key: str, part: str, inner: str = "") -> None:
    """Check values against the annotated parameters of `module:name`.

    where, key, part: the place in experiments.yaml, what names the callee there, and what holds the values.
    inner: of the module's class of this name instead, if it has one.
    InputError: no such function, or a value that is missing, unknown, or not of the annotated type.
    """
    module, name = callee.split(":")
    path = Path(*module.split(".")).with_suffix(".py")
    known = _definitions(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if name not in known:
        public = ", ".join(each for each in known if not each.startswith("_"))
        there = f"there are {public}" if known else "there is no such module"
        raise InputError(f"{where}.{key}: no function {callee}; {there}")
    if not inner or inner in known:
        validated(known[inner or name], values, f"{where}.{part}.")


@cache
def _definitions(source: str) -> dict[str, type[BaseModel]]:
    """For every function and class of a module a type whose fields are its parameters, or its annotated fields."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return {
        node.name: pydantic.create_model(node.name, __config__=ConfigDict(extra="forbid", strict=True), **_fields(node))
        for node in nodes
    }


def _fields(node: ast.FunctionDef | ast.ClassDef) -> dict[str, tuple[Any, Any]]:
    """{parameter: (type, whether it must be given, as pydantic says it)}"""
    if isinstance(node, ast.ClassDef):
        for each in node.body:
            if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                return _fields(each)
        annotated = [
            each for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        ]
        return {each.target.id: (_type(each.annotation), ... if each.value is None else None) for each in annotated}
    positional, keywords = [*node.args.posonlyargs, *node.args.args], node.args.kwonlyargs
    defaults = [None] * (len(positional) - len(node.args.defaults)) + [*node.args.defaults, *node.args.kw_defaults]
    return {
        each.arg: (_type(each.annotation), ... if default is None else None)
        for each, default in zip([*positional, *keywords], defaults, strict=True)
        if each.arg != "self"
    }


def _type(annotation: ast.expr | None) -> Any:
    """The type that an annotation names if it is one of Python's or pydantic's; others are not checked."""
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)} if annotation else set()
    return eval(ast.unparse(annotation), dict(_TYPES)) if names and names <= _TYPES.keys() else Any


# ---- Command lines -------------------------------------------------------------------------------------------------


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The command-line options that name one run."""
    parser.add_argument("--run", required=True, metavar="PAPER/EXPERIMENT/MODEL")
    parser.add_argument("--scale", required=True, choices=SCALES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=OVERRIDES["precision"], help="instead of the experiment's own")


def from_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """The specification that `add_run_arguments` options ask for. InputError: as `resolve`."""
    names = arguments.run.split("/")
    if len(names) != 3:
        raise InputError(f"--run {arguments.run}: write paper/experiment/model")
    return resolve(*names, arguments.scale, arguments.seed, overrides(arguments))


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the options replace in every run's specification."""
    return {key: getattr(arguments, key) for key in OVERRIDES if getattr(arguments, key) is not None}
