"""Training: deterministic, and killed is not lost. `tests/tiny.py` is the model, command lines run for real."""

import errno
import getpass
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from shared.data.arrays import Split, load_split
from shared.errors import InputError
from shared.files import read_json
from shared.run import spec as specification
from shared.run import storage, training
from shared.run.spec import sha256
from tests import tiny
from tests.damage import damaged
from tests.repository import environment, run, tiny_repository, write_points

CPU = torch.device("cpu")
OPTIONS = "--run tiny/line/small --scale demo --seed 3 --data data --device cpu --progress lines"
# The command line itself, but for a checkpoint after every step: no test can wait for a minute.
EAGER = """
from shared.run import storage
from shared.stages import train
storage.CHECKPOINT_SECONDS = 0
train.run_cli(train.main)
"""
PATIENCE = 300  # seconds; a busy machine takes minutes to import torch
STEPS = 6 * 3  # 20 points in batches of 8


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return tiny_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def spec():
    """A run of the tiny model, as `resolve` would give it for tests/tiny.py."""
    return {
        "paper": "tiny",
        "experiment": "line",
        "model": "small",
        "scale": "demo",
        "seed": 3,
        "data": {"name": "points"},
        "modalities": {"x": "x1"},
        "builder": "tests.tiny:model",
        "arguments": {"hidden": 4},
        "training": {
            "learning_rate": 0.01,
            "batch_size": 8,
            "epochs": 3,
            "samples": 2,
            "optimiser": "adam",
            "precision": "float32",
            "threads": 1,
        },
        "evaluation": {},
    }


@pytest.fixture
def points(tmp_path):
    write_points(tmp_path / "points")
    return load_split(tmp_path / "points", "train", {"x": "x1"}, CPU)


def begin(spec, points, data_sha256="d"):
    return training.Training(spec, points, data_sha256, CPU)


def finish(run, folder):
    with run.progress("lines") as progress:
        run.run(folder, progress)
    return run.model.state_dict()


def interrupt_after(run, steps, monkeypatch):
    """A signal asks a run to stop while it takes a step."""
    done, step = [], run.step

    def interrupting(batch):
        done.append(step(batch))
        if len(done) == steps:
            signal.raise_signal(signal.SIGTERM)
        return done[-1]

    monkeypatch.setattr(run, "step", interrupting)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def train(repository, out, *options, **variables):
    return run(
        repository, sys.executable, "-m", "shared.stages.train", *OPTIONS.split(), "--out", out, *options, **variables
    )


# The loop


def test_the_same_specification_gives_the_same_weights(spec, points, tmp_path):
    first, second = (finish(begin(spec, points), tmp_path / name) for name in ("a", "b"))
    assert same(first, second)
    other_seed = finish(begin(spec | {"seed": 4}, points), tmp_path / "c")
    assert not same(first, other_seed)


def test_the_order_of_data_is_a_permutation_that_differs_by_epoch_and_seed(spec, points):
    run = begin(spec, points)
    orders = [run.order(epoch) for epoch in range(5)]
    for order in orders:
        assert torch.equal(order.sort().values, torch.arange(20))
    assert len({tuple(order.tolist()) for order in orders}) == 5
    assert torch.equal(run.order(2), orders[2])
    assert not torch.equal(begin(spec | {"seed": 4}, points).order(0), orders[0])
    assert torch.equal(begin(spec | {"model": "large", "arguments": {"hidden": 6}}, points).order(0), orders[0])


def test_every_sample_is_seen_once_per_epoch_and_the_history_is_their_mean(spec, points, tmp_path, monkeypatch):
    run = begin(spec, points)
    seen, step = [], run.step

    def watch(batch):
        loss = step(batch)
        seen.append((batch["x"], loss.total.item(), loss.terms["error"].item()))
        return loss

    monkeypatch.setattr(run, "step", watch)
    finish(run, tmp_path)
    assert len(seen) == 3 * run.steps_per_epoch == 9
    for epoch in range(3):
        part = seen[3 * epoch : 3 * epoch + 3]
        assert [len(x) for x, _, _ in part] == [8, 8, 4]
        together = torch.cat([x for x, _, _ in part])
        assert torch.equal(together.sort(dim=0).values, points.tensors["x"].sort(dim=0).values)
        row = run.position.history[epoch]
        assert row["epoch"] == epoch + 1
        assert row["loss"] == pytest.approx(sum(len(x) * loss for x, loss, _ in part) / 20)
        assert row["error"] == pytest.approx(sum(len(x) * error for x, _, error in part) / 20)


