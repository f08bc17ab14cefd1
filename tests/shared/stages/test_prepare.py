"""What preparation leaves behind, of itself and of one that was killed."""

import hashlib

import numpy as np
import pytest

from shared.data import mnist
from shared.data.prepared import DatasetSpec, Prepared
from shared.errors import InputError
from shared.files import read_json, sha256_of
from shared.stages.prepare import prepare
from tests.shared.run.test_lock import holder


@pytest.fixture
def make(tmp_path, monkeypatch):
    arrays = {"x1": np.arange(6, dtype=np.uint8).reshape(3, 2)}
    data = Prepared({"train": arrays, "test": arrays}, True, "numbers")
    monkeypatch.setattr(mnist, "load", lambda spec, root: data)

    def make():
        prepare(DatasetSpec("mnist", "official"), tmp_path, tmp_path / "out")
        return tmp_path / "out"

    return make


def test_every_array_is_listed_with_its_checksum(make):
    about = read_json(make() / "data.json")
    listed = {path.stem: sha256_of(path) for path in make().glob("*.npy")}
    assert set(listed) == {"x1_train", "x1_test"}
    assert about["arrays"] == listed
    text = "".join(f"{listed[name]}  {name}.npy\n" for name in ("x1_test", "x1_train"))
    assert about["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def test_what_a_kill_left_goes(make):
    out = make()
    for name in (".x1_train-ab12cd_3.npy", ".data-ab12cd_3.json", "x9_train.npy"):
        (out / name).touch()
    make()
    assert {path.name for path in out.iterdir()} == {"data.json", "x1_train.npy", "x1_test.npy"}


@pytest.mark.torture
def test_an_orphan_of_a_killed_workflow_is_not_disturbed(make, tmp_path):
    """Either would remove what the other writes."""
    out = make()
    written = out / ".x1_train-ab12cd_3.npy"
    written.touch()
    with holder(tmp_path / ".out.lock"):
        with pytest.raises(InputError, match=r"\A[^\n]*/\.out\.lock: another process is at work here; wait [^\n]*\Z"):
            make()
        assert written.exists()
        assert (out / "data.json").exists()
    make()
    assert not written.exists()
