"""Errors that a user can act on, and how the command lines show them."""

import errno
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError


class InputError(Exception):
    """Something given to the package is wrong. The message is one line: what, where, and what to do about it."""


def damaged(path: str | Path, problem: object) -> InputError:
    """For what was fetched from outside and is not what it should be."""
    return InputError(f"{path}: {problem}; delete it and fetch it again")


def validated(kind: type[BaseModel], content: Any, where: str) -> Any:
    """The content as this type. InputError: its first fault in one line that begins with `where` and names the key."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = error.errors()
        # an unknown key before a missing one, which it may have been meant to be
        first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
        found = first["input"]
        if first["type"] == "missing":
            problem = "is missing; add it"
        elif first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields) if len(first["loc"]) == 1 else ""
            problem = "is unknown" + (f"; there are {known}" if known else "; correct or remove it")
        else:
            problem = f"{found!r} {first['msg'][first['msg'].find('should') :]}"
        if isinstance(found, str) and re.fullmatch(r"[-+]?\d+e[-+]?\d+", found):
            problem += "; YAML reads 1e-3 as text: write 1.0e-3"
        raise InputError(f"{where}{'.'.join(map(str, first['loc']))}: {problem}") from None


_OS_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EFBIG: "larger than a limit (ulimit -f) or the file system allows; raise it or choose another folder",
    errno.EIO: "the disk or the network folder fails; check it, and make copies while it can be read",
    errno.EROFS: "the file system is read-only; choose a folder that can be written",
    errno.EACCES: "permission denied; make the file or folder accessible, or choose another",
    errno.EPERM: "the system does not allow it; make the file or folder accessible, or choose another",
    errno.EEXIST: "something of that name is in the way; remove it or choose another path",
    errno.ENOTDIR: "a part of this path is a file, not a folder; remove that file or choose another path",
    errno.ELOOP: "a link that leads back to itself; replace it by the file itself",
    errno.EISDIR: "this is a folder, where a file belongs; remove it or choose another path",
}


def from_system(error: Exception) -> bool:
    """Whether reading failed for a reason of the system's, so that the file may be good.

    EINVAL is what libraries say of a file that was cut short.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".split("\n")[0].rstrip(": ")


def describe(error: Exception) -> str | None:
    """One line for an error that the user can mend, None for one that is a defect of the program."""
    if isinstance(error, InputError):
        return " ".join(str(error).splitlines())  # names in others' archives may hold line breaks
    if isinstance(error, OSError) and error.errno in _OS_ADVICE:
        return f"{error.filename or 'writing a file'}: {_OS_ADVICE[error.errno]}"
    return None


def run_cli(main: Callable[[], None]) -> None:
    """Run a command line; a mendable error becomes one line on stderr and exit status 2.

    Anything else keeps its traceback: it is a defect, and hiding where it happened helps nobody.
    """
    try:
        main()
    except Exception as error:
        line = describe(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
