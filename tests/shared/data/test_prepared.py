"""What all data sets share: options, splits, and arrays written whole, block by block, or not at all."""

import json
import sys

import numpy as np
import pytest

from shared.data import mnist, sources
from shared.data.arrays import load_array
from shared.data.prepared import LEAST_IMAGES, DatasetSpec, Prepared, Rows, Whole, one_hot, random_split
from shared.errors import InputError
from shared.run.fingerprint import closure
from shared.stages import prepare
from tests.repository import ROOT, run
from tests.shared.test_errors import mounts


def test_options_have_defaults_types_and_choices():
    spec = DatasetSpec("mnist", "official", {"images": 7, "how": "b"})
    options = spec.read(images=3, how=("a", "b"), seed=0, size=28)
    assert (options.images, options.how, options.seed, options.size) == (7, "b", 0, 28)
    assert DatasetSpec("mnist", "official").read(how=("a", "b")).how == "a"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixels": 3}, "mnist .official.: unknown option 'pixels'; there are how, images, seed, size"),
        ({"images": 0}, "images is 0; it must be a whole number from 1"),
        ({"images": "3"}, "images is '3'; it must be a whole number from 1"),
        ({"images": True}, "images is True"),
        ({"seed": -1}, "seed is -1; it must be a whole number from 0"),
        ({"size": 4}, "size is 4; it must be a whole number from 5 to 8"),
        ({"size": 9}, "size is 9; it must be a whole number from 5 to 8"),
        ({"how": "c"}, "how is 'c'; it must be one of a, b"),
        ({"how": ["a"]}, "how is "),
    ],
)
def test_wrong_options_are_one_line(options, message):
    with pytest.raises(InputError, match=message) as caught:
        DatasetSpec("mnist", "official", options).read(how=("a", "b"), images=3, seed=0, size=Whole(6, least=5, most=8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1]", "{", '{"name": "mnist"}', '{"name": 1, "source": "a"}'])
def test_a_specification_is_an_object_with_name_and_source(text):
    with pytest.raises(InputError, match="--spec"):
        DatasetSpec.from_json(text)


def test_the_split_is_that_of_the_paper():
    """85 % of 70,000 are 59,500; a tenth of them validate: 53,550, 5,950 and 10,500, no image twice."""
    parts = random_split(70_000, 0)
    assert {name: len(index) for name, index in parts.items()} == {"train": 53_550, "val": 5_950, "test": 10_500}
    assert sorted(np.concatenate(list(parts.values()))) == list(range(70_000))
    again, other = random_split(70_000, 0), random_split(70_000, 1)
    assert all((again[name] == parts[name]).all() for name in parts)
    assert (other["test"] != parts["test"]).any()
    # both official parts, 60,000 and 10,000, are in every part in proportion
    assert np.mean(parts["test"] >= 60_000) == pytest.approx(1 / 7, abs=0.02)


def test_no_part_of_a_split_is_empty():
    for count in range(LEAST_IMAGES, 200):
        assert min(map(len, random_split(count, 0).values())) > 0


def test_a_bounded_option_may_be_at_its_bounds():
    for size in (5, 8):
        read = DatasetSpec("mnist", "official", {"size": size}).read(size=Whole(6, least=5, most=8))
        assert read.size == size
    assert DatasetSpec("mnist", "official").read(size=Whole(6, least=5, most=8)).size == 6


def test_one_hot():
    assert one_hot(np.array([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]


def small(**changes):
    values = {
        "splits": {"train": {"x1": np.arange(6, dtype=np.uint8).reshape(3, 2), "labels": np.array([1, 1, 4])}},
        "stand_in": True,
        "description": "numbers",
        "constants": {"mean": np.array([0.5])},
        "notes": {"classes": ["a", "b"]},
    }
    return Prepared(**(values | changes))


@pytest.fixture
def make(tmp_path, monkeypatch):
    def of(data):
        monkeypatch.setattr(mnist, "load", lambda spec, root: data)
        prepare.prepare(DatasetSpec("mnist", "official"), tmp_path, tmp_path / "out")
        return tmp_path / "out"

    return of


def test_arrays_and_what_they_are_made_of(make):
    out = make(small())
    assert {path.name for path in out.iterdir()} == {"data.json", "labels_train.npy", "mean.npy", "x1_train.npy"}
    assert np.load(out / "x1_train.npy").tolist() == [[0, 1], [2, 3], [4, 5]]
    about = json.loads((out / "data.json").read_text())
    assert about["splits"] == {"train": {"samples": 3, "classes": 2}}
    assert (about["classes"], about["stand_in"], about["description"]) == (["a", "b"], True, "numbers")


def test_what_another_preparation_left_is_gone(make):
    make(small())
    out = make(small(splits={"train": {"x9": np.zeros(2)}}, constants={}))
    assert {path.name for path in out.iterdir()} == {"data.json", "x9_train.npy"}


def test_the_checksum_is_of_names_and_contents(make):
    def checksum(data):
        return json.loads((make(data) / "data.json").read_text())["sha256"]

    first = checksum(small())
    assert checksum(small()) == first
    assert checksum(small(constants={"mean": np.array([0.25])})) != first
    assert checksum(small(constants={"average": np.array([0.5])})) != first


class Blocks:
    """Rows 0, 1, ... in blocks, which notes how many blocks were alive at once."""

    def __init__(self, sizes):
        self.sizes, self.made = sizes, []

    def __call__(self):
        first = 0
        for size in self.sizes:
            self.made.append(first)
            yield np.arange(first, first + size, dtype=np.int64)[:, None] * np.ones((1, 4), np.int64)
            first += size


def test_large_arrays_are_written_block_by_block(make):
    blocks = Blocks([4, 4, 1])
    rows = Rows(9, (4,), np.int64, blocks)
    assert len(rows) == 9
    assert blocks.made == []  # nothing is made before it is written
    out = make(small(splits={"train": {"x1": rows}}))
    assert load_array(out / "x1_train.npy")[:, 2].tolist() == list(range(9))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint8).reshape(3, 2),
        np.arange(6.0).reshape(3, 2).T,  # in Fortran's order
        np.array([["a", "flower"], ["ä", ""]]),
        np.array([70, 3]),
        np.zeros((0, 4), np.float32),
    ],
)
def test_arrays_are_written_as_numpy_saves_them(make, tmp_path, array):
    np.save(tmp_path / "expected.npy", np.ascontiguousarray(array))
    expected = (tmp_path / "expected.npy").read_bytes()
    assert (make(small(constants={"whole": array})) / "whole.npy").read_bytes() == expected
    rows = Rows(len(array), array.shape[1:], array.dtype, lambda: iter([array[:1], array[1:]]))
    out = make(small(splits={"train": {"x1": rows}}))
    assert (out / "x1_train.npy").read_bytes() == expected


@pytest.mark.parametrize("sizes", [[4, 4], [4, 4, 2]])
def test_a_wrong_number_of_rows_is_a_defect(make, tmp_path, sizes):
    with pytest.raises(ValueError, match=r"x1_train\.npy: .* values were made, 36 promised"):
        make(small(splits={"train": {"x1": Rows(9, (4,), np.int64, Blocks(sizes))}}))
    assert not list((tmp_path / "out").iterdir())


def test_arrays_of_objects_are_a_defect(make, tmp_path):
    with pytest.raises(TypeError, match=r"mean\.npy"):
        make(small(constants={"mean": np.array([{}, None])}))
    assert not list((tmp_path / "out").iterdir())


def broken():
    """A block, and then a photograph that cannot be read."""
    yield np.zeros((4, 4), np.int64)
    raise InputError("000005.jpg: cannot be read as an image; fetch it again")


def test_nothing_remains_of_a_preparation_that_fails(make, tmp_path):
    """Neither the array that was being written, nor those that were finished before, nor an earlier preparation's."""
    make(small())
    with pytest.raises(InputError, match=r"000005\.jpg"):
        make(small(splits={"train": {"a1": np.zeros(3), "x1": Rows(9, (4,), np.int64, broken)}}))
    assert not list((tmp_path / "out").iterdir())


def test_nothing_remains_if_only_the_description_cannot_be_written(make, tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        make(small(notes={"mean": float("nan")}))
    assert not list((tmp_path / "out").iterdir())


FILL = """
import sys
from pathlib import Path

import numpy as np

from shared.stages import prepare
from shared.data import mnist
from shared.data.prepared import DatasetSpec, Prepared, Rows
from shared.errors import run_cli

BLOCK = np.ones((4, 5000), np.uint8)
ARRAY = {
    "whole": np.ones((40, 5000), np.uint8),
    "blocks": Rows(40, (5000,), np.uint8, lambda: iter([BLOCK] * 10)),
}[sys.argv[1]]
SPLITS = {"test": {"a1": np.ones(1000, np.uint8)}, "train": {"x1": ARRAY}}
mnist.load = lambda spec, root: Prepared(SPLITS, stand_in=True, description="ones")
run_cli(lambda: prepare.prepare(DatasetSpec("mnist", "official"), Path(), Path("out")))
"""


@pytest.mark.skipif(not mounts(), reason="no mounts in a name space of our own")
@pytest.mark.parametrize("what", ["whole", "blocks"])
def test_a_full_disk_is_one_line_and_nothing_remains(tmp_path, what):
    (tmp_path / "out").mkdir()
    (tmp_path / "fill.py").write_text(FILL)
    script = (
        f"mount -t tmpfs -o size=64k none out && {sys.executable} fill.py {what}; status=$?; ls -A out; exit $status"
    )
    result = run(tmp_path, "unshare", "-rm", "sh", "-c", script, PYTHONPATH=f"{ROOT}")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: out/x1_train.npy: the disk is full; free some space and run the same command again\n"
    )


def test_every_source_is_a_module_that_loads():
    for (name, source), module in sources.LOADERS.items():
        assert module in closure([module]), (name, source)
        loader = __import__(module, fromlist=["load"]).load
        with pytest.raises(InputError, match="unknown option 'no_such_option'"):
            loader(DatasetSpec(name, source, {"no_such_option": 1}), "nowhere")
