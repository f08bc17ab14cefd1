import ast
import json
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data.prepared import DatasetSpec
from shared.errors import InputError
from shared.run import fingerprint, spec
from shared.stages.prepare import prepare
from tests.repository import ROOT, copy_of_this, other_pythons, run

MODEL = '''\
"""A model."""

from typing import TYPE_CHECKING

import torch.nn.functional as F
from dataclasses import dataclass

from shared import maths
from shared.run.progress import show

if TYPE_CHECKING:
    from shared.plots import COLOUR

RATE = 0.5  # of something
UNUSED = 3


@dataclass
class Settings:
    depth: int = 2


class Model:
    """Doubles."""

    def forward(self, x: int, rate: float = RATE) -> int:
        """Twice x."""
        show(x)
        if x < Settings().depth:
            raise ValueError(f"{x}: too small")
        steps: list = [maths.double(each) for each in F.relu(x)]
        return rate * steps[0]


def helper():
    return UNUSED


def build():
    return Model()
'''
MATHS = """\
from shared import numbers


def double(x):
    return numbers.TWO * x


def half(x):
    return x
"""
SOURCES = {
    "shared/__init__.py": "",
    "shared/maths.py": MATHS,
    "shared/numbers.py": "TWO = 2\nTHREE = 3\n",
    "shared/plots.py": "COLOUR = 'red'\n",
    "shared/run/progress.py": "def show(x):\n    print(x)\n",
    "papers/__init__.py": "",
    "papers/one/__init__.py": "",
    "papers/one/model.py": MODEL,
}
ONE = "papers.one.model:build"


