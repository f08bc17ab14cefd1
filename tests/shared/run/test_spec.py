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
            "optimiser_options": {},
            "precision": "float32",
            "threads": 1,
        },
        "protocol": "papers.tiny.model:evaluate",
        "evaluation": {"evaluators": {"taste": "judge"}, "points": 3},
    }


def test_what_is_resolved_twice_is_not_shared(tiny):
    before = copy.deepcopy(resolve())
    resolve()["training"]["epochs"] = 1
    assert resolve() == before


def test_an_edited_file_is_read_again(tiny):
    assert resolve()["training"]["learning_rate"] == 0.01
    tiny('value: 1.0e-2, source: "Sec. 2"', 'value: 3.0e-2, source: "Sec. 2"')
    assert resolve()["training"]["learning_rate"] == 0.03


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("{value: 2.0e-2, source", "{value: 2.0e-2, demo: 1.0e-3, source", "training.learning_rate"),
        (
            'optimiser: {value: adam, source: "Sec. 2',
            'optimiser: {value: adam, demo: sgd, source: "Sec. 2',
            "optimiser",
        ),
        ("hidden: {value: 4, source", "hidden: {value: 4, demo: 2, source", "small.arguments.hidden"),
        ("name: {value: points, source", "name: {value: points, demo: lines, source", "data.name"),
    ],
)
def test_a_scale_changes_budgets_only(tiny, old, new, named):
    tiny(old, new)
    with refused("papers/tiny/experiments.yaml", named, "a scale may not change this"):
        spec.check("tiny", "paper")


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
    with refused("no model `big`", "small, large"):
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
        ("paper: tiny\n", "", ("paper: is missing",)),
        ('    seeds: {value: 3, demo: 1, source: "Table 1"}\n', "", ("line.seeds: is missing",)),
        (
            "        training:\n          learning_rate: {value: 2",
            "        trainings:\n          x: {value: 2",
            ("large.trainings: is unknown",),
        ),
        (
            "papers.tiny.model:evaluate",
            "papers.tiny.model.evaluate",
            ("line.protocol: 'papers.tiny.model.evaluate' should",),
        ),
        ("experiments:\n", "experiments: [\n", ("not valid YAML",)),
        ("experiments:\n", "tables: {}\nexperiments:\n", ("tables: is unknown",)),
    ],
)
def test_a_file_of_another_shape_is_one_line(tiny, old, new, parts):
    tiny(old, new)
    with refused("papers/tiny/experiments.yaml", *parts):
        spec.load("tiny")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (
            "learning_rate: {value: 2.0e-2",
            "learning_rate: {value: 2e-2",
            ("large.training.learning_rate: '2e-2'", "1.0e-3"),
        ),
        ("learning_rate: {value: 2.0e-2", "learning_rate: {value: 0", ("large.training.learning_rate: 0 should",)),
        ("learning_rate: {value: 2.0e-2", "learning_rate: {value: .nan", ("large.training.learning_rate: nan should",)),
        ("epochs: {value: 50, reduced: 20, demo: 6", "epochs: {value: 0", ("training.epochs: 0 should",)),
        ("epochs: {value: 50, reduced: 20, demo: 6", "epochs: {value: -1", ("training.epochs: -1 should",)),
        (
            'batch_size: {value: 8, source: "Sec. 2"',
            'batch_size: {value: 0, source: "S"',
            ("training.batch_size: 0 should",),
        ),
        (
            'threads: {value: 1, source: "ours"}\n    seeds',
            'threads: {value: two, source: "o"}\n    seeds',
            ("threads: 'two' should",),
        ),
        (
            'threads: {value: 1, source: "ours"}\n    seeds',
            'threads: {value: 0, source: "o"}\n    seeds',
            ("threads: 0 should",),
        ),
        (
            'precision: {value: float32, source: "assumption"',
            'precision: {value: float16, source: "a"',
            ("precision: 'float16' should",),
        ),
        (
            'optimiser: {value: adam, source: "Sec. 2"',
            'optimiser: {value: adm, source: "Sec. 2"',
            ("training.optimiser: 'adm' should", "'adamw'"),
        ),
        (
            "epochs: {value: 50, reduced: 20, demo: 6",
            "epoch: {value: 50, demo: 6",
            ("small.training.epoch: is unknown; there are learning_rate",),
        ),
        (
            "value: [2, 4, 8], demo: [2, 4]",
            "value: [2, 4, 8], demo: [d/e]",
            ("small.sweep.hidden: 'd/e' can't be part",),
        ),
        ("hidden: {value: 6", "hidden: {value: 2026-11-21", ("large.arguments.hidden: datetime.date",)),
        (
            "taste: {value: master, demo: judge, reduced: judge",
            "taste: {value: master, demo: [judge], reduced: judge",
            ("line.evaluation.evaluators.taste:", "is none of"),
        ),
        ("seeds: {value: 3, demo: 1", "seeds: {value: 3, demo: x", ("line.seeds: 'x' is not possible",)),
        ("seeds: {value: 3, demo: 1", "seeds: {value: 3, demo: 0", ("line.seeds: 0 is not possible",)),
        ("hidden: {value: 4", "hidden: {value: 0", ("small.arguments.hidden: 0 should",)),
        ("hidden: {value: 6", "hiden: {value: 6", ("large.arguments.hiden: is unknown; there are hidden",)),
        (
            "hidden: {value: 6",
            "width: {value: 6, source: S}\n          hidden: {value: 6",
            ("large.arguments.width: is unknown",),
        ),
        ("points: {value: 9, demo: 3", "points: {value: 9, demo: all", ("line.evaluation.points: 'all' should",)),
        (
            "papers.tiny.model:evaluate",
            "papers.tiny.model:evaluat",
            ("line.protocol: no function papers.tiny.model:evaluat",),
        ),
        ("papers.tiny.model:evaluate", "papers.tiny.modl:evaluate", ("papers.tiny.modl:evaluate", "no such module")),
        ("demo: judge", "demo: jury", ("evaluators.taste: `jury` is none of",)),
        ("name: {value: points", "name: {value: 3", ("line.data.name: 3 should be a valid string",)),
        ("value: [2, 4, 8], demo: [2, 4]", "value: [2, 4, 8], demo: 2", ("small.sweep.hidden: write a list",)),
        ("hidden: {value: [2, 4, 8]", "width: {value: [2, 4, 8]", ("small.sweep.width: the model has no argument",)),
        ("demo: [2, 4]", "demo: [0]", ("small.arguments.hidden: 0 should",)),
    ],
)
def test_a_value_that_cannot_be_is_one_line_before_anything_runs(tiny, old, new, parts):
    tiny(old, new)
    with refused("papers/tiny/experiments.yaml", *parts):
        spec.check("tiny", "demo")


