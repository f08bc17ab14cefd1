"""Archives, folders and images that are fine, damaged or hostile."""

import io
import os
import re
import signal
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from shared.data.archives import IMAGE_FORMATS, LARGEST_MEMBER, Members, read_image, read_members
from shared.errors import InputError

FILES = {"a/one.txt": b"one" * 4000, "a/two.bin": bytes(range(256)) * 50, "three.txt": b"three"}


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w", **member: object) -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in member.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return path


def is_text(name: str) -> bool:
    return name.endswith(".txt")


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_wanted_members_are_read_from_any_tar(tmp_path: Path, compression: str) -> None:
    path = write_tar(tmp_path / "archive", FILES, f"w:{compression}")
    assert dict(read_members(path, is_text)) == {name: FILES[name] for name in ("a/one.txt", "three.txt")}


def test_a_folder_reads_like_the_archive(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert dict(read_members(tmp_path, is_text)) == {name: FILES[name] for name in ("a/one.txt", "three.txt")}


def test_names_lose_their_leading_dot(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar", {"./a/one.txt": b"1"})
    assert dict(read_members(path, is_text)) == {"a/one.txt": b"1"}


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_a_cut_archive_is_named(tmp_path: Path, compression: str) -> None:
    path = write_tar(tmp_path / "archive", FILES, f"w:{compression}")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if compression else whole[:6000])
    with pytest.raises(InputError, match=r"archive: corrupt or incomplete archive .* fetch it again"):
        list(read_members(path, is_text))


@pytest.mark.parametrize("content", [b"", b"<html>quota exceeded</html>" * 100, b"\x1f\x8b" + b"x" * 2000])
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "archive.tgz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"archive\.tgz: corrupt"):
        list(read_members(path, is_text))


@pytest.mark.parametrize("compression", ["gz", "bz2"])
def test_a_flipped_bit_is_found(tmp_path: Path, compression: str) -> None:
    path = write_tar(tmp_path / "archive", FILES, f"w:{compression}")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0x10
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="corrupt"):
        list(read_members(path, lambda _: True))


@pytest.mark.parametrize("name", ["/etc/one.txt", "../one.txt", "a/../../one.txt"])
def test_members_outside_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    path = write_tar(tmp_path / "archive.tar", {name: b"1"})
    with pytest.raises(InputError, match="points outside the archive"):
        list(read_members(path, is_text))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = write_tar(tmp_path / "archive.tar", {"one.txt": b""}, type=kind, linkname="/etc/passwd")
    with pytest.raises(InputError, match="is a link"):
        list(read_members(path, is_text))


def test_a_link_that_leaves_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="links to a file outside"):
        list(read_members(tmp_path / "folder", is_text))


# --- what would hang, or fill the memory ---


@contextmanager
def bounded(seconds: int = 30, size: int = 2 * LARGEST_MEMBER) -> Iterator[None]:
    """The test ends if it hangs, and fails if it takes more memory than two members of the largest size."""
    signal.alarm(seconds)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()
        signal.alarm(0)


def test_a_pipe_in_a_folder_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "one.txt")
    with bounded(), pytest.raises(InputError, match=r"one\.txt: no regular file"):
        list(read_members(tmp_path, is_text))


@pytest.mark.parametrize("target", ["one.txt", "nothing.txt", "/dev/zero"])
def test_links_to_themselves_to_nothing_and_to_devices_are_named(tmp_path: Path, target: str) -> None:
    (tmp_path / "one.txt").symlink_to(target)
    with bounded(), pytest.raises(InputError, match=r"\A[^\n]*one\.txt: no regular file[^\n]*\Z"):
        list(read_members(tmp_path, is_text))


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(b"1")
    (tmp_path / "one.txt").symlink_to("one.bin")
    assert dict(read_members(tmp_path, is_text)) == {"one.txt": b"1"}


