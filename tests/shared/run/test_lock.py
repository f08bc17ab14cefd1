"""One process at a time. Other processes are real, the file systems without locks are said to be so."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from shared.errors import InputError
from shared.run import lock
from tests.repository import ROOT, environment

NO_LOCKS = [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS]
HOLD = """
import fcntl, os, pathlib, sys
from shared.run import lock

def fail(*_):
    raise OSError(int(sys.argv[2]), "as on a network folder")

if sys.argv[2] != "0":
    fcntl.flock = fail
with lock.exclusive(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path, code=0):
    """A process that holds a lock, whose flock fails with this number."""
    command = [sys.executable, "-c", HOLD, str(path), str(code)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment(ROOT), **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def without_locks(monkeypatch, code=errno.ENOLCK):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", fail)


def refused(folder):
    with pytest.raises(InputError) as caught, lock.exclusive(folder / ".lock"):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_process_that_is_killed_gives_the_lock_back(tmp_path):
    with holder(tmp_path / ".lock") as process:
        assert "another process is at work here; wait for it or stop it" in refused(tmp_path)
        process.kill()
        process.wait()
        with lock.exclusive(tmp_path / ".lock"):
            assert refused(tmp_path)  # in this process too
    with lock.exclusive(tmp_path / ".lock"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.torture
@pytest.mark.parametrize("code", NO_LOCKS)
def test_where_there_are_no_locks_a_file_stands_in(tmp_path, monkeypatch, code):
    with holder(tmp_path / ".lock", code) as process:
        without_locks(monkeypatch, code)
        line = refused(tmp_path)
        assert line.startswith(
            f"{tmp_path}/.lock-holder: process {process.pid} on {os.uname().nodename} began its work"
        )
        assert line.endswith("then run again, and delete this file if that process is gone")
        process.communicate("")  # it ends as it should
    assert not (tmp_path / ".lock-holder").exists()
    with lock.exclusive(tmp_path / ".lock"):
        assert json.loads((tmp_path / ".lock-holder").read_text())["pid"] == os.getpid()
        assert refused(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.torture
def test_a_process_of_this_machine_that_was_killed_is_taken_over(tmp_path, monkeypatch):
    without_locks(monkeypatch)
    with holder(tmp_path / ".lock", errno.ENOLCK) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / ".lock-holder").exists()
        with lock.exclusive(tmp_path / ".lock"):
            assert json.loads((tmp_path / ".lock-holder").read_text())["pid"] == os.getpid()
            assert refused(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def left_behind(folder, **changes):
    """The file of a process that is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    mark = folder / ".lock-holder"
    mark.write_text(json.dumps(lock._here() | {"pid": ended.pid, "token": "0" * 16} | changes))
    os.utime(mark, (mark.stat().st_mtime - 93784,) * 2)
    return mark


@pytest.mark.torture
@pytest.mark.parametrize(
    ("changes", "who"),
    [
        ({"host": "node7"}, "process {pid} on node7"),
        ({"system": "another boot, or another container"}, "process {pid} on " + os.uname().nodename),
        ({"pid": 1}, "process 1 on " + os.uname().nodename),
    ],
)
@pytest.mark.parametrize("locks", [True, False])
def test_what_may_still_run_elsewhere_is_named_with_its_age(tmp_path, monkeypatch, changes, who, locks):
    """Also for a process that has locks where that one had none."""
    if not locks:
        without_locks(monkeypatch)
    mark = left_behind(tmp_path, **changes)
    before = mark.read_text()
    for _ in range(2):
        line = refused(tmp_path)
        name = who.format(**json.loads(before))
        assert line.startswith(f"{mark}: {name} began its work here 1 day, 2:03:0")
        assert mark.read_text() == before
    mark.unlink()  # as the line says
    with lock.exclusive(tmp_path / ".lock"):
        pass


@pytest.mark.parametrize("content", ["", "{", '{"pid": 12'])
def test_a_file_that_was_left_unfinished_is_nobodys(tmp_path, monkeypatch, content):
    without_locks(monkeypatch)
    (tmp_path / ".lock-holder").write_text(content)
    assert "an unknown process began" in refused(tmp_path)


def test_a_file_that_was_deleted_and_made_by_another_is_left_alone(tmp_path, monkeypatch):
    without_locks(monkeypatch)
    with lock.exclusive(tmp_path / ".lock"):
        (tmp_path / ".lock-holder").write_text('{"pid": 1}')
    assert (tmp_path / ".lock-holder").read_text() == '{"pid": 1}'


@pytest.mark.parametrize("code", [errno.EIO, errno.EBADF])
def test_another_failure_of_the_system_is_no_reason_to_go_on(tmp_path, monkeypatch, code):
    without_locks(monkeypatch, code)
    with pytest.raises(OSError, match=os.strerror(code)), lock.exclusive(tmp_path / ".lock"):
        pass
    assert not (tmp_path / ".lock-holder").exists()


RACE = """
import errno, fcntl, multiprocessing, os, pathlib, sys, time
from shared.errors import InputError
from shared.run import lock

def fail(*_):
    raise OSError(errno.ENOLCK, "")

fcntl.flock = fail
folder, rounds, workers = pathlib.Path(sys.argv[1]), int(sys.argv[2]), 8

def contend(number, start, over, winners):
    for turn in range(rounds):
        start.wait()
        try:
            with lock.exclusive(folder / str(turn) / ".lock"):
                winners.put((turn, number))
                over.wait()
        except InputError:
            over.wait()

context = multiprocessing.get_context("fork")
start, over = (context.Barrier(workers, timeout=60) for _ in range(2))
winners = context.SimpleQueue()
jobs = [context.Process(target=contend, args=(n, start, over, winners)) for n in range(workers)]
for job in jobs: job.start()
found = []
while any(job.is_alive() for job in jobs) or not winners.empty():
    if winners.empty():
        time.sleep(0.01)
    else:
        found.append(winners.get())
print(sorted(turn for turn, _ in found) == list(range(rounds)), all(job.exitcode == 0 for job in jobs))
"""


@pytest.mark.torture
@pytest.mark.parametrize("stale", [True, False])
def test_of_many_that_come_at_once_one_gets_it(tmp_path, stale):
    """Whether the file is of a process that is gone, or there is none."""
    rounds = 400
    for turn in range(rounds):
        (tmp_path / str(turn)).mkdir()
        if stale and turn == 0:
            mark = left_behind(tmp_path / "0").read_text()
        elif stale:
            (tmp_path / str(turn) / ".lock-holder").write_text(mark)
    command = [sys.executable, "-c", RACE, str(tmp_path), str(rounds)]
    result = subprocess.run(command, cwd=ROOT, env=environment(ROOT), capture_output=True, text=True, check=False)
    assert result.stdout == "True True\n", result.stderr
    assert {path.name for path in tmp_path.rglob(".*")} == {".lock"}