@pytest.fixture(autouse=True)
def fresh():
    fingerprint.forget()
    yield
    fingerprint.forget()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A package tree; call it with files' new texts to get the fingerprint of paper one's model afterwards."""
    monkeypatch.chdir(tmp_path)

    def after(files=(), root=ONE):
        for path, text in dict(files).items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
        fingerprint.forget()
        return fingerprint.fingerprint(root)

    after(SOURCES)
    return after


def edited(old, new, path="papers/one/model.py"):
    assert old in SOURCES[path]
    return {path: SOURCES[path].replace(old, new)}


# What counts


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# of something", "# of something else entirely"),
        ('"""A model."""', '"""A model, explained\n\nat length."""'),
        ('    """Doubles."""\n', ""),
        ("        show(x)\n", "        show(\n            x\n        )\n\n"),
        ("RATE = 0.5", "RATE   =   .5"),
        ("RATE = 0.5", "RATE: float = 0.5"),
        ("x: int, rate: float", "x, rate: 'float'"),
        (") -> int:", "):"),
        ("steps: list = ", "steps = "),
        ("too small", "too small; give a larger one"),
        ("UNUSED = 3\n", "UNUSED = 4\n"),
        ("return UNUSED", "return 2 * UNUSED"),
        ("def helper", "def another"),
        ("UNUSED = 3\n", "UNUSED = 3\nMORE = 5\n"),
        ("RATE = 0.5  # of something\nUNUSED = 3\n", "UNUSED = 3\nRATE = 0.5\n"),
        ("    from shared.plots import COLOUR\n", "    from shared.numbers import THREE\n"),
        ("import torch.nn.functional as F\n", "import torch.nn.functional as F\nimport torch\n"),
        ("from shared import maths\n", "from shared import maths, plots\n"),
    ],
)
def test_what_changes_no_number_does_not_count(tree, old, new):
    before = tree()
    assert tree(edited(old, new)) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RATE = 0.5", "RATE = 0.6"),
        ("depth: int = 2", "depth: int = 3"),
        ("depth: int = 2", "depth: float = 2"),  # a library may convert what a field's annotation says
        ("depth: int = 2", "depth: int = 2\n    width: int"),
        ("@dataclass", "@dataclass(order=True)"),
        ("raise ValueError", "raise KeyError"),
        ("return rate * steps[0]", "return rate * steps[1]"),
        ("rate: float = RATE", "rate: float = 0.5"),
        ("maths.double(each)", "maths.half(each)"),
        ("torch.nn.functional as F", "torch.nn as F"),
        ("return Model()", "return Model"),
    ],
)
def test_what_may_change_a_number_counts_and_restoring_it_restores_the_fingerprint(tree, old, new):
    before = tree()
    assert tree(edited(old, new)) != before
    assert tree(SOURCES) == before


def test_the_name_under_which_something_is_imported_does_not_count(tree):
    before = tree()
    renamed = MODEL.replace("import maths", "import maths as m").replace("maths.double", "m.double")
    assert tree({"papers/one/model.py": renamed}) == before
    inside = renamed.replace("from shared import maths as m\n", "").replace(
        "        show(x)\n", "        from shared.maths import double as d\n\n        show(x)\n"
    )
    assert tree({"papers/one/model.py": inside.replace("m.double", "d")}) == before
    whole = MODEL.replace("import torch.nn.functional as F", "import torch").replace(
        "F.relu", "torch.nn.functional.relu"
    )
    assert tree({"papers/one/model.py": whole}) == before


def test_a_definition_that_moves_is_the_same(tree):
    before = tree()
    double = "def double(x):\n    return TWO * x\n"
    moved = {
        "shared/arithmetic/__init__.py": "",
        "shared/arithmetic/simple.py": f"from shared.numbers import TWO\n\n\n{double}",
        **edited("from shared import maths", "from shared.arithmetic.simple import double"),
    }
    moved["papers/one/model.py"] = moved["papers/one/model.py"].replace("maths.double", "double")
    assert tree(moved) == before


def test_two_definitions_that_change_places_count(tree):
    """Both are reached before and after."""
    numbers = {"shared/numbers.py": "TWO = 2\nTHREE = 3\n"}
    model = "from shared.numbers import {}\n\n\ndef build():\n    return first - second\n"
    before = tree(numbers | {"papers/one/model.py": model.format("THREE as second, TWO as first")})
    assert tree({"papers/one/model.py": model.format("THREE as first, TWO as second")}) != before


# How names are followed

USES = {
    "import shared.numbers": "shared.numbers.TWO",
    "import shared.numbers as n": "n.TWO",
    "from shared import numbers": "numbers.TWO",
    "from shared import numbers as n": "n.TWO",
    "from shared.numbers import TWO": "TWO",
    "from shared.numbers import TWO as pair": "pair",
    "from .. import near": "near.TWO",
    "from ..near import TWO": "TWO",
    "from papers.one import near": "near.TWO",
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("path", ["papers/one/deep/model.py", "papers/one/deep/__init__.py"])
@pytest.mark.parametrize(("imports", "use"), USES.items())
def test_every_form_of_import_is_followed_to_the_definition(tree, imports, use, path, inside):
    files = {"papers/one/near.py": "from shared.numbers import TWO\n", "papers/one/deep/__init__.py": ""}
    body = f"    {imports}\n\n    return {use}\n" if inside else f"    return {use}\n"
    files[path] = ("" if inside else f"{imports}\n\n\n") + f"def build():\n{body}"
    root = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") + ":build"
    before = tree(files, root)
    assert tree({"shared/numbers.py": "TWO = 2\nTHREE = 4\n"}, root) == before
    assert tree({"shared/numbers.py": "TWO = 3\nTHREE = 3\n"}, root) != before


@pytest.mark.parametrize(
    ("imports", "use"),
    [
        ("from shared import numbers", "getattr(numbers, name)"),
        ("import shared.numbers", "shared.numbers.SEVEN"),
        ("from shared.numbers import SEVEN", "SEVEN"),
        ("from shared.numbers import *", "TWO"),
        ("from papers.one.near import *", "TWO"),
    ],
)
def test_where_a_name_cannot_be_followed_the_whole_module_counts(tree, imports, use):
    files = {"papers/one/near.py": "from shared.numbers import *\n"}
    before = tree(files | {"papers/one/model.py": f"{imports}\n\n\ndef build(name):\n    return {use}\n"})
    assert tree({"shared/numbers.py": "TWO = 2\nTHREE = 4\n"}) != before


LOCAL = """\
from shared import numbers
from shared.numbers import THREE


def build(numbers, given=1):
    TWO = [THREE for THREE in given]
    return {body}
