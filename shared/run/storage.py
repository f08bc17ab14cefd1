"""What a run leaves in its folder, and when: one process at a time, whole files, a state before it stops.

Imports torch where it is needed, so that a lock can be had before.
"""

import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from shared.errors import from_system, in_short
from shared.files import atomic_path
from shared.run import lock

CHECKPOINT_SECONDS = 60.0
WEIGHTS, CHECKPOINT = "weights.pt", "checkpoint.pt"  # of a run that is finished, and of one that is not
OUTPUTS = (WEIGHTS, CHECKPOINT, "train.json", "metrics.json", "samples.npz", "points.npz")


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
    import torch

    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(_with_one_of_each_text(value), file)
        except RuntimeError as error:  # torch's own words for what the system said
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def discard_damaged(folder: Path) -> list[str]:
    """Remove what `save` wrote and is not as it was written any more; says of each file what is wrong.

    torch reads such a file without a word: it stores a checksum of every part, and compares none.
    """
    discarded = []
    for path in (folder / WEIGHTS, folder / CHECKPOINT):
        if problem := _damage(path):
            path.unlink()
            discarded.append(f"{path.name} can't be used ({problem})")
    return discarded


def _damage(path: Path) -> str | None:
    try:
        with ZipFile(path) as archive:
            # what no checksum covers: torch takes a part that is said to be a folder for one of any content
            if len({(part.flag_bits, part.compress_type, part.external_attr) for part in archive.infolist()}) > 1:
                return "its directory is damaged"
            return (name := archive.testzip()) and f"{name} is damaged"
    except FileNotFoundError:
        return None
    except Exception as error:  # damage ends in errors of any kind
        if from_system(error):
            raise
        return in_short(error)


@contextmanager
def stop_requests():
    """A list that SIGTERM, SIGINT and SIGHUP append their number to, so that a step is finished before anything stops.

    A SIGHUP that is ignored, as under nohup, stays so.
    """
    received: list[int] = []
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def exclusive(folder: Path):
    """Hold the run's lock, and remove what killed saves left behind: whoever writes the run's files holds it.

    InputError: another process holds it, an orphan of a killed workflow perhaps.
    """
    with lock.exclusive(folder / ".lock"):
        for output in map(Path, OUTPUTS):
            for path in folder.glob(f".{output.stem}-*{output.suffix}"):
                path.unlink()
        yield
