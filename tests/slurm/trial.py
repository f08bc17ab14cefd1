"""`make test-slurm`: on a SLURM of one node a table has the bytes of a local run, whatever happens to its jobs."""

import filecmp
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.repository import copy_of_this, run, start

TABLE = "results/table1_mnist.tex"
FILES = [f"results/table1_mnist.{suffix}" for suffix in ("csv", "md", "paired.csv", "tex")]
RUNS = Path("demo/mhvae/mnist")
PATIENCE = 1200  # seconds; the machine may be at work


def miniature(root):
    """A copy whose demo scale is small, but long enough to get hold of its trainings."""
    path = copy_of_this(root) / "papers/mhvae/experiments.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    experiment = content["experiments"]["mnist"]
    experiment["training"]["epochs"]["demo"] = 6
    experiment["evaluation"]["importance_samples"]["demo"] = 4
    experiment["evaluation"]["points"]["demo"] = 5
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The table as this machine makes it."""
    root = miniature(tmp_path_factory.mktemp("local") / "repository")
    result = run(root, sys.executable, "-m", "snakemake", TABLE, "--cores", "2", "--config", "device=cpu")
    assert result.returncode == 0, result.stderr
    return root


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A copy for the cluster; a test continues where the one before it stopped."""
    return miniature(tmp_path_factory.mktemp("cluster") / "repository")


@contextmanager
def submitted(root, target, *options):
    """The workflow on the cluster, with as little patience as its plugin allows."""
    profile = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "5")
    command = [sys.executable, "-m", "snakemake", target, *profile, *options, "--config", "device=cpu"]
    with (root / "said").open("w") as said:
        process = start(root, *command, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(happened, *arguments):
    deadline = time.monotonic() + PATIENCE
    while not (found := happened(*arguments)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def log(root, model):
    return root / "logs" / RUNS / model / "seed0/train.log"


def jobs():
    """{model: number of the job that trains it} of all that run."""
    lines = subprocess.check_output(["squeue", "--noheader", "--states=R", "--format=%i %k"], text=True).splitlines()
    return {comment.split("_")[-2]: number for number, comment in map(str.split, lines) if "rule_train" in comment}


def training(root, but=()):
    """A model that has been trained for an epoch at least, and still is."""
    texts = {model: log(root, model).read_text() for model in {*jobs()} - {*but} if log(root, model).exists()}
    return next((model for model, text in texts.items() if "elbo" in text), None)


def test_interrupted_cancelled_and_preempted_trainings_continue_to_the_same_table(local, cluster):
    with submitted(cluster, TABLE) as workflow:
        interrupted = wait_for(training, cluster)
        workflow.send_signal(signal.SIGINT)
        assert workflow.wait(PATIENCE) == 1
        wait_for(lambda: not jobs())
        assert (cluster / "runs" / RUNS / interrupted / "seed0/checkpoint.pt").exists()
    shutil.rmtree(cluster / "logs")
    with submitted(cluster, TABLE) as workflow:
        cancelled = wait_for(training, cluster)
        subprocess.run(["scancel", jobs()[cancelled]], check=True)
        preempted = wait_for(training, cluster, [cancelled])
        job = ["sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap", "sleep 1"]
        subprocess.run(job, check=True)
        assert workflow.wait(PATIENCE) == 0, (cluster / "said").read_text()
    for model in (interrupted, cancelled, preempted):
        assert "resuming at epoch" in log(cluster, model).read_text()
    assert filecmp.cmpfiles(local, cluster, FILES, shallow=False) == (FILES, [], [])


def test_a_training_that_fails_ends_the_workflow_and_its_log_says_why(cluster):
    """Without accounting, as here, a cluster may never tell of an end."""
    run = cluster / "runs" / RUNS / "mvae/seed0"
    shutil.rmtree(run)
    next(cluster.glob("runs/demo/data/*/x1_train.npy")).unlink()
    with submitted(cluster, run.relative_to(cluster) / "train.json", "--retries", "0") as workflow:
        assert workflow.wait(PATIENCE) == 1
    assert "error: " in log(cluster, "mvae").read_text()
    assert "x1_train.npy" in (cluster / "said").read_text()
