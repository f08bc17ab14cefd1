"""Files that are either whole or absent: every output of the package is written through here."""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

from shared.errors import InputError, from_system, in_short


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
        # Writing reports no name at all, copying both, and the temporary one tells a user nothing. An error without a
        # number is a library's own: a name would hide its message.
        named = [Path(str(name)).name for name in (error.filename, error.filename2) if name is not None]
        if error.errno is not None and (not named or any(name.startswith(prefix) for name in named)):
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


def write_npz(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """An archive for np.load, whose bytes are those of the arrays and their names alone.

    np.savez leaves it to the version of Python and to the system what else stands in the headers.
    """
    import numpy as np  # most of what writes files does without

    whole = io.BytesIO()  # a disk that is full in the middle of an archive makes its closing fail as well
    with ZipFile(whole, "w") as archive:
        for name, array in sorted(arrays.items()):
            member = ZipInfo(f"{name}.npy")
            member.create_system, member.external_attr = 3, 0o600 << 16
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
            archive.writestr(member, content.getbuffer())
    with atomic_path(path) as temporary:
        temporary.write_bytes(whole.getbuffer())


def read_npz(path: str | Path) -> dict[str, Any]:
    """The arrays that `write_npz` wrote. InputError: there is no such file, or it is damaged.

    Each is read whole, so that its checksum is compared: np.load trusts a header that says that it is shorter.
    """
    import numpy as np

    def array(content: bytes) -> Any:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)

    try:
        with ZipFile(path) as archive:
            return {name.removesuffix(".npy"): array(archive.read(name)) for name in archive.namelist()}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run python -m shared.stages.evaluate first") from None
    except Exception as error:  # damage ends in errors of any kind
        if from_system(error):
            raise
        raise InputError(f"{path}: no archive of arrays ({in_short(error)}); delete it and evaluate again") from None


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
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        error.filename = str(path)  # reading reports none
        raise


@cache
def require_sha256(path: Path, sha256: str, advice: str) -> None:
    """Read a file, once per process, to see whether it is what was written. InputError: it is not, or is missing."""
    try:
        found = sha256_of(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {advice}") from None
    if found != sha256:
        problem = f"damaged or exchanged (sha256 {found[:16]}..., recorded {sha256[:16]}...)"
        raise InputError(f"{path}: {problem}; {advice}")
