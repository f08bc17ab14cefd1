"""What a run leaves in its folder, and when: one process at a time, whole files, a state before it stops."""

import errno
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from shared.errors import InputError
from shared.files import atomic_path

CHECKPOINT_SECONDS = 60.0
WEIGHTS, CHECKPOINT = "weights.pt", "checkpoint.pt"  # of a run that is finished, and of one that is not


class Interrupted(SystemExit):
    """Training was stopped by a signal after it saved its state."""


def _with_one_of_each_text(value: Any) -> Any:
    """Pickle stores a text once per object, of which a state that was read has others than one that was not."""
    if type(value) is dict:
        return {_with_one_of_each_text(key): _with_one_of_each_text(each) for key, each in value.items()}
    if type(value) is list:
        return list(map(_with_one_of_each_text, value))
    return sys.intern(value) if type(value) is str else value


def save(path: Path, value: Any) -> None:
    """torch.save, atomic, and with bytes that depend on the value alone: given a path, torch stores its name too."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(_with_one_of_each_text(value), file)
        except RuntimeError as error:  # torch's own words for what the system said
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def from_system(error: Exception) -> bool:
    """Whether reading failed for a reason of the system's, so that the file may be good.

    EINVAL is what torch says of a file that was cut short.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".split("\n")[0].rstrip(": ")


@contextmanager
def stop_requests():
    """A list that SIGTERM and SIGINT append their number to, so that a step is finished before anything stops."""
    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def exclusive(folder: Path):
    """Hold the run's lock, and remove what a killed save left behind.

    InputError: another process holds it, an orphan of a killed workflow perhaps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{folder}: another process is training this run; wait for it or stop it, then run again"
        ) from None
    try:
        for name in (WEIGHTS, CHECKPOINT):
            for path in folder.glob(f".{Path(name).stem}-*.pt"):
                path.unlink()
        yield
    finally:
        lock.release()