def test_a_step_is_that_of_adam(spec, points):
    """Adam's first step moves every weight by the learning rate against the sign of its gradient."""
    run = begin(spec, points)
    before = run.model.decode.weight.detach().clone()
    run.step(points.batch(slice(0, 8)))
    moved = run.model.decode.weight.detach() - before
    assert torch.allclose(moved, -0.01 * run.model.decode.weight.grad.sign(), atol=1e-6)


def stepped(spec, points, **settings):
    """The decoder's weights before and after two steps on the same batch, and the gradients of both."""
    run = begin(spec | {"training": spec["training"] | settings}, points)
    weight = run.model.decode.weight
    before, gradients = weight.detach().clone(), []
    for _ in range(2):
        run.step(points.batch(slice(0, 8)))
        gradients.append(weight.grad.clone())
    return before, weight.detach().clone(), gradients


def test_an_optimiser_is_used_with_its_options(spec, points):
    options = {"momentum": 0.9, "weight_decay": 0.1}
    before, after, (first, second) = stepped(spec, points, optimiser="sgd", optimiser_options=options)
    velocity = first + 0.1 * before
    middle = before - 0.01 * velocity
    velocity = 0.9 * velocity + second + 0.1 * middle
    assert torch.allclose(after, middle - 0.01 * velocity, atol=1e-7)


def test_adamax_takes_the_largest_gradient(spec, points):
    before, after, (first, second) = stepped(spec, points, optimiser="adamax")
    assert (first.abs() > 1e-5).all()
    momentum = (0.9 * 0.1 * first + 0.1 * second) / (1 - 0.9**2)
    expected = before - 0.01 * first.sign() - 0.01 * momentum / torch.maximum(0.999 * first.abs(), second.abs())
    assert torch.allclose(after, expected, atol=1e-5)


@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_amsgrad_needs_no_slower_kernel(spec, points, optimiser):
    run = begin(
        spec | {"training": spec["training"] | {"optimiser": optimiser, "optimiser_options": {"amsgrad": True}}}, points
    )
    for first in (0, 8):
        run.step(points.batch(slice(first, first + 8)))
    weight, (group,) = run.model.decode.weight, run.optimiser.param_groups
    assert group["fused"]
    assert (run.optimiser.state[weight]["max_exp_avg_sq"] > 0).all()


@pytest.mark.parametrize(
    ("optimiser", "options", "words"),
    [
        ("adam", {"amsgard": True}, r"training\.optimiser_options\.amsgard: adam has no such option[^\n]*amsgrad"),
        ("adam", {"lr": 0.1}, r"training\.optimiser_options\.lr: adam has no such option"),
        ("adam", {"amsgrad": "yes"}, r"training\.optimiser_options\.amsgrad: 'yes' is not possible"),
        ("adam", {"eps": "1e-8"}, r"training\.optimiser_options\.eps: '1e-8' is not possible"),
        ("adam", {"eps": True}, r"training\.optimiser_options\.eps: True is not possible"),
        ("adam", {"betas": [0.9]}, r"training\.optimiser_options\.betas: \[0\.9\] is not possible"),
        ("adam", {"betas": [0.9, 1.5]}, r"optimiser_options \{'betas': \[0\.9, 1\.5\]\}: Invalid beta"),
        ("sgd", {"nesterov": True}, r"optimiser_options \{'nesterov': True\}: Nesterov momentum requires"),
    ],
)
def test_an_optimiser_or_option_that_is_not_there_is_one_line(spec, points, optimiser, options, words):
    spec["training"] |= {"optimiser": optimiser, "optimiser_options": options}
    with pytest.raises(InputError, match=rf"\A[^\n]*small[^\n]*{words}[^\n]*\Z"):
        begin(spec, points)


