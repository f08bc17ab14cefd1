"""Disks that are full in every place where a stage writes, and files that may not grow (`ulimit -f`)."""

import json
import sys

import pytest

from tests.repository import ROOT, run
from tests.shared.test_errors import mounts

FILES = {
    "prepare": {"x1_train.npy", "x1_test.npy", "data.json"},
    "encode": {"x1_train.npy", "x2_train.npy", "data.json"},
    "checkpoint": {"checkpoint.pt"},
    "train": {"weights.pt"},
    "record": {"train.json"},
    "evaluate": {"samples.npz", "points.npz", "metrics.json"},
    "aggregate": {"table4.csv", "table4.paired.csv"},
    "render": {"table4.tex", "table4.md"},
    "figure": {"f.pdf", "f.png"},
}


@pytest.mark.torture
@pytest.mark.slow_torture
@pytest.mark.skipif(not mounts(), reason="no mounts in a name space of our own")
@pytest.mark.parametrize("stage", FILES)
def test_a_full_disk_is_one_line_wherever_a_stage_writes(tmp_path, stage):
    (tmp_path / "small").mkdir()
    attack = f"{sys.executable} -m tests.small_disk {stage} {tmp_path}/small pages"
    script = f"mount -t tmpfs -o size=4m none {tmp_path}/small && cd {ROOT} && {attack}"
    result = run(tmp_path, "unshare", "-rm", "sh", "-c", script, PYTHONPATH=f"{ROOT}")
    assert result.returncode == 0, result.stderr
    assert FILES[stage] <= set(json.loads(result.stdout))


@pytest.mark.torture
@pytest.mark.slow_torture
@pytest.mark.parametrize("stage", FILES)
def test_files_that_may_not_grow_are_one_line(tmp_path, stage):
    (tmp_path / "small").mkdir()
    result = run(ROOT, sys.executable, "-m", "tests.small_disk", stage, tmp_path / "small", "bytes")
    assert result.returncode == 0, result.stderr
    assert len(json.loads(result.stdout)) > 1
