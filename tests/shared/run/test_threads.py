import os
import sys

import pytest

from shared.run import threads
from tests.repository import ROOT, run


@pytest.mark.parametrize("machine", [1, 2, 3, 4, 8, 64])
@pytest.mark.parametrize("cores", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("wanted", [1, 2, 3, 4])
def test_jobs_never_fight_for_cores(machine, cores, wanted, monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: machine)
    claimed = threads.share_of(wanted, cores)
    assert claimed >= wanted
    # a scheduler gives a job that claims more than there is all there is, and runs it alone
    at_once = max(1, cores // min(claimed, cores))
    running = at_once * min(wanted, machine)  # a process never takes more threads than the machine has
    assert running <= machine
    if cores <= machine and wanted <= cores:
        assert claimed == wanted  # nobody waits without need


def test_two_jobs_of_one_thread_share_two_cores_whatever_was_typed(monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: 2)
    assert [threads.share_of(1, cores) for cores in (1, 2, 8)] == [1, 1, 4]


def test_a_cluster_gives_a_job_the_threads_that_it_uses():
    assert threads.share_of(3, None) == 3


def test_libraries_get_the_threads_of_the_specification_and_never_more_than_the_machine(monkeypatch):
    variables = [f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")]
    for name in variables:
        monkeypatch.setenv(name, "7")  # a scheduler's, to be overruled; restored after the test
    monkeypatch.setattr(threads, "available_cores", lambda: 4)
    assert threads.limit_threads(3) == 3
    assert {os.environ[name] for name in variables} == {"3"}
    assert threads.limit_threads(16) == 4
    assert {os.environ[name] for name in variables} == {"4"}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_cores_that_the_process_may_not_use_do_not_count():
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, [{one}]); from shared.run.threads import available_cores as a; print(a())"
    )
    assert run(ROOT, sys.executable, "-c", code).stdout == "1\n"
