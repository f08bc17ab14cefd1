"""What comes from outside: members of archives and folders, and images. Nothing leaves its folder, waits for a pipe, or
takes the memory that a header announces."""

import errno
import io
import os
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from PIL import Image, UnidentifiedImageError

from shared.data.ledger import entries_in
from shared.errors import InputError, damaged

LARGEST_MEMBER = 2**26  # bytes of an image or a text: photographs have a few million
LARGEST_ARCHIVE = 2**33  # bytes that a tar archive is unpacked to: the images of CUB have 1.2 thousand million
MOST_HEADERS = 2**18  # of a tar archive, of which CUB's has 12,000
LARGEST_HEADER = 2**14  # bytes of a long name: tarfile's time for it grows with the square
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
_CHUNK = 1 << 20
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


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
    """Yield (name, content) of the wanted files in a tar archive (plain or gzip) or a folder.

    Names are relative, with forward slashes. An archive is read once from front to back, in its own order, and nothing
    is written to disk; a folder is read in the order of its names.

    InputError: the archive is corrupt, cut off or too large, or a member is a link, absolute, outside the archive or
    too large.
    """
    if not path.is_dir():
        yield from _tar_members(path, wanted)
        return
    for file in entries_in(path):
        name = file.relative_to(path).as_posix()
        if wanted(name) and not file.is_dir():
            yield name, read_file(file, path)


class _Header(tarfile.TarInfo):
    """tarfile itself reads long names, and maps of files with holes, which may be as large as the archive."""

    @classmethod
    def frombuf(cls, *arguments: object) -> "_Header":
        header = super().frombuf(*arguments)
        _check_size(header.size, LARGEST_HEADER if header.type in _EXTENDED else LARGEST_MEMBER)
        return header

    @classmethod
    def fromtarfile(cls, tar: "_Tar") -> "_Header":
        tar.headers += 1
        if tar.headers > MOST_HEADERS or tar.offset > LARGEST_ARCHIVE:
            raise OverflowError(f"more than {MOST_HEADERS} headers, or than {LARGEST_ARCHIVE} bytes")
        return super().fromtarfile(tar)

    def _refuse(self, *_: object) -> None:
        raise ValueError(f"{self.name}: a file with holes")

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse


class _Tar(tarfile.TarFile):
    tarinfo = _Header
    headers = 0


def _check_size(size: int, largest: int = LARGEST_MEMBER) -> None:
    if not 0 <= size <= largest:
        raise OverflowError(f"a member of {size} bytes, where {largest} are the most that is read")


def _tar_members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with archive.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    with _damage(archive), _Tar.open(archive, "r:gz" if compressed else "r:") as tar:
        for member in tar:
            tar.members.clear()  # tarfile keeps every header
            tar.pax_headers.clear()
            _check_size(member.size)  # again: extended headers may change it
            name = _safe_name(archive, member)
            if member.isfile() and wanted(name):
                yield name, tar.extractfile(member).read()
        while compressed and tar.fileobj.read(_CHUNK):  # to the end, where the checksum is
            if tar.fileobj.tell() > LARGEST_ARCHIVE:
                raise OverflowError(f"more than {LARGEST_ARCHIVE} bytes")


@contextmanager
def _damage(path: Path, problem: str = "corrupt or incomplete archive") -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the readers raise nearly anything for headers that make no sense
        # the disk's own errors have a number: gzip raises its own without one, and zipfile is sent to impossible places
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise damaged(path, f"{problem} ({_first_line(error)})") from None


def _safe_name(archive: Path, member: tarfile.TarInfo) -> str:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise damaged(archive, f"member {member.name!r} points outside the archive")
    if member.issym() or member.islnk():
        raise damaged(archive, f"member {member.name!r} is a link, which is refused")
    return name.as_posix()


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
        with _damage(path):
            self.archive = zipfile.ZipFile(path)
        self.names = {PurePosixPath(name).name: name for name in self.archive.namelist() if not name.endswith("/")}

    def read(self, name: str) -> bytes:
        """InputError: the member is damaged, locked, too large or no regular file. KeyError: there is none."""
        if self.archive is None:
            return read_file(self.path / self.names[name], self.path)
        member = self.archive.getinfo(self.names[name])
        with _damage(self.path, f"{name} cannot be read"):
            _check_size(member.file_size)
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile("a compression whose output has no bound")
            with self.archive.open(member) as file:
                return file.read(LARGEST_MEMBER)  # with a bound: without one, all is unpacked whatever the size


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
