"""What a run prints while it trains."""

import io
import json
import re
import sys

import pytest

from shared.run import progress
from tests.repository import ROOT, run


@pytest.fixture
def eager(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", -1.0)


def lines_of(log):
    return [line.split(": ", 1)[1] for line in log.getvalue().splitlines()]


def test_lines_count_epochs_and_steps_and_the_time_that_is_left(eager, monkeypatch):
    clock = iter([0.0, *(second for step in range(1, 7) for second in (10.0 * step,) * 3)])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    log = io.StringIO()
    with progress.Progress("a run", epochs=2, steps=3, style="lines", log=log) as shown:
        for step in range(6):
            shown.step(step // 3, step % 3 + 1, loss=5.0, samples=100)
    lines = lines_of(log)
    assert [re.match(r"epoch \d/2  step \d/3", line)[0] for line in lines] == [
        f"epoch {epoch}/2  step {step}/3" for epoch in (1, 2) for step in (1, 2, 3)
    ]
    assert [line.split("  ")[-1] for line in lines] == [f"0:00:{left:02d} left" for left in (50, 40, 30, 20, 10, 0)]
    assert all("loss 5.0  10 samples/s" in line for line in lines)


EPOCHS = """
import io, sys
from benchmarks import peers
from shared.run import progress
peers.POINTS = 250
sys.stdin = io.StringIO("epochs 0\\n")
progress.LINE_SECONDS = -1
peers.work(1)
"""


def test_the_benchmarks_progress_is_within_its_steps():
    result = run(ROOT, sys.executable, "-c", EPOCHS)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["per_second"] >= 0
    steps = [(int(k), int(of)) for k, of in re.findall(r"step (\d+)/(\d+)", result.stderr)]
    assert steps
    assert all(k <= of for k, of in steps)
    assert "-" not in " ".join(re.findall(r"(\S+) left", result.stderr))