def test_a_file_in_another_encoding_is_one_line(tiny, tmp_path):
    path = tmp_path / "papers" / "tiny" / "experiments.yaml"
    path.write_bytes(path.read_bytes() + "# Grüße".encode("latin-1"))
    with refused("papers/tiny/experiments.yaml", "not UTF-8"):
        spec.load("tiny")


def test_the_example_itself_is_sound(tiny):
    for scale in spec.SCALES:
        spec.check("tiny", scale)


def test_seeds_and_evaluators_depend_on_the_scale(tiny):
    assert spec.seeds("tiny", "line", "demo") == [0]
    assert spec.seeds("tiny", "line", "paper") == [0, 1, 2]
    assert list(spec.evaluators(resolve("demo"))) == ["judge"]
    assert [each.weights for each in spec.evaluators(resolve("paper")).values()] == ["inception_fid"]


# Sweeps


def test_a_swept_run_differs_from_its_model_in_the_swept_value_alone(tiny):
    base, wide = resolve("paper"), resolve("paper", model="small~hidden=8")
    assert wide["arguments"] == {"hidden": 8}
    assert wide | {"model": "small", "arguments": base["arguments"]} == base


def test_the_models_own_value_is_the_models_own_run_and_demo_has_fewer(tiny):
    runs = {2: "line/small~hidden=2", 4: "line/small"}
    assert spec.swept("tiny", "line", "small", "hidden", "demo") == runs
    assert spec.swept("tiny", "line", "small", "hidden", "paper") == runs | {8: "line/small~hidden=8"}
    assert not spec.exists("tiny", "line/small~hidden=8", "demo")
    assert spec.exists("tiny", "line/small~hidden=8", "reduced")
    for wrong in ("small~hidden=4", "small~hidden=3", "small~width=2", "small~hidden", "large~hidden=2"):
        with refused(wrong.split("~")[0], wrong.split("~")[1]):
            resolve("paper", model=wrong)


