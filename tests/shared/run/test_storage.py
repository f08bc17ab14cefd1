import errno
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest
import torch

from shared.errors import InputError
from shared.run import storage
from tests.repository import ROOT, run
from tests.shared.run.test_lock import holder

# Saving


def test_weights_have_the_same_bytes_whatever_the_name_of_the_file(tmp_path):
    for name in ("weights.pt", "others.pt"):
        storage.save(tmp_path / name, {"w": torch.arange(5.0)})
    assert (tmp_path / "weights.pt").read_bytes() == (tmp_path / "others.pt").read_bytes()


def test_a_full_disk_while_saving_is_the_systems_own_error(monkeypatch):
    """torch says `enforce fail at inline_container.cc` in its place."""

    @contextmanager
    def full(path):
        yield Path("/dev/full")

    monkeypatch.setattr(storage, "atomic_path", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        storage.save(Path("weights.pt"), {"w": torch.zeros(100_000)})
    assert caught.value.errno == errno.ENOSPC


# Reading again: many kinds of damage are in test_training.py


def test_what_is_as_it_was_written_stays(tmp_path):
    assert storage.discard_damaged(tmp_path) == []
    for name in (storage.WEIGHTS, storage.CHECKPOINT):
        storage.save(tmp_path / name, {"w": torch.arange(5.0)})
    before = (tmp_path / "weights.pt").read_bytes()
    assert storage.discard_damaged(tmp_path) == []
    assert (tmp_path / "weights.pt").read_bytes() == before
    assert (tmp_path / "checkpoint.pt").exists()


def test_what_rotted_goes_and_is_named(tmp_path):
    for name in (storage.WEIGHTS, storage.CHECKPOINT):
        storage.save(tmp_path / name, {"w": torch.arange(5.0)})
    content = bytearray((tmp_path / "checkpoint.pt").read_bytes())
    content[content.index(torch.arange(5.0).numpy().tobytes()) + 7] ^= 1
    (tmp_path / "checkpoint.pt").write_bytes(content)
    assert torch.load(tmp_path / "checkpoint.pt")["w"].tolist() != [0, 1, 2, 3, 4]  # torch sees nothing
    assert storage.discard_damaged(tmp_path) == ["checkpoint.pt can't be used (archive/data/0 is damaged)"]
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]


@pytest.mark.torture
@pytest.mark.slow_torture
def test_no_wrong_bit_of_a_file_is_read_as_something_else(tmp_path):
    """Every single one, of the tensors and of the archive around them."""
    path, value = tmp_path / "weights.pt", {"w": torch.arange(6.0), "b": {"epoch": 1}}
    storage.save(path, value)
    whole, outcomes = path.read_bytes(), Counter()
    for at, bit in product(range(len(whole)), range(8)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        try:
            if storage.discard_damaged(tmp_path):
                outcomes["discarded"] += 1
                continue
            found = torch.load(path, weights_only=True)
        except RuntimeError:
            outcomes["refused"] += 1
            continue
        outcomes["right"] += 1  # a date, say
        assert torch.equal(found.pop("w"), value["w"]), (at, bit)
        assert found == {"b": {"epoch": 1}}, (at, bit)
    assert outcomes["discarded"] > len(whole) > outcomes["refused"]


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_system_that_fails_condemns_no_file(tmp_path, monkeypatch, code):
    storage.save(tmp_path / "weights.pt", {"w": torch.arange(5.0)})

    def fail(*_, **__):
        raise OSError(code, "the system's reason")

    monkeypatch.setattr(storage.ZipFile, "testzip", fail)
    with pytest.raises(OSError, match="the system's reason"):
        storage.discard_damaged(tmp_path)
    assert (tmp_path / "weights.pt").exists()


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_a_request_and_afterwards_what_it_was(number):
    seen = []
    before = signal.signal(number, lambda *_: seen.append("before"))
    try:
        with storage.stop_requests() as requests:
            signal.raise_signal(number)
            assert requests == [number]
        signal.raise_signal(number)
        assert seen == ["before"]
    finally:
        signal.signal(number, before)


def test_under_nohup_a_run_goes_on_when_its_terminal_closes():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with storage.stop_requests() as requests:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
            assert requests == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


# The lock


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path):
    written = tmp_path / ".checkpoint-ab12cd_3.pt"
    with holder(tmp_path / ".lock") as process:
        written.touch()  # by the other process, at this moment
        with pytest.raises(InputError, match=r"\A[^\n]*another process is at work here; [^\n]*\Z"):
            storage.exclusive(tmp_path).__enter__()
        assert written.exists()
        process.kill()
        process.wait()
        with storage.exclusive(tmp_path):  # what it left
            assert not written.exists()


def test_what_a_killed_save_left_behind_is_removed_and_nothing_else(tmp_path):
    left = [".checkpoint-ab12cd_3.pt", ".weights-ab12cd_3.pt", ".train-ab12cd_3.json", ".metrics-ab12cd_3.json"]
    left += [".samples-ab12cd_3.npz", ".points-ab12cd_3.npz"]
    others = [*storage.OUTPUTS, "checkpoint-best.pt", ".notes-ab12cd_3.txt", ".metrics.json.swp"]
    for name in (*left, *others):
        (tmp_path / name).touch()
    with storage.exclusive(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".lock") == sorted(others)


KILLED_SAVE = """
import os, signal, sys, pathlib, torch
from shared.run import storage
torch.save = lambda value, file: (file.write(b"half"), file.flush(), os.kill(os.getpid(), signal.SIGKILL))
with storage.exclusive(pathlib.Path(sys.argv[1])):
    storage.save(pathlib.Path(sys.argv[1]) / "checkpoint.pt", {})
"""


def test_a_save_that_is_killed_leaves_what_the_next_run_removes(tmp_path):
    for _ in range(2):
        result = run(ROOT, sys.executable, "-c", KILLED_SAVE, tmp_path)
        assert result.returncode == -signal.SIGKILL
        assert len(list(tmp_path.glob(".checkpoint-*.pt"))) == 1
