"""Training and evaluation of a tiny run whose files rot, are exchanged, or are another process's in between."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from shared import files
from shared.errors import InputError
from shared.files import read_json, sha256_of, write_json
from shared.metrics import protocol
from shared.run import devices
from shared.run.spec import data_key, resolve
from tests.damage import damaged
from tests.repository import describe, tiny_repository
from tests.shared.report.example import paper_in
from tests.shared.run.test_lock import holder

RUN = Path("runs/small/seed0")


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Call it with a stage, its run and its options: it is what the command line does, in this process."""
    root = tiny_repository(tmp_path)
    np.save(root / "data/x1_test.npy", np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32))
    describe(root / "data")
    monkeypatch.chdir(root)
    monkeypatch.setattr(devices, "prepare_torch", lambda threads: None)  # which is for the whole process

    def stage(name, run, *options):
        for known in (files.require_sha256, protocol._loaded):  # in a process
            known.cache_clear()
        module = importlib.import_module(f"shared.stages.{name}")
        monkeypatch.setattr(module, "limit_threads", lambda threads: 1)
        common = ("--run", run, "--scale", "demo", "--data", "data", "--device", "cpu")
        monkeypatch.setattr(sys, "argv", [name, *common, *map(str, options)])
        module.main()

    with paper_in(root / "papers", "tiny"):
        yield stage


@pytest.fixture
def train(stage):
    def train(out=RUN, seed=0, run="tiny/line/small"):
        stage("train", run, "--out", out, "--seed", seed, "--progress", "lines")

    return train


@pytest.fixture
def evaluate(stage):
    return lambda: stage("evaluate", "tiny/line/small", "--folder", RUN, "--evaluators", "runs/evaluators")


@pytest.fixture
def judge():
    key = data_key(resolve("tiny", "line", "small", "demo", 0)["data"])
    return f"evaluators/{key}/judge", Path("runs/evaluators", key, "judge/seed0")


@pytest.fixture
def trained(train, judge):
    train()
    train(judge[1], run=judge[0])


def outputs():
    """All but what takes time into account."""
    return {name: sha256_of(RUN / name) for name in ("weights.pt", "samples.npz", "points.npz")}


def refused(command):
    with pytest.raises(InputError) as caught:
        command()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_evaluation_is_the_same_bytes_twice_and_leaves_nothing_else(trained, evaluate):
    for name in (".metrics-ab12cd_3.json", ".samples-ab12cd_3.npz", ".points-ab12cd_3.npz"):
        (RUN / name).touch()  # of one that was killed
    evaluate()
    first, metrics = outputs(), read_json(RUN / "metrics.json")
    evaluate()
    assert outputs() == first
    assert read_json(RUN / "metrics.json")["metrics"] == metrics["metrics"]
    assert {path.name for path in RUN.iterdir()} == {*first, "metrics.json", "train.json", ".lock"}


@pytest.mark.torture
@pytest.mark.parametrize("what", ["data/x1_test.npy", "data/x1_train.npy", "data/labels_train.npy", RUN / "weights.pt"])
def test_what_rotted_is_not_evaluated(trained, evaluate, what):
    evaluate()
    before, path = outputs(), Path(what)
    for how, content in damaged(path.read_bytes(), 8):
        whole = path.read_bytes()
        path.write_bytes(content)
        line = refused(evaluate)
        assert line.startswith(f"{path}: damaged or exchanged (sha256 "), how
        path.write_bytes(whole)
    assert outputs() == before


@pytest.mark.torture
def test_a_metrics_network_that_rotted_judges_nothing(trained, evaluate, judge):
    path = judge[1] / "weights.pt"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert refused(evaluate).startswith(f"{path}: damaged or exchanged")


@pytest.mark.torture
def test_data_that_rotted_train_nothing(train):
    path = Path("data/x1_test.npy")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert refused(train).startswith(f"{path}: damaged or exchanged")
    assert not RUN.exists()


@pytest.mark.torture
def test_the_weights_of_another_run_are_not_its_own(trained, train, evaluate):
    train(Path("runs/small/seed1"), seed=1)
    Path("runs/small/seed1/weights.pt").replace(RUN / "weights.pt")
    assert "weights.pt: damaged or exchanged" in refused(evaluate)


@pytest.mark.torture
def test_the_advice_about_rotten_weights_helps(trained, train, evaluate, capsys):
    """They are trained again, to the same bytes; and rotten ones get no record that calls them good."""
    evaluate()
    before, path = outputs(), RUN / "weights.pt"
    path.write_bytes(path.read_bytes().replace(b"history", b"mystery"))
    assert "delete train.json beside it and run the workflow" in refused(evaluate)
    (RUN / "train.json").unlink()
    capsys.readouterr()
    train()
    assert "starting: weights.pt can't be used (archive/data.pkl is damaged)" in capsys.readouterr().err
    evaluate()
    assert outputs() == before


def test_a_record_of_an_older_version_is_one_line_and_made_again_without_training(trained, train, evaluate, capsys):
    weights, record = sha256_of(RUN / "weights.pt"), read_json(RUN / "train.json")
    assert record.pop("weights_sha256") == weights
    write_json(RUN / "train.json", record)
    line = f"{RUN}/train.json: without `weights_sha256`; delete it and run the workflow again"
    assert refused(evaluate) == line
    (RUN / "train.json").unlink()
    train()
    assert "nothing to train" in capsys.readouterr().err
    evaluate()
    assert sha256_of(RUN / "weights.pt") == weights


def test_a_run_is_not_evaluated_while_it_is_trained(trained, evaluate):
    with holder(RUN.absolute() / ".lock"):
        assert "another process is at work here" in refused(evaluate)
    assert not (RUN / "metrics.json").exists()


def test_a_folder_without_a_run_is_one_line(evaluate):
    assert refused(evaluate) == f"{RUN}/train.json: no such file; run the workflow stage that makes it"