def test_a_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "one.txt").open("wb") as file:
        file.truncate(10 * 2**30)  # sparse: it takes no space
    with bounded(), pytest.raises(InputError, match=r"one\.txt: 10737418240 bytes, more than"):
        list(read_members(tmp_path, is_text))


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
@pytest.mark.parametrize("size", [128 * 2**30, LARGEST_MEMBER + 1, -512])
def test_a_tar_header_may_announce_anything(tmp_path: Path, kind: bytes, size: int) -> None:
    """Of a member, and of the long names and extended headers that tarfile itself reads."""
    info = tarfile.TarInfo("one.txt")
    info.size, info.type = size, kind
    (tmp_path / "archive.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"1" * 2048)
    with bounded(), pytest.raises(InputError, match=rf"archive\.tar: corrupt [^\n]*a member of {size} bytes"):
        list(read_members(tmp_path / "archive.tar", is_text))


def test_an_extended_tar_header_may_announce_anything(tmp_path: Path) -> None:
    info = tarfile.TarInfo("one.txt")
    info.pax_headers = {"size": str(128 * 2**30)}
    (tmp_path / "archive.tar").write_bytes(info.tobuf(tarfile.PAX_FORMAT) + b"1" * 2048)
    with bounded(), pytest.raises(InputError, match="a member of 137438953472 bytes"):
        list(read_members(tmp_path / "archive.tar", is_text))


def test_a_small_archive_may_hold_gigabytes(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive.tgz", "w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo("one.txt")
        info.size = LARGEST_MEMBER + 1
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    with bounded(size=2**23), pytest.raises(InputError, match="a member of"):
        list(read_members(tmp_path / "archive.tgz", is_text))


def write_zip(path: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("folder/one.txt", bytes(2 * LARGEST_MEMBER))
        archive.writestr("folder/two.txt", b"two")
    return path


def test_members_of_a_zip_archive_have_a_largest_size(tmp_path: Path) -> None:
    members = Members(write_zip(tmp_path / "archive.zip"))
    assert set(members.names) == {"one.txt", "two.txt"}
    assert members.read("two.txt") == b"two"
    with bounded(size=2**23), pytest.raises(InputError, match=r"archive\.zip: one\.txt cannot be read \(a member of"):
        members.read("one.txt")


def test_a_zip_member_may_hold_more_than_it_announces(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive.zip")
    content = bytearray(path.read_bytes())
    for announced in re.finditer(struct.pack("<L", 2 * LARGEST_MEMBER), bytes(content)):
        content[announced.start() : announced.end()] = struct.pack("<L", 100)
    path.write_bytes(content)
    with bounded(size=2 * LARGEST_MEMBER), pytest.raises(InputError, match=r"one\.txt cannot be read \(Bad CRC"):
        Members(path).read("one.txt")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_without_a_bound_are_refused(tmp_path: Path, compression: int) -> None:
    members = Members(write_zip(tmp_path / "archive.zip", compression))
    with pytest.raises(InputError, match=r"two\.txt cannot be read \(a compression whose output has no bound"):
        members.read("two.txt")


# --- images ---


def encoded(image_format: str, size: tuple[int, int] = (5, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (255, 0, 0)).save(file, image_format)
    return file.getvalue()


@pytest.mark.parametrize("image_format", IMAGE_FORMATS)
def test_images_of_all_formats_are_read(image_format: str) -> None:
    image = read_image(encoded(image_format), "one")
    assert (image.mode, image.size) == ("RGB", (5, 4))
    assert image.getpixel((2, 2))[0] > 250


@pytest.mark.parametrize("content", [b"", b"<html>", encoded("ICO", (16, 16)), encoded("JPEG")[:200]])
def test_what_is_no_such_image_is_one_line(content: bytes) -> None:
    with pytest.raises(InputError, match=r"\Aone: cannot be read as an image \([^\n]*\); delete it[^\n]*\Z") as caught:
        read_image(content, "one")
    assert " object at 0x" not in str(caught.value)


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_an_image_of_too_many_pixels_is_not_unpacked(side: int) -> None:
    """A header is all that it has: pillow warns of the first size and refuses the second."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = b"IDAT" + zlib.compress(bytes(1000))
    content += struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    with (
        bounded(),
        pytest.raises(InputError, match=f"one: cannot be read as an image .Image size .{side * side} pixels"),
    ):
        read_image(content, "one")