@pytest.mark.parametrize("size", [1, 19])
def test_a_batch_of_one_that_batch_norm_cannot_take_is_one_line(spec, points, size):
    assert len(points) == 20
    spec["training"]["batch_size"] = size
    with pytest.raises(InputError, match=rf"\A[^\n]*batch_size {size} leaves one of 20 samples[^\n]*\Z"):
        begin(spec, points)


def test_a_single_sample_that_batch_norm_cannot_take_is_one_line(spec, points):
    with pytest.raises(InputError, match="leaves one of 1 samples"):
        begin(spec, Split(points.batch(slice(1))))


def test_batch_norm_of_images_takes_one_of_them(spec, points, monkeypatch):
    def images(hidden):
        return nn.Sequential(nn.BatchNorm2d(hidden))

    monkeypatch.setattr(tiny, "model", images)
    spec["training"]["batch_size"] = 19
    begin(spec, points)


def test_initialisation_leaves_global_random_numbers_alone(spec, points):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    begin(spec, points)
    assert torch.equal(torch.rand(1), expected)


# Randomness that a model draws from torch's global state


class Dropping(tiny.Tiny):
    def __init__(self, hidden):
        super().__init__(hidden)
        self.encode = nn.Sequential(self.encode, nn.Dropout(0.5))


@pytest.fixture
def dropping(spec, monkeypatch):
    monkeypatch.setattr(tiny, "model", Dropping)
    return spec


def test_dropout_is_as_deterministic_as_all_else(dropping, points, tmp_path):
    torch.manual_seed(1)
    first = finish(begin(dropping, points), tmp_path / "a")
    torch.manual_seed(2)
    assert same(finish(begin(dropping, points), tmp_path / "b"), first)
    assert not same(finish(begin(dropping | {"seed": 4}, points), tmp_path / "c"), first)


def test_dropout_goes_on_where_a_run_was_interrupted(dropping, points, tmp_path, monkeypatch):
    whole = finish(begin(dropping, points), tmp_path / "whole")
    run = begin(dropping, points)
    interrupt_after(run, 4, monkeypatch)
    with pytest.raises(storage.Interrupted):
        finish(run, tmp_path / "again")
    torch.manual_seed(3)
    again = begin(dropping, points)
    assert again.restore(tmp_path / "again").startswith("resuming")
    assert same(finish(again, tmp_path / "again"), whole)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_dropout_on_a_gpu_goes_on_too(dropping, points, tmp_path, monkeypatch):
    device = torch.device("cuda")
    points = Split({name: tensor.to(device) for name, tensor in points.tensors.items()})
    weights = []
    for stop in (None, 4):
        torch.manual_seed(stop or 1)
        run = training.Training(dropping, points, "d", device)
        if stop:
            interrupt_after(run, stop, monkeypatch)
            with pytest.raises(storage.Interrupted):
                finish(run, tmp_path / "again")
            torch.manual_seed(3)
            run = training.Training(dropping, points, "d", device)
            assert run.restore(tmp_path / "again").startswith("resuming")
        weights.append(finish(run, tmp_path / ("again" if stop else "whole")))
    assert same(*weights)


# Checkpoints


@pytest.fixture
def checkpoint(spec, points, tmp_path):
    """The checkpoint of a run that was stopped in the middle of its second epoch."""
    run = begin(spec, points)
    run.step(points.batch(slice(8)))
    run.position.epoch, run.position.step = 1, 2
    storage.save(tmp_path / "checkpoint.pt", run.state())
    return tmp_path / "checkpoint.pt"


def test_a_checkpoint_of_this_very_run_is_continued(spec, points, checkpoint):
    run = begin(spec, points)
    assert run.restore(checkpoint.parent) == "resuming at epoch 2, step 3"
    assert (run.position.epoch, run.position.step) == (1, 2)
    assert begin(spec, points).restore(checkpoint.parent / "none") == "starting"


