"""Archives that are fine, damaged or hostile."""

import io
import tarfile
from pathlib import Path

import pytest

from shared.data.archives import read_members
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