# Evaluators that papers share, and comparability


def test_papers_share_a_network_on_the_same_data(tiny, tmp_path):
    write_paper(tmp_path, EXPERIMENTS.replace("paper: tiny", "paper: other"), paper="other")
    key = spec.data_key(spec.data_part("tiny", "line", "demo"))
    judge = spec.resolve("evaluators", key, "judge", "demo", 0)
    assert judge["arguments"] == {"hidden": 2}
    assert judge["modalities"] == {"x": "x1"}
    with refused(f"evaluators/{key}", "no network `master`"):
        spec.resolve("evaluators", key, "master", "demo", 0)
    tiny('hidden: {value: 2, source: "ours"}', 'hidden: {value: 3, source: "ours"}')
    with refused("papers/tiny/experiments.yaml: line.judge", "not as in papers/other"):
        spec.resolve("evaluators", key, "judge", "demo", 0)


def test_a_network_that_metrics_use_must_be_the_papers_too(tiny):
    """Trained for fewer epochs, its numbers are others, whatever the run itself is."""
    tiny("value: master, demo: judge, reduced: judge", "value: judge")
    tiny("epochs: {value: 50, reduced: 20, demo: 6", "epochs: {value: 50, demo: 6")
    tiny('threads: {value: 1, source: "ours"}\n    seeds', "threads: {value: 1, source: o}\n    seeds")
    assert spec.is_papers_own(resolve("reduced"))
    tiny("epochs: {value: 5, source", "epochs: {value: 5, reduced: 1, source")
    assert not spec.is_papers_own(resolve("reduced"))


def test_data_prepared_in_two_ways_have_two_names(tiny):
    demo, paper = (spec.data_key(spec.data_part("tiny", "line", scale)) for scale in ("demo", "paper"))
    assert demo != paper
    assert demo.startswith("points-")
    tiny('name: {value: points, source: "Sec. 1"}', 'name: {value: points, source: "another place"}')
    assert spec.data_key(spec.data_part("tiny", "line", "demo")) == demo


def test_only_what_the_paper_did_is_the_papers_own(tiny):
    assert spec.is_papers_own(resolve("paper", seed=2))
    assert spec.is_papers_own(resolve("paper", model="small~hidden=8"))
    assert not spec.is_papers_own(resolve("reduced"))
    assert not spec.is_papers_own(resolve("paper", overrides={"precision": "bfloat16"}))
    tiny('threads: {value: 1, source: "ours"}\n    seeds', "threads: {value: 4, reduced: 1, source: o}\n    seeds")
    tiny("epochs: {value: 50, reduced: 20, demo: 6", "epochs: {value: 50, demo: 6")
    tiny("value: master, demo: judge, reduced: judge", "value: master, demo: judge")
    assert spec.is_papers_own(resolve("reduced"))  # the same, on another number of threads


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
    tiny("points: {value: 9, demo: 3", "points: {value: 9, demo: 4")
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
            inner = ("arguments", "sweep", "training", "evaluation")
            parts[model] = {key: entry[key] for key in inner if key in entry}
        for where, leaf in leaves(parts, name):
            assert isinstance(leaf, dict), where
            assert leaf["source"].strip(), where


