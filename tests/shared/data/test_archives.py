"""Archives, folders and images that are fine, damaged or hostile."""

import gzip
import io
import os
import re
import signal
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from shared.data import archives, ledger
from shared.data.archives import IMAGE_FORMATS, LARGEST_MEMBER, Members, read_image, read_members
from shared.data.captioned_files import centre_crop_and_resize
from shared.errors import InputError
from tests.attacks import outcomes

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


@pytest.mark.parametrize("compression", ["", "gz"])
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


@pytest.mark.parametrize("compression", ["bz2", "xz"])
def test_other_compressions_are_refused(tmp_path: Path, compression: str) -> None:
    """What xz unpacks with is as large as its header says, up to 4 GiB."""
    path = write_tar(tmp_path / "archive.tgz", FILES, f"w:{compression}")
    with pytest.raises(InputError, match=r"archive\.tgz: corrupt or incomplete archive"):
        list(read_members(path, is_text))


@pytest.mark.parametrize("compression", ["", "gz"])
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


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive", FILES, "w:gz")
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


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
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


def header(name: str = "one.txt", kind: bytes = tarfile.REGTYPE, content: bytes = b"") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def extended(**records: str) -> bytes:
    """A header of pax, whose records begin with their own lengths."""
    content = b""
    for key, value in records.items():
        line = f" GNU.{key}={value}\n" if key.startswith("sparse") else f" {key}={value}\n"
        length = len(line) + len(str(len(line) + 2))
        content += f"{length}{line}".encode()
    return header("x", tarfile.XHDTYPE, content)


END = bytes(1024)
SPARSE = header(kind=tarfile.GNUTYPE_SPARSE, content=bytes(512))
TARS = {
    "long names of long names": header("x", tarfile.GNUTYPE_LONGNAME, b"a") * 3000 + header() + END,
    "extended headers of extended headers": extended(comment="a") * 3000 + header() + END,
    "digits, which tarfile counts again and again": header("x", tarfile.XHDTYPE, b"1" * 2**21) + header() + END,
    "records that tarfile reads again and again": header("x", tarfile.XHDTYPE, b"1 a" * 2**20 + b"=") + header() + END,
    "a negative size": extended(size="-1024") + header() + END,
    "an end before the beginning": extended(size="-99999999") + header() + END,
    "a size for all": header("x", tarfile.XGLTYPE, b"20 size=99999999999\n") + header() + END,
    "holes": SPARSE + END,
    "a map of holes": SPARSE[:482] + b"\1" + SPARSE[483:512] + (b"0" * 504 + b"\1" + bytes(7)) * 4000,
    "holes of version 0.0": extended(**{"sparse.size": "9"}) + header() + END,
    "holes of version 0.1": extended(**{"sparse.map": "1,2,a"}) + header(content=bytes(512)) + END,
    "holes of version 1.0": extended(**{"sparse.major": "1", "sparse.minor": "0"}) + header(content=b"9" * 512) + END,
    "a map of holes of version 1.0": extended(**{"sparse.major": "1", "sparse.minor": "0"})
    + header(content=b"9999999\n" + b"1\n" * 252)
    + b"1\n" * 2**20,
    "an unpacked terabyte": extended(**{"sparse.map": "0,0", "sparse.size": str(2**40)}) + header() + END,
    "no checksum": header()[:148] + bytes(8) + header()[156:] + END,
}


@pytest.mark.torture
def test_no_tar_archive_gets_further_than_one_line(tmp_path: Path) -> None:
    found = outcomes(f"{__name__}:read_text", TARS, tmp_path, memory=2 * LARGEST_MEMBER)
    assert found.keys() == TARS.keys()
    assert {name: each for name, each in found.items() if not each.startswith("InputError: ")} == {}


def read_text(path: Path) -> None:
    for _ in read_members(path, is_text):
        pass


def test_headers_without_end_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_HEADERS", 100)
    path = tmp_path / "archive.tar"
    path.write_bytes(header("x.bin") * 99 + END)  # the end has a header too
    assert list(read_members(path, is_text)) == []
    path.write_bytes(header("x.bin") * 100 + END)
    with pytest.raises(InputError, match=r"archive\.tar: corrupt or incomplete archive \(more than 100 headers"):
        list(read_members(path, is_text))