"""


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ("numbers.anything + TWO[0]", False),
        ("lambda THREE: THREE + 1", False),
        ("{THREE: numbers for THREE, numbers in given}", False),
        ("[each for each in given if THREE]", True),  # a comprehension's variable ends with it
        ("lambda x: THREE", True),
        ("[THREE for THREE in [THREE]]", True),
    ],
)
def test_local_variables_lead_nowhere(tree, body, counts):
    before = tree({"papers/one/model.py": LOCAL.format(body=body)})
    assert (tree({"shared/numbers.py": "TWO = 2\nTHREE = 4\n"}) != before) is counts


def test_local_variables_of_one_method_are_none_of_another(tree):
    model = """
    from shared.numbers import THREE, TWO

    class build:
        def first(self):
            TWO = THREE = 1
            def inner():
                global THREE
                return THREE + TWO
        def second(self):
            {}
    """
    model = textwrap.dedent(model)
    changed = {"shared/numbers.py": "TWO = 5\nTHREE = 3\n"}
    for body, counts in (("pass", False), ("return TWO", True), ("return [TWO for x in TWO]", True)):
        before = tree(SOURCES | {"papers/one/model.py": model.format(body)})
        assert (tree(changed) != before) is counts, body
    before = tree(SOURCES | {"papers/one/model.py": model.format("pass")})
    assert tree({"shared/numbers.py": "TWO = 2\nTHREE = 4\n"}) != before  # `global`


OTHERS = {
    "registration": ("KINDS = {{}}\nKINDS['a'] = {}\n", "def build():\n    return KINDS\n"),
    "augmented": ("KINDS = []\nKINDS += [{}]\n", "def build():\n    return KINDS\n"),
    "condition": ("if len('x'):\n    SIZE = {}\nelse:\n    SIZE = 1\n", "def build():\n    return SIZE\n"),
    "loop": ("KINDS = []\nfor i in range({}):\n    KINDS.append(i)\n", "def build():\n    return KINDS\n"),
    "call": ("import torch\n\ntorch.set_threshold({})\n", "def build():\n    return 1\n"),
    "attribute": ("class A:\n    pass\n\n\nA.size = {}\n", "def build():\n    return A\n"),
    "registering decorator": (
        "from torch import register\n\n\n@register\ndef rule():\n    return {}\n", "def build():\n    return 1\n"
    ),
    "registering call": (
        "from torch import register\n\n\n@register(1)\nclass Rule:\n    size = {}\n", "def build():\n    return 1\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("statement", "rest"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("where", ["its own module", "an imported module", "a package above", "of a package"])
def test_statements_that_importing_runs_count(tree, statement, rest, where):
    before, after = (statement.format(value) for value in (3, 4))
    build = "def build():\n    return 1\n"
    files = {
        "its own module": lambda text: {"papers/one/model.py": f"{text}\n\n{rest}"},
        "an imported module": lambda text: {
            "papers/one/model.py": f"from shared import maths, plots\n\n\n{build}",
            "shared/maths.py": "import shared.numbers\n",
            "shared/numbers.py": text,
        },
        "a package above": lambda text: {"papers/__init__.py": text, "papers/one/model.py": build},
        "of a package": lambda text: {
            "papers/one/model.py": "from shared.kinds import build as b\n\n\ndef build():\n    return b()\n",
            "shared/kinds/__init__.py": f"{text}\n\n{rest}",
        },
    }[where]
    assert tree(files(before)) != tree(files(after))


def test_what_runs_as_a_program_or_for_a_type_checker_only_does_not_count(tree):
    before = tree()
    more = "\nif __name__ == '__main__':\n    build()\n\nif TYPE_CHECKING:\n    Size = int\n"
    assert tree({"papers/one/model.py": MODEL + more}) == before


def test_what_only_reports_does_not_count(tree):
    before = tree()
    assert tree({"shared/run/progress.py": "def show(x):\n    print(x, x)\n\n\nshow(1)\n"}) == before


def test_definitions_that_refer_to_each_other_end(tree):
    model = "def build(x):\n    return odd(x)\n\n\ndef odd(x):\n    return build(x - {})\n"
    assert tree({"papers/one/model.py": model.format(1)}) != tree({"papers/one/model.py": model.format(2)})


@pytest.mark.parametrize("root", ["papers.none:build", "papers.one.model:biuld", "papers.one.model", "numpy:array"])
def test_a_definition_that_is_not_there_is_one_line(tree, root):
    with pytest.raises(InputError, match=rf"\A{root}: no such definition[^\n]*\Z"):
        tree(root=root)


# The same in all versions of Python

SYNTAX = r"""
from contextlib import contextmanager
from itertools import chain as joined
import os.path

