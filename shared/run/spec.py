"""From papers/*/experiments.yaml to the resolved specification of one run. Imports neither torch nor pandas.

A leaf of the YAML is a mapping {value, source, [demo], [reduced]}; resolving takes the value of the scale and drops
the source. The result is plain data that names what is computed, and its sha256 names the run's content.
"""

import argparse
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from shared.errors import InputError

SCALES = ("demo", "reduced", "paper")
PAPERS = Path("papers")
PRETRAINED = "pretrained"  # evaluation.features: networks trained on ImageNet instead of one of our own
# What a scale may change: the data source and budgets (DESIGN, Scales), never an equation or a network.
SCALABLE = {
    "data.source", "data.caption_features", "data.images_per_class", "data.seed",
    "training.batch_size", "training.epochs", "training.samples", "training.threads", "training.precision", "seeds",
    "evaluation.features", "evaluation.variance_samples", "evaluation.variance_captions",
    "evaluation.importance_samples", "evaluation.points",
    "arguments.warmup_epochs", "arguments.warmup_core", "arguments.warmup_private",
}  # fmt: skip
# What each part of an experiments.yaml must have.
_TRAINING_KEYS = ("learning_rate", "batch_size", "epochs", "samples", "optimiser", "precision", "threads")
_MODEL_KEYS = ("builder", "arguments", "training", "evaluation")
_EXPERIMENT_KEYS = ("data", "modalities", "training", "seeds", "evaluation", "models")
_TARGET_KEYS = {"tables": ("runs", "needs"), "figures": ("runs",)}
# What `--config` may override for every run.
OVERRIDES = {"precision": ("float32", "bfloat16")}


def papers() -> list[str]:
    """Names of the papers that have experiments, in alphabetical order."""
    return sorted(path.parent.name for path in PAPERS.glob("*/experiments.yaml"))


def load(paper: str) -> dict[str, Any]:
    """The paper's experiments.yaml, checked for the shape that `resolve` relies on. InputError: it is wrong."""
    path = PAPERS / paper / "experiments.yaml"
    try:
        content = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; papers with experiments: {', '.join(papers())}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    _require(content, ("paper", "experiments"), f"{path}")
    for name, experiment in content["experiments"].items():
        where = f"{path}: {name}"
        _require(experiment, _EXPERIMENT_KEYS, where)
        _require(experiment["training"], _TRAINING_KEYS, f"{where}.training")
        _refuse_others(experiment["training"], _TRAINING_KEYS, f"{where}.training")
        for model, entry in (experiment["models"] | experiment.get("evaluators", {})).items():
            _require(entry, ("builder",), f"{where}.{model}")
            _refuse_others(entry, _MODEL_KEYS, f"{where}.{model}")
            _refuse_others(entry.get("training", {}), _TRAINING_KEYS, f"{where}.{model}.training")
        for scale in SCALES if "features" in experiment["evaluation"] else ():
            features = _at(experiment["evaluation"]["features"], scale, f"{where}.evaluation.features")
            if features != PRETRAINED and features not in experiment.get("evaluators", {}):
                raise InputError(f"{where}.evaluation.features: `{features}` is neither {PRETRAINED} nor an evaluator")
    for kind, keys in _TARGET_KEYS.items():
        for target, entry in content.get(kind, {}).items():
            _require(entry, keys, f"{path}: {kind}.{target}")
            if not isinstance(entry["runs"], dict):
                raise InputError(f"{path}: {kind}.{target}.runs: write {{experiment: [models]}}")
            for name, models in entry["runs"].items():
                if name not in content["experiments"]:
                    raise InputError(f"{path}: {kind}.{target}.runs: no experiment `{name}` in this file")
                for model in models:
                    if model not in content["experiments"][name]["models"]:
                        raise InputError(f"{path}: {kind}.{target}.runs.{name}: no model `{model}` in the experiment")
    return content


@cache
def _parsed(text: str) -> Any:
    """The YAML of a text. A workflow resolves many runs of few files, and parsing them again would dominate."""
    return yaml.safe_load(text)


def _require(node: Any, keys: tuple[str, ...], where: str) -> None:
    for key in keys:
        if not isinstance(node, dict) or key not in node:
            raise InputError(f"{where}: the key `{key}` is missing; add it")


def _refuse_others(node: Any, keys: tuple[str, ...], where: str) -> None:
    for key in node:
        if key not in keys:
            raise InputError(f"{where}: the key `{key}` is unknown; possible: {', '.join(keys)}")


def _leaf(node: Any) -> bool:
    return isinstance(node, dict) and "value" in node


def _at(node: Any, scale: str, where: str) -> Any:
    """The plain value of a YAML node at a scale."""
    if _leaf(node):
        extra = set(node) - {"value", "source", "demo", "reduced"}
        if extra or not isinstance(node.get("source"), str):
            raise InputError(
                f"{where}: a value needs `source`, and only value, source, demo, reduced; found {sorted(node)}"
            )
        key = ".".join(where.split(".")[-2:])
        if set(node) & {"demo", "reduced"} and key not in SCALABLE and where.split(".")[-1] not in SCALABLE:
            raise InputError(f"{where}: a scale may not change this; only {', '.join(sorted(SCALABLE))}")
        return node.get(scale, node["value"])
    if isinstance(node, dict):
        return {key: _at(value, scale, f"{where}.{key}") for key, value in node.items()}
    raise InputError(f'{where}: `{node}` has no source; write {{value: {node}, source: "place in the paper"}}')


