import copy

import pytest
import yaml

from shared.errors import InputError
from shared.run import spec
from shared.run.seeds import derive_seed
from tests.repository import EXPERIMENTS, ROOT, write_paper


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A repository with the paper `tiny`; call it to change a text in its experiments.yaml."""
    monkeypatch.chdir(tmp_path)
    path = write_paper(tmp_path)

    def change(old, new):
        text = path.read_text()
        assert text.count(old) == 1, old
        path.write_text(text.replace(old, new))

    return change


def resolve(scale="demo", model="small", seed=0, overrides=None):
    return spec.resolve("tiny", "line", model, scale, seed, overrides)


def refused(*parts):
    """The next InputError is one line with all these parts."""
    pattern = "".join(f"(?=.*{part})" for part in parts)
    return pytest.raises(InputError, match=rf"\A{pattern}[^\n]*\Z")


@pytest.mark.parametrize(
    ("scale", "epochs", "source"), [("demo", 6, "drawn"), ("reduced", 20, "official"), ("paper", 50, "official")]
)
def test_a_scale_takes_its_own_values(tiny, scale, epochs, source):
    resolved = resolve(scale)
    assert resolved["training"]["epochs"] == epochs
    assert resolved["data"]["source"] == source
    assert ("seed" in resolved["data"]) == (scale == "demo")  # a null is no value at all


def test_a_specification_is_plain_values(tiny):
    assert resolve(model="large", seed=7) == {
        "paper": "tiny",
        "experiment": "line",
        "model": "large",
        "scale": "demo",
        "seed": 7,
        "data": {"name": "points", "source": "drawn", "seed": 0},
        "modalities": {"x": "x1"},
        "builder": "papers.tiny.model:model",
        "arguments": {"hidden": 6},
        "training": {
            "learning_rate": 0.02,  # the model's own
            "batch_size": 8,
            "epochs": 6,
            "samples": 2,
            "optimiser": "adam",
            "precision": "float32",
            "threads": 1,
        },
        "evaluation": {"features": "judge"},
    }


def test_what_is_resolved_twice_is_not_shared(tiny):
    before = copy.deepcopy(resolve())
    resolve()["training"]["epochs"] = 1
    assert resolve() == before


def test_an_edited_file_is_read_again(tiny):
    assert resolve()["training"]["learning_rate"] == 0.01
    tiny("value: 1.0e-2", "value: 3.0e-2")
    assert resolve()["training"]["learning_rate"] == 0.03


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("{value: 1.0e-2, source", "{value: 1.0e-2, demo: 1.0e-3, source", "training.learning_rate"),
        ("{value: adam, source", "{value: adam, reduced: sgd, source", "training.optimiser"),
        ("hidden: {value: 4, source", "hidden: {value: 4, demo: 2, source", "small.arguments.hidden"),
        ("name: {value: points, source", "name: {value: points, demo: lines, source", "data.name"),
    ],
)
def test_a_scale_changes_budgets_only(tiny, old, new, named):
    tiny(old, new)
    with refused("papers/tiny/experiments.yaml", named, "a scale may not change this"):
        resolve("paper")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('learning_rate: {value: 1.0e-2, source: "Sec. 2"}', "learning_rate: 1.0e-2", "training.learning_rate"),
        ('hidden: {value: 4, source: "Sec. 2"}', "hidden: {value: 4}", "small.arguments.hidden"),
        ('batch_size: {value: 8, source: "Sec. 2"}', "batch_size: {source: 8}", "training.batch_size"),
        ('samples: {value: 2, source: "Sec. 2"}', 'samples: {value: 2, source: "S", papr: 3}', "training.samples"),
        ('hidden: {value: 4, source: "Sec. 2"}', "hidden: [4, 4]", "small.arguments.hidden"),
    ],
)
def test_a_value_without_its_source_is_refused(tiny, old, new, named):
    tiny(old, new)
    with refused("papers/tiny/experiments.yaml", named, "source"):
        resolve()


def test_unknown_names_are_refused_with_those_there_are(tiny):
    with refused("scale `huge`", "demo, reduced, paper"):
        resolve("huge")
    with refused("no model `big`", "small, large, judge"):
        resolve(model="big")
    with refused("no experiment `circle`", "line"):
        spec.resolve("tiny", "circle", "small", "demo", 0)
    with refused("papers/none/experiments.yaml", "no such file", "tiny"):
        spec.resolve("none", "line", "small", "demo", 0)


def test_an_override_replaces_the_experiments_value(tiny):
    assert resolve(overrides={"precision": "bfloat16"})["training"]["precision"] == "bfloat16"
    for wrong in ({"precision": "float8"}, {"learning_rate": 1}):
        with refused("override", next(iter(wrong))):
            resolve(overrides=wrong)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("paper: tiny\n", "", ("`paper` is missing",)),
        ("    seeds: {value: 3, demo: 1, source: \"Table 1\"}\n", "", ("line", "`seeds` is missing")),
        ("{line: [small, large]}, needs: metrics", "{line: [small, large]}", ("table1_line", "`needs` is missing")),
        ("{line: [small]}}", "{line: [smal]}}", ("fig1_line", "no model `smal`")),
        ("{line: [small]}}", "{circle: [small]}}", ("fig1_line", "no experiment `circle`")),
        ("{line: [small]}}", "[small]}", ("fig1_line.runs", "write {experiment")),
        ("demo: judge", "demo: jury", ("line.evaluation.features", "`jury` is neither")),
        ("      epochs: {value: 50", "      epocs: {value: 50", ("line.training", "`epochs` is missing")),
        ("          learning_rate: {value: 2", "          rate: {value: 2", ("large.training", "`rate` is unknown")),
        ("        training:\n", "        trainings:\n", ("line.large", "`trainings` is unknown")),
        ("experiments:\n", "experiments: [\n", ("not valid YAML",)),
    ],
)  # fmt: skip
def test_a_file_of_another_shape_is_one_line(tiny, old, new, parts):
    tiny(old, new)
    with refused("papers/tiny/experiments.yaml", *parts):
        spec.load("tiny")


def test_seeds_and_evaluators_depend_on_the_scale(tiny):
    assert spec.seeds("tiny", "line", "demo") == [0]
    assert spec.seeds("tiny", "line", "paper") == [0, 1, 2]
    assert spec.evaluators(resolve("demo")) == ["judge"]
    assert spec.evaluators(resolve("paper")) == []


def test_targets_belong_to_one_paper(tiny, tmp_path):
    assert spec.targets("tables") == {"table1_line": "tiny"}
    assert spec.targets("figures") == {"fig1_line": "tiny"}
    write_paper(tmp_path, EXPERIMENTS.replace("table1_line", "table9"), paper="other")
    assert spec.targets("tables") == {"table9": "other", "table1_line": "tiny"}
    with refused("figures fig1_line", "other", "tiny"):
        spec.targets("figures")


def test_streams_of_random_numbers_are_independent_and_shared_by_the_models(tiny):
    purposes = [("initialisation",), ("sampling",), ("order", 0), ("order", 1), ("evaluation", "image")]
    seeds = {derive_seed(resolve(seed=k), *purpose) for k in range(20) for purpose in purposes}
    assert len(seeds) == 20 * len(purposes)
    assert all(0 <= seed < 2**63 for seed in seeds)
    small, large = resolve(model="small"), resolve(model="large", scale="paper")
    assert derive_seed(small, "order", 3) == derive_seed(large, "order", 3)


def test_the_checksum_ignores_the_order_of_keys_and_sees_every_value(tiny):
    resolved = resolve()
    assert spec.sha256(dict(reversed(resolved.items()))) == spec.sha256(resolved)
    assert spec.sha256(resolve(seed=1)) != spec.sha256(resolved)
    tiny('{value: 8, source: "Sec. 2"}', '{value: 8, source: "another place"}')
    assert spec.sha256(resolve()) == spec.sha256(resolved)


def test_evaluation_is_no_part_of_what_training_depends_on(tiny):
    demo = resolve()
    tiny("demo: judge", "demo: pretrained")
    assert spec.training_part(resolve()) == spec.training_part(demo)
    assert spec.sha256(resolve()) != spec.sha256(demo)


def leaves(node, where):
    """(place, leaf) for everything below a part of an experiment that resolving reads."""
    if isinstance(node, dict) and "value" not in node:
        for key, value in node.items():
            yield from leaves(value, f"{where}.{key}")
    else:
        yield where, node


@pytest.mark.parametrize("path", sorted(ROOT.glob("papers/*/experiments.yaml")), ids=lambda path: path.parent.name)
def test_every_hyperparameter_of_a_paper_says_where_it_comes_from(path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["paper"] == path.parent.name
    for name, experiment in content["experiments"].items():
        parts = {key: experiment[key] for key in ("data", "training", "seeds", "evaluation")}
        for model, entry in (experiment["models"] | experiment.get("evaluators", {})).items():
            parts[model] = {key: entry[key] for key in ("arguments", "training", "evaluation") if key in entry}
        for where, leaf in leaves(parts, name):
            assert isinstance(leaf, dict), where
            assert leaf["source"].strip(), where


@pytest.mark.parametrize("scale", spec.SCALES)
def test_every_run_of_every_paper_resolves(scale, monkeypatch):
    monkeypatch.chdir(ROOT)
    for paper in spec.papers():
        for name, experiment in spec.load(paper)["experiments"].items():
            for model in experiment["models"] | experiment.get("evaluators", {}):
                assert spec.resolve(paper, name, model, scale, 0)["training"]["epochs"] > 0
