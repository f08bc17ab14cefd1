from pathlib import Path

import pytest

from shared.errors import InputError
from shared.run import fingerprint, spec
from tests.repository import ROOT

MODEL = '''\
"""A model."""

from shared import maths
from shared.run.progress import show

RATE = 0.5  # of something


class Model:
    """Doubles."""

    def forward(self, x):
        """Twice x."""
        show(x)
        return maths.double(x)
'''
SOURCES = {
    "shared/__init__.py": "",
    "shared/maths.py": "from shared import numbers\n\n\ndef double(x):\n    return numbers.TWO * x\n",
    "shared/numbers.py": "TWO = 2\n",
    "shared/plots.py": "COLOUR = 'red'\n",
    "shared/run/progress.py": "def show(x):\n    print(x)\n",
    "papers/__init__.py": "",
    "papers/one/__init__.py": "",
    "papers/one/model.py": MODEL,
    "papers/two/__init__.py": "",
    "papers/two/model.py": "from papers.one.model import Model\n",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A package tree; call it with a file's new text to get the fingerprint of paper one's model afterwards."""
    monkeypatch.chdir(tmp_path)

    def write(path, text):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)

    def after(path=None, text=None, module="papers.one.model"):
        if path:
            write(path, text)
        fingerprint._parsed.cache_clear()  # sources do not change while a process runs, but here they do
        return fingerprint.fingerprint([module])

    for path, text in SOURCES.items():
        write(path, text)
    yield after
    fingerprint._parsed.cache_clear()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# of something", "# of something else entirely"),
        ('"""A model."""', '"""A model, explained\n\nat length."""'),
        ('    """Doubles."""\n', ""),
        ("        show(x)\n", "        show(\n            x\n        )\n\n"),
        ("RATE = 0.5", "RATE   =   .5"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(tree, old, new):
    before = tree()
    assert old in MODEL
    assert tree("papers/one/model.py", MODEL.replace(old, new)) == before


def test_code_counts_and_restoring_it_restores_the_fingerprint(tree):
    before = tree()
    changed = tree("papers/one/model.py", MODEL.replace("RATE = 0.5", "RATE = 0.6"))
    assert changed != before
    assert tree("papers/one/model.py", MODEL) == before


def test_a_string_that_is_no_docstring_counts(tree):
    before = tree("papers/one/model.py", MODEL + "\nNAME = 'a'\n")
    assert tree("papers/one/model.py", MODEL + "\nNAME = 'b'\n") != before


@pytest.mark.parametrize("path", ["shared/maths.py", "shared/numbers.py"])
def test_imported_code_counts_however_far_away(tree, path):
    before = tree()
    assert tree(path, SOURCES[path].replace("2", "3") + "\nMORE = 1\n") != before


@pytest.mark.parametrize(
    "imports",
    [
        "import shared.numbers",
        "from shared.numbers import TWO",
        "from shared import numbers as n",
        "def later():\n    from shared import numbers\n    return numbers",
        "from .. import near",
        "from ..near import TWO",
    ],
)
@pytest.mark.parametrize("path", ["papers/one/deep/model.py", "papers/one/deep/__init__.py"])
def test_every_form_of_import_is_seen(tree, imports, path):
    tree("papers/one/near.py", "from shared.numbers import TWO\n")
    tree("papers/one/deep/__init__.py", "")
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    before = tree(path, imports + "\n", module=module)
    assert tree("shared/numbers.py", "TWO = 3\n", module=module) != before


def test_what_is_not_imported_and_what_only_reports_does_not_count(tree):
    before = tree()
    assert tree("shared/plots.py", "COLOUR = 'blue'\n") == before
    assert tree("papers/two/model.py", "SOMETHING = 1\n") == before
    assert tree("shared/run/progress.py", "def show(x):\n    print(x, x)\n") == before


def test_an_imported_paper_counts(tree):
    before = tree(module="papers.two.model")
    assert tree("papers/one/model.py", MODEL.replace("0.5", "0.6"), module="papers.two.model") != before


def test_a_new_file_with_the_same_code_is_another_program(tree):
    tree("papers/one/other.py", MODEL)
    assert tree(module="papers.one.other") != tree(module="papers.one.model")


def test_a_module_that_is_not_there_is_one_line(tree):
    with pytest.raises(InputError, match=r"\Amodule papers.none: no such source file[^\n]*\Z"):
        tree(module="papers.none")


# The promises about the package itself: what retrains what.


@pytest.fixture
def closures(monkeypatch):
    monkeypatch.chdir(ROOT)
    resolved = spec.resolve("hmvae", "oxford_flower", "mvae", "demo", 0)
    builder = resolved["builder"].split(":")[0]
    return {
        "training": set(fingerprint.closure(["shared.stages.train", builder])),
        "evaluation": set(fingerprint.closure(["shared.stages.evaluate", "papers.hmvae.evaluation", builder])),
        "figure": set(fingerprint.closure(["shared.stages.figure", "papers.hmvae.figures"])),
        "table": set(fingerprint.closure(["shared.stages.aggregate", "papers.hmvae.tables"])),
    }


def test_editing_reports_and_metrics_retrains_nothing(closures):
    forbidden = (
        "shared.report",
        "shared.metrics",
        "shared.data",
        "shared.stages.figure",
        "shared.stages.render",
        "shared.stages.aggregate",
    )
    rooms = ("tables", "figures", "evaluation")
    touched = {name for name in closures["training"] - fingerprint.INERT if name.startswith(forbidden)}
    assert touched == set()
    assert not {name for name in closures["training"] if name.split(".")[-1] in rooms}


def test_training_covers_the_loop_the_data_and_the_models(closures):
    expected = {
        "shared.run.training",
        "shared.data.arrays",
        "shared.run.devices",
        "shared.run.spec",
        "papers.hmvae.networks",
        "papers.hmvae.model",
    }
    assert expected <= closures["training"]


def test_editing_the_training_loop_makes_no_figure_again(closures):
    assert not closures["training"] & (closures["figure"] | closures["table"]) - fingerprint.INERT - {"shared"}


def test_light_stages_have_no_torch(closures):
    for module in closures["figure"] | closures["table"]:
        assert "import torch" not in fingerprint._path(module).read_text(encoding="utf-8"), module


def test_every_inert_module_exists():
    assert all((ROOT / Path(*name.split("."))).with_suffix(".py").exists() for name in fingerprint.INERT)