LIMIT: float = 1e-3
A, (B, *C) = 1, (2, 3, 4)
TEXT = "a" 'b' f"{LIMIT!r:>{A}}" f"{A=}" "é\u1C89\U0002EBF0" f"" rf"\d{B:.2f}" f'{"x" "y"}'
BYTES, NUMBERS, NOTHING = b"\xff", (0x10, 1_000, 1.50, 2j, True, None, ..., -1, 1e400), f"plain"

@contextmanager
def build(a, /, b: int = LIMIT, *args, c=1, d: "str" = None, **more) -> None:
    "documented"
    global A
    nonlocal_ = [(x, y) for x in args if x for y in more.items() if y]
    try:
        with open(os.path.join("a", a)) as file, file:
            A = yield file
    except (OSError, *C) as error:
        raise ValueError(f"{error}: bad", a) from error
    except* TypeError: ...
    else:
        del nonlocal_[0], b
    finally:
        assert a, "message"
    while (n := c) < 3 and not a or b in d is None:
        c += 1; continue
    for i, *j in enumerate(joined(args)): break
    else: pass
    match a:
        case {"k": 1, **rest} if rest: return lambda x, *y, z=1: x[1:2, ::3] @ z
        case [1, *others] | (2 as others): ...
        case Thing(x=-1, y=None) | "s" | a.b | _: return {**more, "k": {1, *args}}
    return a if b else {k: v async for k, v in d}

class Thing(dict, metaclass=type):
    x: int
    y: "float" = 2.0
    async def go(self, other: Thing) -> Thing:
        async with other: return await self.go(*[1], **{})
        return ~self.y ** -2 // 3 % 4 << 1 ^ 2 != 5 <= 6 not in []
