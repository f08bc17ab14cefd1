"""A process that stands for Snakemake: it has started jobs through a shell, and only it is told to stop."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.repository import ROOT, environment

# Saves its state, as a training does, and says how often it was told; the shell that waits for it has more to do.
JOB = """
import os, signal, time
told = []
for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(each, lambda number, frame: told.append(number))
os.write(1, b"running\\n")
while not told:
    time.sleep(0.01)
time.sleep(1)
os.write(1, f"saved {told}\\n".encode())
"""
SHELL = '"$0" -c "$1"; exit $?'
ENGINE = """
import signal, subprocess, sys
from shared.run import stopping
job, shell, ignored = sys.argv[1:]
for number in stopping.SIGNALS:  # these tests may run under nohup, or in the background of a script
    signal.signal(number, signal.SIG_IGN if str(int(number)) == ignored else signal.default_int_handler)
stopping.stop_jobs_too()
started = [subprocess.Popen(["bash", "-c", shell, sys.executable, job]) for _ in range(2)]
try:
    for each in started:
        each.wait()
    print("all ended by themselves", flush=True)
except KeyboardInterrupt:
    started.append(subprocess.Popen(["sleep", "1000"]))
    print("stopping", *[each.wait() for each in started], flush=True)
"""


@pytest.fixture
def engine():
    """Start the process, and give it once its two jobs run."""
    processes = []

    def start(ignored=""):
        process = subprocess.Popen(
            [sys.executable, "-c", ENGINE, JOB, SHELL, ignored],
            cwd=ROOT,
            env=environment(ROOT),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        assert [process.stdout.readline() for _ in range(2)] == ["running\n"] * 2
        return process

    yield start
    for process in processes:
        with suppress(ProcessLookupError):  # as it should be
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.torture
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_all_jobs_are_told_once_and_what_started_meanwhile_too(engine, number):
    process = engine()
    process.send_signal(number)
    time.sleep(0.5)
    process.send_signal(number)  # impatience neither tells the jobs again nor disturbs the wait for them
    said, _ = process.communicate(timeout=30)
    assert said.splitlines() == [f"saved [{number:d}]"] * 2 + [f"stopping 0 0 -{number:d}"]


@pytest.mark.torture
def test_a_signal_that_was_ignored_stays_so(engine):
    process = engine(ignored=str(int(signal.SIGHUP)))
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert "stopping 0 0 -15" in said.splitlines()