@pytest.mark.parametrize("scale", spec.SCALES)
def test_every_run_of_every_paper_resolves(scale, monkeypatch):
    monkeypatch.chdir(ROOT)
    for paper in spec.papers():
        spec.check(paper, scale)
        for name, experiment in spec.load(paper).experiments.items():
            for model in experiment.models:
                assert spec.resolve(paper, name, model, scale, 0)["training"]["epochs"] > 0


# Networks that complete data


ENCODED = EXPERIMENTS.replace(
    "    modalities: {x: x1}\n    training:",
    """\
      encoders: {value: {}, demo: {x2: judge, x3: critic}, source: "ours"}
    modalities: {x: x3}
    training:""",
).replace(
    "      judge:\n",
    """\
      critic:
        builder: papers.tiny.model:model
        arguments: {hidden: {value: 3, source: "ours"}}
        modalities: {x: x2}
        training:
          learning_rate: {value: 1.0e-2, source: "ours"}
          batch_size: {value: 8, source: "ours"}
          epochs: {value: 5, source: "ours"}
          samples: {value: 1, source: "ours"}
          optimiser: {value: adam, source: "ours"}
          precision: {value: float32, source: "ours"}
          threads: {value: 1, source: "ours"}
      judge:
""",
)


@pytest.fixture
def encoded(tiny, tmp_path):
    """The tiny paper, whose data two networks complete at scale demo: x2 first, then x3."""
    path = write_paper(tmp_path, ENCODED)
    return lambda old, new: path.write_text(path.read_text().replace(old, new, 1))


def keys(scale="demo"):
    return [spec.data_key(stage) for stage in spec.data_stages(spec.data_part("tiny", "line", scale))]


def test_every_encoder_is_trained_on_the_data_before_it(encoded):
    spec.check("tiny", "demo")
    prepared, first, whole = keys()
    assert len({prepared, first, whole}) == 3
    data = spec.data_part("tiny", "line", "demo")
    assert [(step["array"], step["network"]) for step in data["encoders"]] == [("x2", "judge"), ("x3", "critic")]
    for network, key in (("judge", prepared), ("critic", first), ("another", whole)):
        assert spec.data_key(spec.trained_on(data, network)) == key
    judge, critic = (spec.resolve("evaluators", *each, "demo", 0) for each in ((prepared, "judge"), (first, "critic")))
    assert "encoders" not in judge["data"]
    assert [step["network"] for step in critic["data"]["encoders"]] == ["judge"]
    with refused(f"evaluators/{whole}", "no network `judge`"):
        spec.resolve("evaluators", whole, "judge", "demo", 0)


def test_data_without_encoders_are_what_they_were(encoded, tmp_path):
    assert spec.data_part("tiny", "line", "paper") == {"name": "points", "source": "official"}
    with_encoders = keys()[0]
    write_paper(tmp_path)
    assert keys() == [with_encoders]


def test_a_changed_network_makes_other_data_of_all_that_follow_it(encoded):
    prepared, first, whole = keys()
    encoded('hidden: {value: 3, source: "ours"}', 'hidden: {value: 2, source: "ours"}')
    assert keys()[:2] == [prepared, first]
    assert keys()[2] != whole
    encoded("modalities: {x: x2}", "modalities: {x: x1}")
    encoded("demo: {x2: judge, x3: critic}", "demo: {x2: critic, x3: judge}")
    assert keys()[0] == prepared
    assert not {first, whole} & set(keys()[1:])