def test_a_run_interrupted_after_any_step_ends_with_the_same_weights(spec, points, tmp_path, monkeypatch):
    """Also after the last step of an epoch, before the epoch was closed."""
    whole = begin(spec, points)
    expected = finish(whole, tmp_path / "whole")
    for stop in range(1, 2 * whole.steps_per_epoch + 2):
        path, run = tmp_path / f"stop{stop}", begin(spec, points)
        interrupt_after(run, stop, monkeypatch)
        with pytest.raises(storage.Interrupted):
            finish(run, path)
        again = begin(spec, points)
        assert again.restore(path).startswith("resuming")
        assert same(finish(again, path), expected)
        assert again.position.history == whole.position.history
        assert (path / "weights.pt").read_bytes() == (tmp_path / "whole" / "weights.pt").read_bytes()


def test_a_checkpoint_of_something_else_is_not_continued(spec, points, checkpoint, monkeypatch):
    faster = spec | {"training": spec["training"] | {"learning_rate": 0.02}}
    cases = {
        "spec": begin(faster, points),
        "data": begin(spec, points, "e"),
        "spec and data": begin(faster, points, "e"),
        "device": begin(spec, points),
    }
    cases["device"].identity["device"] = "cuda"
    monkeypatch.setattr(training.fingerprint, "of_training", lambda spec: "another")
    cases["code"] = begin(spec, points)
    for changed, other in cases.items():
        fresh = {key: value.clone() for key, value in other.model.state_dict().items()}
        assert other.restore(checkpoint.parent) == f"starting: checkpoint.pt has another {changed}"
        assert other.position == training.Position()
        assert same(other.model.state_dict(), fresh)


def test_a_finished_run_is_not_trained_again(spec, points, tmp_path):
    weights = finish(begin(spec, points), tmp_path)
    again = begin(spec, points)
    assert again.restore(tmp_path).startswith("nothing to train")
    assert same(finish(again, tmp_path), weights)
    assert len(again.position.history) == 3


def test_the_weights_take_the_place_of_the_checkpoint(spec, points, tmp_path):
    run = begin(spec, points)
    weights = finish(run, tmp_path)
    content = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert content.keys() == {"identity", "model", "position"}
    assert same(content["model"], weights)
    assert content["position"]["history"] == run.position.history
    assert not (tmp_path / "checkpoint.pt").exists()


def test_killed_between_weights_and_checkpoint_nothing_is_lost(spec, points, checkpoint):
    """Both lie there: the last checkpoint, and the weights of the very same run."""
    before = checkpoint.read_bytes()
    finish(begin(spec, points), checkpoint.parent)
    checkpoint.write_bytes(before)
    again = begin(spec, points)
    assert again.restore(checkpoint.parent).startswith("nothing to train")
    finish(again, checkpoint.parent)
    assert not checkpoint.exists()


def test_weights_of_another_run_do_not_hide_the_checkpoint_of_this_one(spec, points, checkpoint):
    finish(begin(spec | {"seed": 4}, points), checkpoint.parent / "other")
    (checkpoint.parent / "other" / "weights.pt").rename(checkpoint.with_name("weights.pt"))
    assert begin(spec, points).restore(checkpoint.parent) == "resuming at epoch 2, step 3"


def test_another_evaluation_is_no_other_training(spec, points, checkpoint):
    assert begin(spec | {"evaluation": {"neighbours": 5}}, points).restore(checkpoint.parent).startswith("resuming")


def without(name):
    def change(content):
        del content[name]

    return change


def other_shapes(content):
    content["model"]["decode.weight"] = torch.zeros(3, 5)


def other_position(content):
    content["position"] = {"epochs": 1}


def no_random_state(content):
    content["global"] = [torch.zeros(3, dtype=torch.uint8)]


WITHOUT = [without(name) for name in ("identity", "model", "position", "optimiser", "noise", "global")]


@pytest.mark.parametrize("change", [*WITHOUT, other_shapes, other_position, no_random_state])
def test_a_checkpoint_whose_content_does_not_fit_leaves_nothing_behind(spec, points, checkpoint, change):
    content = torch.load(checkpoint, weights_only=True)
    change(content)
    storage.save(checkpoint, content)
    run = begin(spec, points)
    assert re.fullmatch(r"starting: checkpoint\.pt can't be used \([^\n]+\)", run.restore(checkpoint.parent))
    assert run.position == training.Position()
    assert same(finish(run, checkpoint.parent), finish(begin(spec, points), checkpoint.parent / "other"))


