"""What all data sets share: options, splits, and arrays written whole, block by block, or not at all."""

import json
import re
import sys
from typing import Literal

import numpy as np
import pytest
from pydantic import PositiveInt

from shared.data import ledger, mnist, sources
from shared.data.arrays import load_array
from shared.data.prepared import (
    DatasetOptions,
    DatasetSpec,
    ImageSize,
    Prepared,
    Rows,
    one_hot,
    pair_by_class,
    random_split,
)
from shared.errors import InputError
from shared.run import fingerprint
from shared.stages import prepare
from tests.repository import ROOT, run
from tests.shared.test_errors import mounts


class Options(DatasetOptions):
    how: Literal["a", "b"] = "a"
    images: PositiveInt = 3
    size: ImageSize = 28


def test_options_have_defaults_types_and_choices():
    options = DatasetSpec("mnist", "official", {"images": 7, "how": "b", "size": 256}).read(Options)
    assert (options.images, options.how, options.size) == (7, "b", 256)
    assert DatasetSpec("mnist", "official").read(Options) == Options(how="a", images=3, size=28)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixels": 3}, "pixels: is unknown; there are how, images, size"),
        ({"images": 0}, "images: 0 should be greater than 0"),
        ({"images": "3"}, "images: '3' should be a valid integer"),
        ({"images": True}, "images: True should be a valid integer"),
        ({"size": 257}, "size: 257 should be less than or equal to 256"),
        ({"how": "c"}, "how: 'c' should be 'a' or 'b'"),
        ({"how": ["a"]}, "how: "),
    ],
)
def test_wrong_options_are_one_line(options, message):
    with pytest.raises(InputError, match=rf"\Adata set mnist \(official\): {re.escape(message)}[^\n]*\Z"):
        DatasetSpec("mnist", "official", options).read(Options)


@pytest.mark.parametrize("text", ["[1]", "{", "3", '{"name": "mnist"}'])
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
    for count in range(10, 200):
        assert min(map(len, random_split(count, 0).values())) > 0


def of_class(rows, labels, c):
    return rows[labels[rows] == c]


def test_pairs_have_equal_classes_and_every_class_as_many_as_its_smaller_side():
    first, second = np.array([0, 1, 1, 2, 1, 0, 1]), np.array([1, 0, 0, 0, 1, 4])
    rows = pair_by_class(first, second, multiplicity=3, seed=0)
    assert [len(each) for each in rows] == [3 * (2 + 2 + 0)] * 2
    assert (first[rows[0]] == second[rows[1]]).all()
    # the smaller side of a class has all of its images in every round
    assert np.bincount(of_class(rows[0], first, 0), minlength=6)[[0, 5]].tolist() == [3, 3]
    assert np.bincount(of_class(rows[1], second, 1), minlength=5)[[0, 4]].tolist() == [3, 3]


def test_pairs_are_drawn_anew_in_every_round_and_again_from_the_same_seed():
    labels = np.repeat([3, 8], 50)
    rows = pair_by_class(labels, labels, multiplicity=20, seed=1)
    again, other = (pair_by_class(labels, labels, multiplicity=20, seed=seed) for seed in (1, 2))
    assert all((a == b).all() for a, b in zip(rows, again, strict=True))
    assert (rows[0] != other[0]).any()
    partners = [set(rows[1][rows[0] == row]) for row in range(100)]
    assert all(len(of_row) > 10 for of_row in partners)  # of 20 draws from 50, 16.6 differ on average


def test_of_the_larger_side_all_may_be_chosen():
    few, many = np.zeros(5, int), np.zeros(100, int)
    assert len(set(pair_by_class(few, many, multiplicity=200, seed=0)[1])) == 100


def test_three_data_sets_give_triples():
    labels = [np.array([0, 1, 1]), np.array([1, 0]), np.array([0, 0, 1])]
    rows = pair_by_class(*labels, multiplicity=2, seed=0)
    assert [len(each) for each in rows] == [4, 4, 4]
    assert (labels[0][rows[0]] == labels[1][rows[1]]).all()
    assert (labels[0][rows[0]] == labels[2][rows[2]]).all()


def test_one_hot():
    assert one_hot(np.array([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]


def small(**changes):
    values = {
        "splits": {"train": {"x1": np.arange(6, dtype=np.uint8).reshape(3, 2), "labels": np.array([1, 1, 3])}},
        "classes": ["a", "b", "c", "d"],
        "stand_in": True,
        "description": "numbers",
        "constants": {"mean": np.array([0.5])},
        "notes": {"colour": "grey"},
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
    assert about["splits"] == {"train": {"samples": 3, "classes": [1, 3]}}
    assert about["classes"] == ["a", "b", "c", "d"]
    assert (about["stand_in"], about["official"]) == (True, False)
    assert (about["description"], about["colour"]) == ("numbers", "grey")


def test_pairs_are_written_as_rows_and_their_images_once(make):
    images, rows = np.arange(12, dtype=np.uint8).reshape(4, 3), np.arange(40) % 4
    data = {"x1": images, "x2": np.zeros((40, 2), np.float32), "labels": rows % 2}
    out = make(small(splits={"train": data}, index={"train": {"x1": rows}}))
    assert np.load(out / "x1_train.npy").tolist() == images.tolist()
    assert np.load(out / "x1_train_index.npy").tolist() == rows.tolist()
    assert json.loads((out / "data.json").read_text())["splits"]["train"] == {"samples": 40, "classes": [0, 1]}


@pytest.mark.parametrize(
    ("arrays", "index", "message"),
    [
        ({"x1": np.zeros(3), "x2": np.zeros(4)}, {}, "different lengths, {'x1': 3, 'x2': 4}"),
        ({"x1": np.zeros(3), "x2": np.zeros(4)}, {"x1": np.zeros(3, int)}, "different lengths"),
        ({"x1": np.zeros(3)}, {"x1": np.array([0, 3])}, "x1 from 0 to 3, where 2 is the last"),
        ({"x1": np.zeros(2), "labels": np.array([4, 1])}, {}, "labels from 1 to 4, where 3 is the last"),
        ({"x1": np.zeros(2), "labels": np.array([-1, 1])}, {}, "labels from -1 to 1"),
    ],
)
def test_samples_that_do_not_fit_together_are_a_defect(make, tmp_path, arrays, index, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(small(splits={"train": arrays}, index={"train": index}))
    assert not (tmp_path / "out").exists()


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
        make(small(splits={"train": {"a1": np.zeros(9), "x1": Rows(9, (4,), np.int64, broken)}}))
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
    for (name, kind), source in sources.LOADERS.items():
        assert fingerprint.of_data({"name": name, "source": kind})
        assert set(source.groups) <= set(ledger.groups())
        loader = __import__(source.module, fromlist=["load"]).load
        with pytest.raises(InputError, match="no_such_option: is unknown"):
            loader(DatasetSpec(name, kind, {"no_such_option": 1}), "nowhere")


def test_an_unknown_data_set_is_one_line():
    with pytest.raises(InputError, match=r"\Adata set `mnist` with source `drawn` is unknown; there are [^\n]*\Z"):
        sources.source_of("mnist", "drawn")