def check_scale(scale: str) -> None:
    if scale not in SCALES:
        raise InputError(f"scale `{scale}` is unknown; choose one of {', '.join(SCALES)}")


def experiment_of(paper: str, experiment: str) -> dict[str, Any]:
    experiments = load(paper)["experiments"]
    if experiment not in experiments:
        raise InputError(
            f"papers/{paper}/experiments.yaml: no experiment `{experiment}`; there are {', '.join(experiments)}"
        )
    return experiments[experiment]


def resolve(
    paper: str, experiment: str, model: str, scale: str, seed: int, overrides: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The specification of one run: everything that its numbers depend on, but for code and data files.

    model may also be an evaluator (a network that metrics use). InputError: an unknown name, scale or override.
    """
    check_scale(scale)
    node = experiment_of(paper, experiment)
    runs = node["models"] | node.get("evaluators", {})
    if model not in runs:
        raise InputError(f"{paper}/{experiment}: no model `{model}`; there are {', '.join(runs)}")
    entry, where = runs[model], f"papers/{paper}/experiments.yaml: {experiment}"
    training = _at(node["training"], scale, f"{where}.training")
    training |= _at(entry.get("training", {}), scale, f"{where}.{model}.training")
    for key, value in (overrides or {}).items():
        if value not in OVERRIDES.get(key, ()):
            raise InputError(f"override `{key}={value}` is unknown; possible: {OVERRIDES}")
        training[key] = value
    evaluation = _at(node["evaluation"], scale, f"{where}.evaluation")
    evaluation |= _at(entry.get("evaluation", {}), scale, f"{where}.{model}.evaluation")
    return {
        "paper": paper,
        "experiment": experiment,
        "model": model,
        "scale": scale,
        "seed": seed,
        "data": data_part(paper, experiment, scale),
        "modalities": node["modalities"],
        "builder": entry["builder"],
        "arguments": _at(entry.get("arguments", {}), scale, f"{where}.{model}.arguments"),
        "training": training,
        "evaluation": evaluation,
    }


def check(paper: str, scale: str) -> None:
    """Resolve every run of a paper, so that a mistake is reported before any of them starts. InputError: as resolve."""
    for name, node in load(paper)["experiments"].items():
        for model in node["models"] | node.get("evaluators", {}):
            resolve(paper, name, model, scale, 0)


def data_part(paper: str, experiment: str, scale: str) -> dict[str, Any]:
    """The specification of the experiment's data at a scale, which all its runs share."""
    node = experiment_of(paper, experiment)["data"]
    data = _at(node, scale, f"papers/{paper}/experiments.yaml: {experiment}.data")
    return {key: value for key, value in data.items() if value is not None}


def seeds(paper: str, experiment: str, scale: str) -> list[int]:
    """Seeds of the training runs at a scale: 0, 1, ..."""
    node = experiment_of(paper, experiment)["seeds"]
    return list(range(_at(node, scale, f"papers/{paper}/experiments.yaml: {experiment}.seeds")))


def evaluators(spec: dict[str, Any]) -> list[str]:
    """Names of the evaluator networks that a run's evaluation uses, and that the workflow trains."""
    features = spec["evaluation"].get("features", PRETRAINED)
    return [] if features == PRETRAINED else [features]


def uses_pretrained(spec: dict[str, Any]) -> bool:
    """Whether a run's evaluation needs networks that others trained. One without feature metrics needs none."""
    return spec["evaluation"].get("features") == PRETRAINED


def targets(kind: str) -> dict[str, str]:
    """{name of a table or figure: its paper}; kind is `tables` or `figures`. InputError: one name in two papers."""
    found: dict[str, str] = {}
    for paper in papers():
        for name in load(paper).get(kind, {}):
            if name in found:
                raise InputError(f"{kind} {name}: in both papers {found[name]} and {paper}; rename one of them")
            found[name] = paper
    return found


def runs_of(target: dict[str, Any]) -> list[str]:
    """The runs that a table or figure of experiments.yaml shows, as experiment/model."""
    return [f"{experiment}/{model}" for experiment, models in target["runs"].items() for model in models]


def training_part(spec: dict[str, Any]) -> dict[str, Any]:
    """What training depends on: the specification without its evaluation."""
    return {key: value for key, value in spec.items() if key != "evaluation"}


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(value: Any) -> str:
    """Of a specification, or any other plain data."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The command-line options that name one run."""
    for name in ("paper", "experiment", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--scale", required=True, choices=SCALES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=OVERRIDES["precision"], help="instead of the experiment's own")


def from_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """The specification that `add_run_arguments` options ask for."""
    names = (arguments.paper, arguments.experiment, arguments.model, arguments.scale, arguments.seed)
    return resolve(*names, overrides(arguments))


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the options replace in every run's specification."""
    return {key: getattr(arguments, key) for key in OVERRIDES if getattr(arguments, key) is not None}
