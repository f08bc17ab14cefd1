"""Reading members of an archive, or of the folder it was unpacked to, without ever leaving it."""

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from shared.errors import InputError

_CHUNK = 1 << 20
_CORRUPT = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)


def read_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the wanted files in a tar archive (any compression) or a folder.

    Names are relative, with forward slashes. An archive is read once from front to back, in its own order,
    and nothing is written to disk; a folder is read in the order of its names.

    InputError: the archive is corrupt or cut off, or a member is a link, absolute or outside the archive.
    """
    members = _folder_members if path.is_dir() else _tar_members
    yield from members(path, wanted)


def _folder_members(folder: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    inside = folder.resolve()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if not wanted(name) or file.is_dir():
            continue
        if not file.resolve().is_relative_to(inside):
            raise InputError(f"{file}: links to a file outside {folder}; replace the link by the file itself")
        yield name, file.read_bytes()


def _tar_members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                name = _safe_name(archive, member)
                if member.isfile() and wanted(name):
                    yield name, tar.extractfile(member).read()
            while tar.fileobj.read(_CHUNK):  # to the end, where a compressed file has its checksum
                pass
    except _CORRUPT as error:
        raise _corrupt(archive, error) from None
    except OSError as error:
        if error.errno is not None:  # the disk's error, not the archive's: gzip and bz2 raise theirs without a number
            raise
        raise _corrupt(archive, error) from None


def _safe_name(archive: Path, member: tarfile.TarInfo) -> str:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise InputError(f"{archive}: member {member.name!r} points outside the archive; get the official file")
    if member.issym() or member.islnk():
        raise InputError(f"{archive}: member {member.name!r} is a link, which is refused; get the official file")
    return name.as_posix()


def _corrupt(archive: Path, error: Exception) -> InputError:
    detail = str(error).partition("\n")[0].rstrip(":") or type(error).__name__
    return InputError(f"{archive}: corrupt or incomplete archive ({detail}); delete it and fetch it again")