@pytest.mark.parametrize("content", [header("x.bin", content=bytes(2**16)) * 20 + END, header() + END + bytes(2**21)])
def test_archives_without_end_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Whatever they are unpacked to: members that nobody wants, or zeros after the end."""
    monkeypatch.setattr(archives, "LARGEST_ARCHIVE", 2**20)
    (tmp_path / "archive.tgz").write_bytes(gzip.compress(content))
    with pytest.raises(
        InputError, match=r"archive\.tgz: corrupt or incomplete archive \(more than [^\n]*1048576 bytes"
    ):
        list(read_members(tmp_path / "archive.tgz", is_text))


def endless(block: bytes, size: int) -> bytes:
    """A compressed file that begins with this block, again and again: the same few bytes."""
    packer = zlib.compressobj(wbits=31)
    start = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + again * (size // len(block))


@pytest.mark.torture
@pytest.mark.slow_torture
def test_archives_of_gigabytes_take_no_memory(tmp_path: Path) -> None:
    bombs = {
        "headers": endless(header("x.bin") * 2**15, 2**30),
        "names": endless(extended(path="x" * 8000) * 2 + header("x.bin"), 2**33),
        "settings": endless(header("x", tarfile.XGLTYPE, b"8000 a=" + b"x" * 7992 + b"\n") + header("x.bin"), 2**33),
        "zeros": endless(header() + bytes(2**25), 2**34),
        "members": endless(header("x.bin", content=bytes(2**25)), 2**34),
    }
    found = outcomes(f"{__name__}:read_text", bombs, tmp_path, memory=2 * LARGEST_MEMBER, seconds=500)
    assert {name: each.startswith("InputError: ") for name, each in found.items()} == dict.fromkeys(bombs, True)


def test_folders_may_be_as_deep_as_paths_are_long(tmp_path: Path) -> None:
    folders = [tmp_path]
    for _ in range(1100):
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    file = folders[-1] / "one.txt"
    file.write_bytes(b"1")
    try:
        assert dict(read_members(tmp_path, is_text)) == {f"{'d/' * 1100}one.txt": b"1"}
        assert ledger.fingerprint(tmp_path)["bytes"] == 1
    finally:
        file.unlink()
        for folder in reversed(folders[1:]):
            folder.rmdir()


def test_folders_that_are_linked_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for folder in ("data/a", "elsewhere"):
        (tmp_path / folder / "one.txt").write_bytes(folder.encode())
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "a" / "c").symlink_to(tmp_path / "data")
    assert dict(read_members(tmp_path / "data", is_text)) == {"a/one.txt": b"data/a"}


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


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(*tags: tuple[int, int, int, int]) -> bytes:
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(2**16)


PNG = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))
ZEROS = zlib.compress(bytes(2**27))
CANVAS = (
    b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + b"\xfe\x3f\0" * 2 + b"ANIM" + struct.pack("<I", 6) + bytes(6)
)
IMAGES = {
    "text of 128 MiB": PNG + chunk(b"zTXt", b"a\0\0" + ZEROS) * 9 + chunk(b"IDAT", zlib.compress(bytes(52))),
    "a profile of 128 MiB": PNG + chunk(b"iCCP", b"a\0\0" + ZEROS) + chunk(b"IDAT", zlib.compress(bytes(52))),
    "a canvas of 2**28 pixels": b"RIFF" + struct.pack("<I", len(CANVAS)) + CANVAS + encoded("WEBP")[12:],
    "a screen of 2**32 pixels": b"GIF89a\xff\xff\xff\xff\0\0\0," + bytes(9) + b"\2\2\x44\1\0;",
    "a frame of 2**32 pixels": b"GIF89a\1\0\1\0\0\0\0," + bytes(4) + b"\xff\xff\xff\xff\0\2\2\x44\1\0;",
    "2**62 pixels": b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + struct.pack("<III", 40, *[2**31 - 1] * 2)
    + struct.pack("<HH6I", 1, 24, *[0] * 6),
    "a number of 100,000 digits": b"P6 " + b"1" * 100_000 + b" 1 255\n",
    "a tag of 2**32 - 1 numbers": tiff((256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 2**32 - 1, 8), (273, 4, 2**31, 8)),
    "a strip of 2**31 bytes": tiff((256, 4, 1, 9), (257, 4, 1, 9), (258, 3, 1, 8), (273, 4, 1, 8), (279, 4, 1, 2**31)),
    "a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(touch hacked) system\n",
}  # fmt: skip


@pytest.mark.torture
def test_no_image_takes_the_memory_that_it_announces(tmp_path: Path) -> None:
    found = outcomes(f"{__name__}:read_picture", IMAGES, tmp_path, memory=2**28)
    assert found.keys() == IMAGES.keys()
    allowed = ("InputError: ", "value")
    assert {name: each for name, each in found.items() if not each.startswith(allowed)} == {}


def read_picture(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        centre_crop_and_resize(read_image(path.read_bytes(), path.name), 8)


EXAMPLES = {"few": 500, "many": 5_000}
EDITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=4)


def read_many_pictures(path: Path) -> None:
    """Images of all formats, damaged anywhere: a square, or an InputError."""
    if path.name not in EXAMPLES:
        return
    written = [encoded(each, (9, 7)) for each in IMAGE_FORMATS]

    @seed(0)
    @settings(max_examples=EXAMPLES[path.name], database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(content=st.sampled_from(written), edits=EDITS)
    def read_one(content: bytes, edits: list[tuple[int, int, bytes]]) -> None:
        for start, length, inserted in edits:
            start %= len(content)
            content = content[:start] + inserted + content[start + length :]
        path.with_suffix(".image").write_bytes(content)
        with suppress(InputError):
            read_picture(path.with_suffix(".image"))

    read_one()


read_many_pictures.watches = True


@pytest.mark.torture
@pytest.mark.parametrize("name", ["few", pytest.param("many", marks=pytest.mark.slow_torture)])
def test_random_damage_to_images_gives_a_square_or_one_line(tmp_path: Path, name: str) -> None:
    found = outcomes(f"{__name__}:read_many_pictures", {name: b""}, tmp_path, memory=2**30, seconds=500)
    assert found == {name: "value"}