"""


def syntax(path):
    # versions of Python before 3.12 take no `except*` beside `except`
    return {path: SYNTAX.replace("    except* TypeError: ...\n", "")}


RECORDED = "56b1e57b0ffff852"


def test_the_digest_of_known_code_is_the_recorded_one(tree):
    assert tree(syntax("papers/one/syntax.py"), "papers.one.syntax:build") == RECORDED


# Run by Pythons that have no library installed.
# other Pythons may not have pydantic and yaml, which word errors and read specifications; nothing here needs them
OTHER_PYTHON = """
import sys, types
sys.modules["pydantic"] = types.SimpleNamespace(BaseModel=object, ValidationError=ValueError)
sys.modules["shared.run.spec"] = types.ModuleType("spec")
from shared.run import fingerprint
print(fingerprint.fingerprint(*sys.argv[1:]))
"""


def test_other_versions_of_python_agree_on_the_package_itself(monkeypatch):
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python on this machine")
    monkeypatch.chdir(ROOT)
    roots = [f"papers.{paper}.evaluation:evaluate" for paper in ("hmvae", "mhvae")]
    roots += [f"papers.{paper}.{name}" for paper in ("hmvae", "mhvae") for name in ("tables:TABLES", "figures:FIGURES")]
    roots += [*fingerprint.TRAINING, "papers.hmvae.networks:hmvae_deep", "papers.mhvae.networks:mhvae"]
    expected = fingerprint.fingerprint(*roots)
    for python in pythons.values():
        answer = run(ROOT, python, "-B", "-c", OTHER_PYTHON, *roots)
        assert answer.stdout == f"{expected}\n", (python, answer.stderr)


# The promises about the package itself: what makes what again


MODELS = {
    "mvae": ("hmvae", "oxford_flower", "mvae"),
    "hmvae": ("hmvae", "oxford_flower", "hmvae_deep"),
    "mhvae": ("mhvae", "mnist", "mhvae"),
}


@pytest.fixture(scope="module")
def specs():
    return {name: spec.resolve(*run, "demo", 0) for name, run in MODELS.items()}


@pytest.fixture
def package(tmp_path, monkeypatch, specs):
    """A copy of this package; call it with a path and an edit of its text to get the names of what is made again."""
    root = copy_of_this(tmp_path / "repository")
    monkeypatch.chdir(root)

    def prints():
        fingerprint.forget()
        found = {f"training {name}": fingerprint.of_training(each) for name, each in specs.items()}
        found |= {f"evaluation {name}": fingerprint.of_evaluation(each) for name, each in specs.items()}
        found |= {f"architecture {name}": fingerprint.of_architecture(each) for name, each in specs.items()}
        found |= {
            f"data {stage['name']}" + "".join(f" {step['array']}" for step in stage.get("encoders", [])[-1:]): digest
            for each in specs.values()
            for stage in spec.data_stages(each["data"])
            for digest in [fingerprint.of_data(stage)]
        }
        found["table"] = fingerprint.of_table("hmvae", "shared.stages.aggregate")
        return found | {"figure": fingerprint.of_figure("hmvae")}

    before = prints()

    def made_again(path, edit):
        file = root / path
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        file.parent.mkdir(exist_ok=True)
        file.write_text(edit(text), encoding="utf-8")
        after = prints()
        file.write_text(text, encoding="utf-8")
        return {name for name in before if before[name] != after[name]}

    return made_again


def inside(name):
    """An edit that adds a statement to a function or class of this name."""

    def edit(text):
        for node in ast.parse(text).body:
            if getattr(node, "name", None) == name:
                lines = text.splitlines(keepends=True)
                first = node.body[0]
                lines.insert(first.lineno - 1, " " * first.col_offset + "EDITED = 1\n")
                return "".join(lines)
        raise AssertionError(f"no {name} to edit")

    return edit


def more(text):
    """Something new at the end of a module."""
    return text + "\n\nADDED = 1\n\n\ndef added():\n    return ADDED\n\n\nclass Added:\n    size = ADDED\n"


def of(*names):
    """All that follows from the weights of these models."""
    return {f"{stage} {name}" for name in names for stage in ("training", "evaluation", "architecture")}


ALL = of(*MODELS)
TRAINING = {f"training {name}" for name in MODELS}
EVALUATION = {f"evaluation {name}" for name in MODELS}
ARCHITECTURE = {f"architecture {name}" for name in MODELS}
ENCODED = {"data oxford_flower x1_features", "data oxford_flower x2"}
NEW_PAPER = "papers/sixth/networks.py"

EDITS = [
    ("papers/hmvae/networks.py", inside("flat_image_decoder"), of("mvae")),
    ("papers/hmvae/networks.py", inside("mvae"), of("mvae")),
    ("papers/hmvae/networks.py", inside("deep_image_hierarchy"), of("hmvae")),
    ("papers/hmvae/networks.py", inside("Bottleneck"), of("hmvae")),
    ("papers/hmvae/networks.py", inside("likelihoods"), of("mvae", "hmvae")),
    ("papers/hmvae/networks.py", inside("mdvae"), set()),
    ("papers/hmvae/networks.py", more, set()),
    ("papers/hmvae/model.py", inside("HMVAE"), of("hmvae")),
    ("papers/hmvae/model.py", inside("MDVAE"), set()),
    ("papers/mhvae/networks.py", inside("mhvae"), of("mhvae")),
    ("papers/mhvae/networks.py", inside("jmvae"), set()),
    ("papers/mhvae/networks.py", inside("mnist"), of("mhvae")),
    ("papers/mhvae/networks.py", inside("_celeba_decoder"), set()),
    ("papers/mhvae/networks.py", more, set()),
    ("papers/mhvae/model.py", inside("MHVAE"), of("mhvae")),
    ("papers/mmvae/model.py", inside("MMVAE"), set()),
    (NEW_PAPER, more, set()),
    ("shared/models/baselines/mvae.py", inside("MVAE"), of("mvae")),
    ("shared/models/baselines/jmvae.py", inside("JMVAE"), set()),
    ("shared/models/shared_latent.py", inside("SharedLatentVAE"), ALL),
    ("shared/models/experts.py", inside("product_of_experts"), of("mvae")),
    ("shared/models/experts.py", inside("mixture_of_experts"), of("hmvae")),
    ("shared/models/experts.py", more, set()),
    ("shared/models/distributions.py", inside("normal"), ALL),
    ("shared/models/distributions.py", inside("LearnedNormal"), of("mvae", "hmvae")),
    ("shared/models/distributions.py", inside("OneHotCategorical"), of("mhvae")),
    ("shared/models/distributions.py", more, set()),
    ("shared/models/objectives.py", more, set()),
    ("shared/models/networks.py", more, set()),
    ("shared/models/contract.py", more, set()),
    ("shared/run/training.py", inside("Training"), TRAINING),
    ("shared/run/training.py", more, set()),
    ("shared/run/devices.py", inside("prepare_torch"), TRAINING | EVALUATION | ENCODED),
    ("shared/run/devices.py", inside("choose_device"), EVALUATION),
    ("shared/run/seeds.py", more, set()),
    ("shared/run/progress.py", inside("Progress"), set()),
    ("shared/run/storage.py", inside("save"), set()),
    ("shared/run/spec.py", inside("resolve"), set()),
    ("shared/run/fingerprint.py", inside("fingerprint"), set()),
    ("shared/files.py", inside("atomic_path"), set()),
    ("shared/stages/train.py", inside("main"), set()),
    ("shared/stages/evaluate.py", inside("main"), set()),
    ("shared/stages/evaluate.py", inside("evaluate"), EVALUATION),
    ("shared/stages/aggregate.py", inside("main"), {"table"}),
    ("shared/data/arrays.py", inside("load_split"), TRAINING | EVALUATION | ENCODED),
    ("shared/data/arrays.py", more, set()),
    ("shared/data/digits.py", inside("load"), {"data mnist"}),
    ("shared/data/drawn_flowers.py", inside("load"), {"data oxford_flower"}),
    ("shared/data/drawn_flowers.py", more, set()),
    ("shared/data/oxford_flower.py", inside("load"), set()),  # the demo scale draws its flowers
    ("shared/data/celeba.py", inside("load"), set()),
    ("shared/data/sources.py", more, set()),
    ("shared/stages/prepare.py", inside("prepare"), {"data mnist", "data oxford_flower"}),
    ("shared/stages/encode.py", inside("encode"), ENCODED),
    ("shared/stages/encode.py", inside("main"), set()),
    ("shared/stages/architecture.py", inside("shapes_of"), ARCHITECTURE),
    # the networks are trained again, too, by fingerprints of their own
    ("shared/metrics/classifier.py", inside("Residual"), {"data oxford_flower x1_features"}),
    ("shared/models/char_cnn_rnn.py", inside("CharCnnRnn"), {"data oxford_flower x2"}),
    ("shared/metrics/likelihood.py", inside("over_split"), {"evaluation mhvae"}),
    ("shared/metrics/likelihood.py", more, set()),
    ("shared/metrics/fid.py", inside("frechet_distance"), {"evaluation mvae", "evaluation hmvae"}),
    ("shared/metrics/fid.py", more, set()),
    ("shared/metrics/new.py", more, set()),
    ("papers/hmvae/evaluation.py", inside("evaluate"), {"evaluation mvae", "evaluation hmvae"}),
    ("papers/hmvae/evaluation.py", more, set()),
    ("papers/mhvae/evaluation.py", inside("evaluate"), {"evaluation mhvae"}),
    ("papers/hmvae/tables.py", inside("_means"), {"table"}),
    ("papers/hmvae/figures.py", inside("fig7_oxford_flower_samples"), {"figure"}),
    ("papers/mhvae/figures.py", inside("fig4_mhvae_samples"), set()),
    ("shared/report/tidy.py", inside("build"), {"table"}),
    ("shared/report/latex.py", more, set()),
    ("shared/report/drawing.py", inside("mosaic"), {"figure"}),
]


def test_an_edit_makes_again_what_it_touches_and_no_more(package):
    wrong = {}
    for path, edit, expected in EDITS:
        found = package(path, edit)
        if found != expected:
            wrong[path, edit.__qualname__, *sorted(expected)] = sorted(found)
    assert wrong == {}


def test_networks_that_others_trained_count_where_they_are_used(tmp_path, monkeypatch):
    """At scale `paper` FID and precision look through Inception and ResNet-101; at demo through a network of ours."""
    root = copy_of_this(tmp_path / "repository")
    monkeypatch.chdir(root)
    resolved = {scale: spec.resolve("hmvae", "oxford_flower", "mvae", scale, 0) for scale in ("demo", "paper")}

    def prints():
        fingerprint.forget()
        return {
            scale: (fingerprint.of_evaluation(each), fingerprint.of_protocol(each)) for scale, each in resolved.items()
        }

    before, path = prints(), root / "shared" / "metrics" / "features.py"
    path.write_text(path.read_text(encoding="utf-8").replace("size=(224, 224)", "size=(225, 225)"), encoding="utf-8")
    after = prints()
    fingerprint.forget()
    assert after["demo"] == before["demo"]
    assert not set(after["paper"]) & set(before["paper"])


def test_light_stages_reach_no_torch(monkeypatch, specs):
    monkeypatch.chdir(ROOT)
    figure = fingerprint.reached("shared.stages.figure:main", "papers.hmvae.figures:FIGURES")
    table = fingerprint.reached("shared.stages.aggregate:main", "papers.hmvae.tables:TABLES")
    for module in {module for module, _ in figure + table}:
        assert "import torch" not in fingerprint._file(module).read_text(encoding="utf-8"), module


def test_every_inert_module_exists():
    assert all((ROOT / Path(*name.split("."))).with_suffix(".py").exists() for name in fingerprint.INERT)


def statements(path):
    """The statements of a file that stand on lines of their own."""
    found = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.stmt)]
    return [node for node in found if getattr(node, "decorator_list", []) == []]


@pytest.fixture(scope="module")
def reached(tmp_path_factory, specs):
    """A copy of this package, the roots of a training and an evaluation, and the definitions that they reach."""
    root = copy_of_this(tmp_path_factory.mktemp("reached") / "repository")
    roots = (*fingerprint.TRAINING, *fingerprint.EVALUATION, *(each["builder"] for each in specs.values()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        fingerprint.forget()
        places = [(root / fingerprint._file(module), name) for module, name in fingerprint.reached(*roots)]
        yield root, roots, places, fingerprint.fingerprint(*roots)


def after(root, roots, path, text):
    """The fingerprint with another text in a file, which gets its own back."""
    before = path.read_text(encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        path.write_text(text, encoding="utf-8")
        fingerprint.forget()
        try:
            return fingerprint.fingerprint(*roots)
        finally:
            path.write_text(before, encoding="utf-8")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_words_and_unrelated_definitions_never_count(reached, data):
    root, roots, places, expected = reached
    path = data.draw(st.sampled_from(sorted({path for path, _ in places})))
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    for node in sorted(data.draw(st.lists(st.sampled_from(statements(path)), max_size=5)), key=lambda n: -n.lineno):
        before = lines[node.lineno - 1][: node.col_offset]
        if before.strip() == "":  # nothing else stands before it on its line
            added = data.draw(st.sampled_from(["# a word\n", "'a text that goes nowhere'\n", "\n"]))
            lines.insert(node.lineno - 1, before + added)
    if data.draw(st.booleans()):
        lines.append("\n\ndef unrelated(x):\n    return x + 1\n")
    assert after(root, roots, path, "".join(lines)) == expected


@cache
def numbers(path, name):
    """Places of the numbers in a definition, but for its annotations and the words of its errors."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        bound = [node.name] if hasattr(node, "name") else [each.id for each in ast.walk(node) if hasattr(each, "id")]
        if name in bound and not isinstance(node, ast.Import | ast.ImportFrom):
            waiting = [node]
            while waiting:
                each = waiting.pop()
                if isinstance(each, ast.Constant) and type(each.value) in (int, float):
                    found.append(each)
                elif not isinstance(each, ast.Raise | ast.JoinedStr):
                    skipped = {id(getattr(each, "annotation", None)), id(getattr(each, "returns", None))}
                    waiting.extend(child for child in ast.iter_child_nodes(each) if id(child) not in skipped)
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_number_in_a_reached_definition_counts(reached, data):
    root, roots, places, expected = reached
    path, node = data.draw(st.sampled_from([(path, node) for path, name in places for node in numbers(path, name)]))
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    line = lines[node.lineno - 1].encode()
    changed = line[: node.col_offset] + f"({node.value!r} + 1)".encode() + line[node.end_col_offset :]
    lines[node.lineno - 1] = changed.decode()
    assert after(root, roots, path, "".join(lines)) != expected


