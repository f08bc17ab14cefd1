"""One process at a time, also where the file system knows no locks, as some network folders."""

import errno
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.files import write_text

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which the system gives back when this process ends, however it ends. The file stays.

    Where the file system has none, a file beside it stands in for it, which names its process. InputError: another
    process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        file = stack.enter_context(path.open("a"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except (BlockingIOError, PermissionError):
            raise InputError(
                f"{path}: another process is at work here; wait for it or stop it, then run again"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            locked = False
        mark = path.with_name(f"{path.name}-holder")
        if not locked or mark.exists():
            stack.enter_context(_marked(mark))
        yield


@contextmanager
def _marked(mark: Path) -> Iterator[None]:
    own = _here() | {"pid": os.getpid(), "token": secrets.token_hex(8)}
    try:
        with mark.open("xb", buffering=0) as file:  # which one process alone can do, on network folders too
            try:
                file.write(json.dumps(own).encode())
            except OSError:
                mark.unlink()
                raise
    except FileExistsError:
        _take_over(mark, own)
    try:
        yield
    finally:
        if _read(mark) == own:
            mark.unlink()


def _take_over(mark: Path, own: dict[str, Any]) -> None:
    """Replace the file of a process of this machine that is gone. InputError: it may still be there.

    Whoever makes the file that is named after the token may replace the mark, if it then still has that token: a mark
    that was judged dead is replaced once, and one that has taken its place never.
    """
    theirs = _read(mark)
    if not _gone(theirs):
        raise _held(mark, theirs)
    claim = mark.with_name(f"{mark.name}-{theirs['token']}")
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        raise _held(mark, theirs) from None
    try:
        if (now := _read(mark)) != theirs:
            raise _held(mark, now)
        write_text(mark, json.dumps(own))
    finally:
        claim.unlink()


def _read(mark: Path) -> dict[str, Any]:
    """Who made a mark: nobody if it is gone, and nobody knows if it was left unfinished."""
    try:
        return json.loads(mark.read_text())
    except (FileNotFoundError, ValueError):
        return {}


def _here() -> dict[str, str]:
    """This machine, for readers, and what makes the number of a process mean anything: its boot, and its container."""
    try:
        system = f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        system = ""
    return {"host": socket.gethostname(), "system": system}


def _gone(holder: dict[str, Any]) -> bool:
    """Whether a process certainly runs no more, which can be known of this machine's own, since it was started."""
    if not holder or any(holder[key] != value for key, value in _here().items()):
        return False
    try:
        os.kill(holder["pid"], 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    return False


def _held(mark: Path, holder: dict[str, Any]) -> InputError:
    try:
        age = timedelta(seconds=max(0, round(time.time() - mark.stat().st_mtime)))
    except FileNotFoundError:  # it ended just now
        age = timedelta()
    who = "process {pid} on {host}".format(**holder) if holder else "an unknown process"
    return InputError(
        f"{mark}: {who} began its work here {age} ago; wait for it or stop it, then run again, and delete this file "
        "if that process is gone"
    )