def test_a_system_that_fails_does_not_condemn_a_checkpoint(spec, points, checkpoint, monkeypatch):
    def load(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(checkpoint))

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(PermissionError):
        begin(spec, points).restore(checkpoint.parent)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"no torch"])
def test_a_corrupt_checkpoint_is_discarded_and_the_run_starts_again(spec, points, checkpoint, damage):
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    run = begin(spec, points)
    assert re.fullmatch(r"starting: checkpoint\.pt can't be used \([^\n]+\)", run.restore(checkpoint.parent))
    assert same(finish(run, checkpoint.parent), finish(begin(spec, points), checkpoint.parent / "other"))


@pytest.mark.torture
def test_a_damaged_checkpoint_is_never_continued_as_another(spec, points, checkpoint):
    """torch reads a wrong bit in a tensor without a word. A run goes on from the very state, or starts afresh."""
    expected = dict(leaves_of(restored(spec, points, checkpoint.parent)[1].state()))
    fresh, outcomes = begin(spec, points), Counter()
    for what, content in damaged(checkpoint.read_bytes(), 400):
        checkpoint.write_bytes(content)
        said, run = restored(spec, points, checkpoint.parent)
        if said.startswith("resuming"):
            outcomes["resuming"] += 1
            assert checkpoint.exists()
            found = dict(leaves_of(run.state()))
            assert found.keys() == expected.keys(), what
            assert all(equal(value, expected[name]) for name, value in found.items()), what
        else:
            outcomes["starting"] += 1
            assert re.fullmatch(r"starting: checkpoint\.pt can't be used \([^\n]+\)", said), what
            assert run.position == training.Position()
            assert same(run.model.state_dict(), fresh.model.state_dict()), what
    assert outcomes["resuming"] > 20  # dates, names and gaps of the archive mean nothing
    assert outcomes["starting"] > 200


@pytest.mark.torture
def test_damaged_weights_of_a_finished_run_are_never_taken_for_its_result(spec, points, tmp_path):
    weights = finish(begin(spec, points), tmp_path)
    path = tmp_path / "weights.pt"
    for what, content in damaged(path.read_bytes(), 200, seed=2):
        path.write_bytes(content)
        said, run = restored(spec, points, tmp_path)
        if said.startswith("nothing to train"):
            assert same(run.model.state_dict(), weights), what
        else:
            assert re.fullmatch(r"starting: weights\.pt can't be used \([^\n]+\)", said), what
            assert not run.finished


def test_damaged_weights_do_not_hide_a_good_checkpoint(spec, points, checkpoint):
    finish(begin(spec, points), checkpoint.parent / "other")
    whole = (checkpoint.parent / "other" / "weights.pt").read_bytes()
    checkpoint.with_name("weights.pt").write_bytes(whole.replace(b"history", b"mystery"))
    said, _ = restored(spec, points, checkpoint.parent)
    assert said.startswith("resuming at epoch 2, step 3: weights.pt can't be used (")


def restored(spec, points, folder):
    """As `shared.stages.train` does it."""
    run = begin(spec, points)
    discarded = storage.discard_damaged(folder)
    return ": ".join([run.restore(folder), *discarded]), run


def leaves_of(state, path=""):
    if isinstance(state, dict | list | tuple):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from leaves_of(value, f"{path}/{key}")
    else:
        yield path, state


def equal(first, second):
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


def test_a_checkpoint_runs_no_code(spec, points, tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "pwned"),))

    torch.save({"identity": Evil()}, tmp_path / "checkpoint.pt")
    assert begin(spec, points).restore(tmp_path).startswith("starting: checkpoint.pt can't be used")
    assert not (tmp_path / "pwned").exists()


# Divergence


