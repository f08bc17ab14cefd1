"""Prepared data are what was written, or are refused."""

import hashlib

import numpy as np
import pytest

from shared import files
from shared.data.manifest import describe_data, joint_sha256
from shared.errors import InputError
from shared.files import read_json, sha256_of, write_json
from tests.damage import damaged
from tests.repository import describe


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x1_test.npy", rng.integers(0, 256, (6, 3, 4, 4), dtype=np.uint8))
    np.save(tmp_path / "x1_test_index.npy", np.arange(6)[::-1])
    np.save(tmp_path / "labels_test.npy", np.arange(6) % 2)
    describe(tmp_path)
    return tmp_path


def refused(folder):
    with pytest.raises(InputError) as caught:
        describe_data(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_written_is_described(folder):
    about = describe_data(folder)
    assert about["description"] == "numbers"
    assert set(about["arrays"]) == {"x1_test", "x1_test_index", "labels_test"}


def test_the_checksum_of_the_data_is_that_of_the_list_of_its_files():
    """As sha256sum prints it. Trained runs know their data by it."""
    arrays = {"mean": 64 * "0", "x1_train": 64 * "f"}
    listed = f"{64 * '0'}  mean.npy\n{64 * 'f'}  x1_train.npy\n".encode()
    assert joint_sha256(arrays) == hashlib.sha256(listed).hexdigest()
    assert joint_sha256(arrays, before="ab") == hashlib.sha256(b"ab" + listed).hexdigest()


@pytest.mark.torture
@pytest.mark.parametrize("name", ["x1_test", "x1_test_index", "labels_test"])
def test_an_array_that_changed_in_any_way_is_one_line(folder, name):
    path = folder / f"{name}.npy"
    whole = path.read_bytes()
    for what, content in damaged(whole, 100):
        path.write_bytes(content)
        files.require_sha256.cache_clear()
        line = refused(folder)
        assert line.startswith(f"{path}: damaged or exchanged (sha256 "), what
        assert line.endswith("delete its folder and run the workflow again"), what
    path.write_bytes(whole)
    files.require_sha256.cache_clear()
    assert describe_data(folder)


def test_an_array_that_is_gone_is_one_line(folder):
    """Without the rows that pair them, images would be paired wrongly in silence."""
    (folder / "x1_test_index.npy").unlink()
    assert refused(folder).startswith(f"{folder / 'x1_test_index.npy'}: no such file; delete its folder")


def test_two_arrays_that_changed_places_are_refused(folder):
    for name in ("x1_test_index", "labels_test"):
        (folder / f"{name}.npy").rename(folder / f"{name}.tmp")
    (folder / "x1_test_index.tmp").rename(folder / "labels_test.npy")
    (folder / "labels_test.tmp").rename(folder / "x1_test_index.npy")
    assert "damaged or exchanged" in refused(folder)


def test_data_that_an_older_version_prepared_are_one_line(folder):
    about = read_json(folder / "data.json")
    del about["arrays"]
    write_json(folder / "data.json", about)
    assert refused(folder) == f"{folder}/data.json: without `arrays`; delete it and run the workflow again"


def test_a_file_is_read_once_in_a_process(folder, monkeypatch):
    read = []

    def count(path):
        read.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(files, "sha256_of", count)
    for _ in range(3):
        describe_data(folder)
    assert sorted(read) == ["labels_test.npy", "x1_test.npy", "x1_test_index.npy"]