def test_experiments_with_the_same_data_share_their_encoders(encoded, tmp_path):
    before = keys()
    write_paper(tmp_path, ENCODED.replace("paper: tiny", "paper: other"), paper="other")
    assert [spec.data_key(each) for each in spec.data_stages(spec.data_part("other", "line", "demo"))] == before
    assert spec.resolve("evaluators", before[1], "critic", "demo", 0)["arguments"] == {"hidden": 3}


def test_data_heed_no_override(encoded):
    key = keys()[1]
    override = {"precision": "bfloat16"}
    assert spec.resolve("evaluators", key, "critic", "demo", 0, override)["training"]["precision"] == "float32"
    assert resolve(overrides=override)["training"]["precision"] == "bfloat16"


@pytest.mark.parametrize("paper", ["other", "zoo"])
def test_an_encoder_heeds_no_override_where_others_use_it_as_an_evaluator(encoded, tmp_path, paper):
    """Whichever of the two papers is read first."""
    write_paper(tmp_path, EXPERIMENTS.replace("paper: tiny", f"paper: {paper}"), paper=paper)
    prepared = keys()[0]
    assert spec.data_key(spec.data_part(paper, "line", "demo")) == prepared
    override = {"precision": "bfloat16"}
    judge = spec.resolve("evaluators", prepared, "judge", "demo", 0, override)
    assert judge == spec.resolve("evaluators", prepared, "judge", "demo", 0)


def test_data_completed_by_other_networks_are_not_the_papers(encoded):
    """A scale that trains them less has other data, one that trains them on other threads has not."""

    def change(key, old, new):
        _, judge = ENCODED.split("      judge:\n")
        assert judge.count(f"{key}: {{value: {old}, ") == 1
        changed = judge.replace(f"{key}: {{value: {old}, ", f"{key}: {{value: {old}, reduced: {new}, ")
        encoded(judge, changed)
        return lambda: encoded(changed, judge)

    encoded("value: {}, demo: {x2: judge, x3: critic}", "value: {x2: judge}")
    encoded("value: master, demo: judge, reduced: judge", "value: judge")
    encoded("epochs: {value: 50, reduced: 20, demo: 6", "epochs: {value: 50, demo: 6")
    undo = change("threads", 1, 2)
    assert spec.is_papers_own(resolve("reduced"))
    undo()
    change("epochs", 5, 4)
    assert not spec.is_papers_own(resolve("reduced"))


@pytest.mark.parametrize(
    ("encoders", "named"),
    [
        ("{x2: jury}", "x2: no evaluator `jury` .* there are critic, judge"),
        ("{x2: master}", "x2: no evaluator `master`"),
        ("{x2: [judge]}", "x2: .'judge'. should be a valid string"),
        ("[judge]", "'judge'. should be a valid dictionary"),
        ("{x2: judge, x3: judge}", "names a network twice"),
        # an array that the step itself makes, or a later one
        ("{x2: critic}", "x2: `critic` reads x2, which no step before it makes"),
        ("{x3: critic, x2: judge}", "x3: `critic` reads x2, which no step before it makes"),
        ('{"../x; ls": judge}', "'../x; ls' should match"),
        ('{"a/b": judge}', "'a/b' should match"),
        ("0", "0 should be a valid dictionary"),
        ('""', "'' should be a valid dictionary"),
        ("false", "False should be a valid dictionary"),
        ("[]", "should be a valid dictionary"),
        ("3", "3 should be a valid dictionary"),
    ],
)
def test_encoders_that_cannot_be_are_one_line(encoded, encoders, named):
    encoded("demo: {x2: judge, x3: critic}", f"demo: {encoders}")
    with refused("papers/tiny/experiments.yaml: line.data.encoders", named):
        spec.check("tiny", "demo")


@pytest.mark.parametrize("none", ["null", "{}"])
def test_no_encoders_are_none(encoded, none):
    encoded("demo: {x2: judge, x3: critic}", f"demo: {none}")
    assert spec.data_part("tiny", "line", "demo") == {"name": "points", "source": "drawn", "seed": 0}