def test_a_loss_that_is_not_finite_ends_the_run_at_its_step(spec, points, tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_NAN", "8")
    run = begin(spec, points)
    finish(run, tmp_path)
    assert run.finished
    assert run.position.diverged == {"epoch": 3, "step": 2}
    assert len(run.position.history) == 2
    assert all(value.isfinite().all() for value in run.model.state_dict().values())


def test_a_run_that_diverged_is_not_trained_again(spec, points, tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_NAN", "8")
    finish(begin(spec, points), tmp_path)
    monkeypatch.delenv("TINY_NAN")
    again = begin(spec, points)
    assert again.restore(tmp_path).startswith("nothing to train")
    finish(again, tmp_path)
    assert again.position.diverged == {"epoch": 3, "step": 2}


def spoil(run):
    with torch.no_grad():
        run.model.decode.bias[0] = float("inf")


def test_weights_that_are_not_finite_never_replace_a_good_checkpoint(spec, points, tmp_path):
    """A finite loss may have a gradient that is not: the step goes through, and its weights must not be kept."""
    path = tmp_path / "checkpoint.pt"
    run = begin(spec, points)
    run.keep(path)
    good = path.read_bytes()
    spoil(run)
    run.keep(path)
    assert path.read_bytes() == good


def test_weights_that_the_last_step_spoils_are_a_divergence_too(spec, points, tmp_path, monkeypatch):
    run = begin(spec, points)
    last = spec["training"]["epochs"] * run.steps_per_epoch
    steps, step = [], run.step

    def spoiling(batch):
        loss = step(batch)
        steps.append(loss)
        if len(steps) == last:
            spoil(run)
        return loss

    monkeypatch.setattr(run, "step", spoiling)
    finish(run, tmp_path)
    assert run.position.diverged == {"epoch": spec["training"]["epochs"], "step": run.steps_per_epoch}


# The command line


@pytest.fixture(scope="module")
def finished(repository):
    """The folder of a run that nothing interrupted."""
    result = train(repository, "runs/whole", "--log", "logs/whole.log", OMP_NUM_THREADS="2")
    assert result.returncode == 0, result.stderr
    return repository / "runs" / "whole"


def start(repository, out, log):
    """The same run with a pause in every step, which saves its state after each."""
    command = [sys.executable, "-c", EAGER, *OPTIONS.split(), "--out", out, "--log", log]
    options = {"cwd": repository, "env": environment(repository, TINY_PAUSE="0.3"), "text": True}
    # these tests may run under nohup
    hear = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    return subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=hear, **options)


def steps_done(checkpoint):
    """Steps behind a run when it saved its state."""
    if not checkpoint.exists():
        return 0
    position = torch.load(checkpoint, weights_only=True)["position"]
    return 3 * position["epoch"] + position["step"]


def test_killed_again_and_again_it_ends_with_the_same_weights(repository, finished):
    out, log = repository / "runs" / "killed", repository / "logs" / "killed.log"
    checkpoint = out / "checkpoint.pt"
    done = 0
    for number, status in ((signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)):
        before = done
        with start(repository, "runs/killed", "logs/killed.log") as process:
            deadline = time.monotonic() + PATIENCE
            while steps_done(checkpoint) == before and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            process.send_signal(number)
            _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == status, error
        assert "Traceback" not in error
        assert not (out / "weights.pt").exists()
        assert not (out / "train.json").exists()
        assert ("resuming at epoch" if before else "starting") in log.read_text().splitlines()[0]
        done = steps_done(checkpoint)
        assert before < done < STEPS

    result = train(repository, "runs/killed", "--log", "logs/killed.log")
    assert result.returncode == 0, result.stderr
    assert f"resuming at epoch {done // 3 + 1}, step {done % 3 + 1}" in log.read_text()
    assert same(*(torch.load(folder / "weights.pt", weights_only=True)["model"] for folder in (out, finished)))
    records = [json.loads((folder / "train.json").read_text()) for folder in (out, finished)]
    assert records[0]["history"] == records[1]["history"]
    assert len(records[0]["history"]) == 6


def test_a_finished_run_leaves_weights_a_record_and_its_log(repository, finished):
    names = sorted(path.name for path in finished.iterdir() if path.name != ".lock")
    assert names == ["train.json", "weights.pt"]
    lines = (repository / "logs" / "whole.log").read_text().splitlines()
    assert all(line.startswith("demo/tiny/line/small/seed3: ") for line in lines)
    assert "starting" in lines[0]
    assert [re.search(r"epoch \d/6", line)[0] for line in lines[1:-1]] == [f"epoch {k}/6" for k in range(1, 7)]
    assert re.search(r"done in \d+ s, final loss \d", lines[-1])


def test_a_lost_record_of_a_finished_run_is_made_again_at_once(repository, finished):
    record, weights = finished / "train.json", (finished / "weights.pt").read_bytes()
    before = read_json(record)
    record.unlink()
    result = train(repository, "runs/whole", TINY_NAN="1")  # a step would be noticed
    assert result.returncode == 0, result.stderr
    assert "nothing to train" in result.stderr
    assert read_json(record)["history"] == before["history"]
    assert read_json(record)["diverged"] is None
    assert (finished / "weights.pt").read_bytes() == weights


def test_the_record_says_what_was_trained_on_what_and_not_by_whom(repository, finished):
    text = (finished / "train.json").read_text()
    record = json.loads(text)
    assert record["spec"]["arguments"] == {"hidden": 4}
    assert record["spec"]["training"]["epochs"] == 6
    assert record["spec_sha256"] == sha256(specification.training_part(record["spec"]))
    assert re.fullmatch("[0-9a-f]{16}", record["fingerprint"])
    assert record["data"] == json.loads((repository / "data" / "data.json").read_text())
    provenance = record["provenance"]
    assert torch.__version__.startswith(provenance["libraries"]["torch"])
    assert provenance["threads"] == 1  # the specification's, although the environment said 2
    assert provenance["device"] == "cpu"
    assert provenance["peak_memory_mb"] > 50
    assert str(repository) not in text
    assert sys.prefix not in text
    assert str(Path.home()) not in text
    values = [str(value) for value in leaves(provenance)]
    for private in (socket.gethostname(), platform.node(), getpass.getuser()):
        assert private not in values
    assert not any(value.startswith("/") for value in values)


def leaves(node):
    if isinstance(node, dict):
        for value in node.values():
            yield from leaves(value)
    else:
        yield node


def test_a_run_that_diverges_is_recorded_as_a_result(repository):
    out = repository / "runs" / "nan"
    options = [*OPTIONS.split(), "--out", "runs/nan", "--log", "logs/nan.log"]
    result = run(repository, sys.executable, "-c", EAGER, *options, TINY_NAN="5")
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1].endswith("diverged at epoch 2, step 2; tables will say so")
    record = read_json(out / "train.json")
    assert record["diverged"] == {"epoch": 2, "step": 2}
    assert [row["epoch"] for row in record["history"]] == [1]
    weights = (out / "weights.pt").read_bytes()
    # the same command ends at once, with the same record, even where the cause is gone
    again = run(repository, sys.executable, "-c", EAGER, *options)
    assert again.returncode == 0
    assert "nothing to train" in again.stderr
    assert read_json(out / "train.json")["diverged"] == {"epoch": 2, "step": 2}
    assert (out / "weights.pt").read_bytes() == weights


DEFECT = """
from shared.errors import run_cli
from shared.stages import train
train.limit_threads = None
run_cli(train.main)
"""


def test_what_fails_before_training_stands_in_the_log_too(repository):
    log = repository / "logs" / "early.log"
    result = train(repository, "pyproject.toml/run", "--log", log)
    assert log.read_text().splitlines() == result.stderr.splitlines()[-1:]
    result = run(repository, sys.executable, "-c", DEFECT, *OPTIONS.split(), "--out", "runs/x", "--log", log)
    assert "Traceback" in result.stderr
    assert log.read_text().splitlines()[-1] == result.stderr.splitlines()[-1] != ""


@pytest.mark.parametrize(
    ("out", "log", "words"),
    [
        ("pyproject.toml/run", "logs/x.log", "pyproject.toml/run: a part of this path is a file"),
        pytest.param(
            "runs/x",
            "/dev/full",
            "the disk is full",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device"),
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line(repository, out, log, words):
    result = train(repository, out, "--log", log)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert words in result.stderr.splitlines()[-1]
