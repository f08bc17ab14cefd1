"""Files that are either whole or absent: every output of the package is written through here."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.errors import InputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it on success and vanishes on failure.

    A reader, or a run that is killed at any moment, therefore never sees half a file. The suffix is kept,
    since some libraries choose a format by it. An OSError of the system on the way names `path`.
    """
    path = Path(path)
    prefix = f".{path.stem}-"
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private; outputs follow the user's umask
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        # Writing reports no name at all, and the temporary one tells a user nothing. An error without a number is a
        # library's own: a name would hide its message.
        unnamed = error.filename is None or Path(str(error.filename)).name.startswith(prefix)
        if unnamed and error.errno is not None:
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Another name for a file, which nobody changes in place; a copy where the file system has no links."""
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def write_text(path: str | Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path, *keys: str) -> Any:
    """Parsed JSON. InputError: the file is missing, is no JSON, or is no object with these keys."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the workflow stage that makes it") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); delete it and run the workflow again") from None
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise InputError(f"{path}: without `{missing[0]}`; delete it and run the workflow again")
    return content


def sha256_of(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
