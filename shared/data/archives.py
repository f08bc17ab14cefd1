"""What comes from outside: members of archives and folders, and images. Nothing leaves its folder, waits for a pipe, or
takes the memory that a header announces."""

import io
import lzma
import os
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from PIL import Image, UnidentifiedImageError

from shared.errors import InputError, damaged

LARGEST_MEMBER = 2**26  # bytes of an image or a text: photographs have a few million
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
_CHUNK = 1 << 20
_CORRUPT = (tarfile.TarError, EOFError, OverflowError, zlib.error, lzma.LZMAError)
_CORRUPT_ZIP = (zipfile.BadZipFile, RuntimeError, ValueError, OSError, *_CORRUPT)


def read_file(path: Path, folder: Path) -> bytes:
    """Content of a file in a folder. InputError: no regular file, a link that leaves the folder, or too large."""
    if not path.is_file():
        raise InputError(f"{path}: no regular file, a pipe or a link to nothing perhaps; put the file itself there")
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise InputError(f"{path}: links to a file outside {folder}; replace the link by the file itself")
    if path.stat().st_size > LARGEST_MEMBER:
        raise damaged(path, f"{path.stat().st_size} bytes, more than the {LARGEST_MEMBER} that are read")
    return path.read_bytes()


def read_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the wanted files in a tar archive (any compression) or a folder.

    Names are relative, with forward slashes. An archive is read once from front to back, in its own order, and nothing
    is written to disk; a folder is read in the order of its names.

    InputError: the archive is corrupt or cut off, or a member is a link, absolute, outside the archive or too large.
    """
    if not path.is_dir():
        yield from _tar_members(path, wanted)
        return
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if wanted(name) and not file.is_dir():
            yield name, read_file(file, path)


class _Header(tarfile.TarInfo):
    """tarfile itself reads some members at once, long names for one, as large as their headers say."""

    @classmethod
    def frombuf(cls, *arguments: object) -> "_Header":
        header = super().frombuf(*arguments)
        _check_size(header.size)
        return header


def _check_size(size: int) -> None:
    if not 0 <= size <= LARGEST_MEMBER:
        raise OverflowError(f"a member of {size} bytes, where {LARGEST_MEMBER} are the most that is read")


def _tar_members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(archive, "r:*", tarinfo=_Header) as tar:
            for member in tar:
                _check_size(member.size)  # again: extended headers may change it
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
        raise damaged(archive, f"member {member.name!r} points outside the archive")
    if member.issym() or member.islnk():
        raise damaged(archive, f"member {member.name!r} is a link, which is refused")
    return name.as_posix()


def _corrupt(archive: Path, error: Exception) -> InputError:
    return damaged(archive, f"corrupt or incomplete archive ({_first_line(error)})")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(":") or type(error).__name__


class Members:
    """The files directly in a folder, or anywhere in a zip archive, by their own names; nothing is unpacked."""

    def __init__(self, path: Path) -> None:
        """InputError: no zip archive."""
        self.path, self.archive = path, None
        if path.is_dir():
            self.names = {each.name: each.name for each in path.iterdir()}
            return
        try:
            self.archive = zipfile.ZipFile(path)
        except _CORRUPT_ZIP as error:
            raise _corrupt(path, error) from None
        self.names = {PurePosixPath(name).name: name for name in self.archive.namelist() if not name.endswith("/")}

    def read(self, name: str) -> bytes:
        """InputError: the member is damaged, locked, too large or no regular file. KeyError: there is none."""
        if self.archive is None:
            return read_file(self.path / self.names[name], self.path)
        member = self.archive.getinfo(self.names[name])
        try:
            _check_size(member.file_size)
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile("a compression whose output has no bound")
            with self.archive.open(member) as file:
                return file.read(LARGEST_MEMBER)  # with a bound: without one, all is unpacked whatever the size
        except _CORRUPT_ZIP as error:
            raise damaged(self.path, f"{name} cannot be read ({_first_line(error)})") from None


def read_image(content: bytes, where: str) -> Image.Image:
    """An image of one of IMAGE_FORMATS in RGB. InputError: it is damaged, of another format, or of too many pixels."""
    try:
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image,
        ):
            return image.convert("RGB")
    except Exception as error:  # pillow's decoders raise nearly anything for bytes that are none of theirs
        known = f"none of {', '.join(IMAGE_FORMATS)}"
        reason = known if isinstance(error, UnidentifiedImageError) else _first_line(error)
        raise damaged(where, f"cannot be read as an image ({reason})") from None