# Against what really runs

TRACE = """
import inspect, json, os, sys
import torch, torch.distributions

ROOT, done, ran = os.getcwd() + "/", set(), set()


def ours(frame):
    return frame.f_code.co_filename.startswith(ROOT)


def watch(frame, event, argument):
    code = frame.f_code
    if code in done:
        return
    if ours(frame) and code.co_flags & inspect.CO_OPTIMIZED:  # no module, no body of a class
        above = frame
        while above := above.f_back:  # what importing runs is not what the stage asked for
            if above.f_code.co_name == "<module>" and ours(above):
                return
        ran.add((code.co_filename, code.co_firstlineno))
    done.add(code)


stage, *sys.argv[1:] = sys.argv[1:]
sys.settrace(watch)
__import__(f"shared.stages.{stage}")
sys.modules[f"shared.stages.{stage}"].main()
sys.settrace(None)
print(json.dumps(sorted(ran)), file=sys.stderr)
"""
# Parts of a stage that touch no number: they name, report and guard.
COMMANDS = {
    *(("shared.stages.train", name) for name in ("main", "outcome")),
    *(("shared.run.devices", name) for name in ("choose_device", "describe_device")),
    ("shared.stages.evaluate", "main"),
}
SMALL = {"epochs": "training", "importance_samples": "evaluation", "points": "evaluation"}


def definition_at(root, path, line):
    """The top-level definition in which a line of a file lies."""
    for node in ast.parse(Path(path).read_text(encoding="utf-8")).body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        if first <= line <= node.end_lineno:
            name = getattr(node, "name", None) or node.targets[0].id
            return ".".join(Path(path).relative_to(root).with_suffix("").parts).removesuffix(".__init__"), name
    raise AssertionError(f"{path}, line {line}: in no definition")


@pytest.mark.parametrize("model", ["mvae", "mhvae"])
def test_every_function_that_training_and_evaluation_run_is_covered(tmp_path, monkeypatch, model):
    root = copy_of_this(tmp_path / "repository")
    path = root / "papers" / "mhvae" / "experiments.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, part in SMALL.items():
        content["experiments"]["mnist"][part][key]["demo"] = 1 if key == "epochs" else 4
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.chdir(root)
    resolved = spec.resolve("mhvae", "mnist", model, "demo", 0)
    prepare(DatasetSpec.from_json(spec.canonical(resolved["data"])), root, root / "runs" / "data")
    named = f"--run mhvae/mnist/{model} --scale demo --data runs/data --device cpu".split()
    covered = {
        "train": fingerprint.reached(*fingerprint.TRAINING, *spec.callees(resolved)),
        "evaluate": fingerprint.reached(*fingerprint.EVALUATION, resolved["protocol"], *spec.callees(resolved)),
    }
    for stage, folder in (("train", "--out"), ("evaluate", "--folder")):
        options = [folder, "runs/run", *(["--evaluators", "runs"] if stage == "evaluate" else [])]
        result = run(root, sys.executable, "-c", TRACE, stage, *named, *options)
        assert result.returncode == 0, result.stderr
        ran = {definition_at(root, *place) for place in json.loads(result.stderr.splitlines()[-1])}
        assert ("shared.models.distributions", "normal") in ran  # tracing works
        missed = {place for place in ran - COMMANDS if place[0] not in fingerprint.INERT}
        assert missed <= set(covered[stage])
